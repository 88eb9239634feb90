//! The component on Spin's Redis store: values are read one by one, every swap reports a failure although most have
//! landed, and each swap opens connections (`docs/spec/spin.md`, the truth table).
//!
//! One table of behaviours runs on a store in memory with these flaws, and on a Redis server if `redis-server` is
//! installed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::support::Service;
use crate::support::calls::{Answer, Calls, id_of, insist, wait_until};
use crate::support::component::ComponentService;
use crate::support::faults::{CallKind, Fault, When};
use crate::support::redis_server::RedisServer;
use crate::support::redis_store::RedisStore;
use serde_json::{Value, json};
use volume_snapshots_host::Store;

/// The number of concurrent writers in a step.
const WRITERS: usize = 16;

const STEPS: usize = 30;

/// A name, and a test on a store.
type Behaviour = (&'static str, fn(&Arc<RedisStore>));

/// The behaviours that Redis shares with SQLite. Each case starts with an empty store.
const BEHAVIOURS: [Behaviour; 5] = [
    ("a snapshot lives and goes", a_snapshot_lives_and_goes),
    ("lists are whole, in order and in pages", lists_are_whole_in_order_and_in_pages),
    ("merges of concurrent writers are applied once", merges_of_concurrent_writers_are_applied_once),
    ("creates and deletes of concurrent writers are counted", creates_and_deletes_of_concurrent_writers_are_counted),
    ("a writer who never wins gives up", a_writer_who_never_wins_gives_up),
];

#[test]
fn on_a_store_with_the_flaws_of_spins_redis_store_all_is_as_on_sqlite() {
    for (name, behaviour) in BEHAVIOURS {
        println!("{name}");
        behaviour(&Arc::new(RedisStore::in_memory()));
    }
}

#[test]
fn on_a_redis_server_all_is_as_on_sqlite() {
    let Some(server) = RedisServer::start() else { return };
    for (database, (name, behaviour)) in BEHAVIOURS.into_iter().enumerate() {
        println!("{name}");
        behaviour(&Arc::new(RedisStore::connect(&server.url(database)).expect("a connection")));
    }
}

fn a_snapshot_lives_and_goes(store: &Arc<RedisStore>) {
    // Another app's key in the shared keyspace.
    store.set("another app", "theirs", b"untouched").expect("a write");
    let service = ComponentService::on(store.clone(), &[("quota_snapshots", "1")]);
    let volume = service.new_volume("/v3", 3);
    service.advance(2.0);
    let id = service.new_snapshot("/v3", &volume);
    let path = format!("/v3/snapshots/{id}");
    assert_eq!(service.status_of(&path).as_deref(), Some("creating"));
    assert_eq!(service.ask_for_snapshot("/v3", &volume).status, 413, "one is all that the quota allows");
    service.advance(2.0);
    assert_eq!(service.status_of(&path).as_deref(), Some("available"));
    assert_eq!(service.in_use("gigabytes"), 6);

    let renamed = service.call("PUT", &path, &json!({ "snapshot": { "name": "renamed" } }));
    assert_eq!((renamed.status, &renamed.body["snapshot"]["name"]), (200, &json!("renamed")));
    let replaced = service.call("PUT", &format!("{path}/metadata"), &json!({ "metadata": { "a": "1" } }));
    assert_eq!((replaced.status, replaced.body), (200, json!({ "metadata": { "a": "1" } })));

    assert_eq!(service.delete(&path).status, 202);
    assert_eq!(service.status_of(&path).as_deref(), Some("deleting"));
    service.advance(1.0);
    assert_eq!(service.status_of(&path), None);
    service.tick().expect("a tick");
    assert_agree(&service, &BTreeSet::new());
    service.new_snapshot("/v3", &volume);

    assert_eq!(service.operate("DELETE", "/_ops/state", &Value::Null).status, 204);
    assert_eq!(store.get_keys("default"), Ok(vec!["theirs".to_owned()]));
    assert_eq!(service.app.traps(), 0, "{:?}", service.app.output().lines());
}

/// Tests lists that are long enough for several pages.
fn lists_are_whole_in_order_and_in_pages(store: &Arc<RedisStore>) {
    const COUNT: usize = 900;
    let volumes = ["aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"];
    let id = |number: usize| format!("bbbbbbbb-0000-4000-8000-{number:012}");
    let snapshot = |number: usize| {
        let created_at = format!("2026-01-01T{:02}:{:02}:00.000000", number / 60, number % 60);
        json!({ "id": id(number), "volume_id": volumes[number % 2], "project_id": "a1", "created_at": created_at })
    };
    let service = ComponentService::on(store.clone(), &[("quota_snapshots", "-1")]);
    service.put_state(&json!({
        "volumes": volumes.map(|volume| json!({ "id": volume, "project_id": "a1" })),
        "snapshots": (0..COUNT).map(snapshot).collect::<Vec<_>>(),
    }));
    // Rows in the middle are deleted, and a new one is added at the end.
    let mut expected: Vec<String> = (0..COUNT).rev().filter(|number| !(300..310).contains(number)).map(id).collect();
    for number in 300..310 {
        assert_eq!(service.delete(&format!("/v3/snapshots/{}", id(number))).status, 202);
    }
    expected.insert(0, service.new_snapshot("/v3", volumes[0]));
    service.advance(2.0);
    service.tick().expect("a tick");

    assert_eq!(service.ids("/v3/snapshots"), expected);
    let mut in_pages = Vec::new();
    while in_pages.len() < expected.len() {
        let marker = in_pages.last().map(|id| format!("&marker={id}")).unwrap_or_default();
        let page = service.ids(&format!("/v3/snapshots?limit=100{marker}"));
        assert!((1..=100).contains(&page.len()), "{} rows after {marker}", page.len());
        in_pages.extend(page);
    }
    assert_eq!(in_pages, expected);
    let of_second: Vec<String> = service.ids(&format!("/v3/snapshots?volume_id={}", volumes[1]));
    assert_eq!(of_second.len(), COUNT / 2 - 5);
    assert_eq!(service.ids("/v3/snapshots/detail?all_tenants=1&limit=3"), expected[..3]);
    assert_eq!(service.ids("/v3/snapshots?sort=created_at:asc&limit=2"), [id(0), id(1)]);
    assert_agree(&service, &expected.into_iter().collect());
    // The call that Redis refuses is tried once in each request.
    service.faults.reset();
    service.ids("/v3/snapshots/detail?limit=100");
    assert_eq!(service.faults.count(CallKind::GetMany), 1, "{:?}", service.faults.calls());
    assert_eq!(service.app.traps(), 0, "{:?}", service.app.output().lines());
}

/// Each writer adds its own items, and removes every other item that its neighbour is just adding. An item that is left
/// although both were acknowledged was added twice.
fn merges_of_concurrent_writers_are_applied_once(store: &Arc<RedisStore>) {
    let service = ComponentService::on(store.clone(), &[("create_seconds", "0")]);
    let volume = service.new_volume("/v3", 1);
    let path = format!("/v3/snapshots/{}/metadata", service.new_snapshot("/v3", &volume));
    let mut expected = BTreeMap::new();
    for step in 0..STEPS {
        let key = |writer: usize| format!("{writer}-{step}");
        let is_taken_away = step % 2 == 0;
        let tried_again = at_once(|writer| {
            let body = json!({ "metadata": { key(writer): "here" } });
            let (answer, was_busy) = insist(|| service.call("POST", &path, &body));
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.body["metadata"][key(writer)], "here");
            if is_taken_away {
                let path = format!("{path}/{}", key(writer ^ 1));
                wait_until(&path, || {
                    let (answer, _) = insist(|| service.delete(&path));
                    assert!([200, 404].contains(&answer.status), "{answer:?}");
                    answer.status == 200
                });
            }
            was_busy
        });
        for (writer, tried_again) in tried_again.into_iter().enumerate() {
            if !is_taken_away {
                expected.insert(key(writer), "here");
            } else if tried_again {
                // A client that retried has asked twice itself.
                service.delete(&format!("{path}/{}", key(writer)));
            }
        }
    }
    assert_eq!(service.get(&path).body["metadata"], json!(expected));
    assert_eq!(service.app.traps(), 0, "{:?}", service.app.output().lines());
}

/// Writers create snapshots, then delete every other one, while ticks remove the deleted ones. A deletion takes a
/// second of the test's clock, so that a row outlives the request that deletes it.
fn creates_and_deletes_of_concurrent_writers_are_counted(store: &Arc<RedisStore>) {
    let variables = [("quota_snapshots", "-1"), ("create_seconds", "0"), ("delete_seconds", "1")];
    let service = ComponentService::on(store.clone(), &variables);
    let volume = service.new_volume("/v3", 2);
    let mut left = BTreeSet::new();
    for step in 0..STEPS {
        // One of the writers is the schedule. A tick that loses to the others is followed by another one.
        let created = at_once(|writer| {
            if writer == 0 {
                let _ = service.tick();
                return None;
            }
            let (answer, _) = insist(|| service.ask_for_snapshot("/v3", &volume));
            assert_eq!(answer.status, 202, "{answer:?}");
            Some(id_of(&answer.body["snapshot"]))
        });
        if step % 2 == 1 {
            left.extend(created.into_iter().flatten());
        } else {
            at_once(|writer| {
                let Some(id) = &created[writer] else { return drop(service.tick()) };
                let (answer, _) = insist(|| service.delete(&format!("/v3/snapshots/{id}")));
                assert_eq!(answer.status, 202, "{answer:?}");
            });
        }
        service.advance(0.1);
    }
    service.advance(60.0);
    for _ in 0..3 {
        service.tick().expect("a tick");
    }
    assert_eq!(left.len(), (WRITERS - 1) * STEPS / 2);
    assert_eq!(service.in_use("gigabytes"), 2 + 2 * left.len());
    assert_agree(&service, &left);
    assert_eq!(service.app.traps(), 0, "{:?}", service.app.output().lines());
}

/// Runs all writers at the same time, and waits for them.
fn at_once<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || work(writer))).collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    })
}

/// Another writer is faster before each swap. Every attempt opens connections to the server, so the number of attempts
/// must be limited. The client gets a 503, and nothing was written.
fn a_writer_who_never_wins_gives_up(store: &Arc<RedisStore>) {
    let service = ComponentService::on(store.clone(), &[("create_seconds", "0")]);
    let faster = Arc::new(ComponentService::on(store.clone(), &[("create_seconds", "0")]));
    let volume = service.new_volume("/v3", 1);
    let path = format!("/v3/snapshots/{}/metadata", service.new_snapshot("/v3", &volume));
    let (other, others_path) = (faster.clone(), path.clone());
    let intrude = move || {
        let number = other.faults.count(CallKind::Swap);
        let body = json!({ "metadata": { format!("faster-{number}"): "here" } });
        let answer = tokio::task::block_in_place(|| other.call("POST", &others_path, &body));
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    service.faults.reset();
    faster.faults.reset();
    service.faults.plan(When::Every(CallKind::Swap), Fault::run(intrude));
    let answer = service.call("POST", &path, &json!({ "metadata": { "mine": "here" } }));
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{answer:?}");
    let attempts = service.faults.count(CallKind::Swap);
    assert!((2..=32).contains(&attempts), "{attempts} attempts");
    // A compare-and-swap reads over its own connection, and Spin starts another one when it is refused.
    assert_eq!(service.faults.count(CallKind::Current), 2 * attempts);

    service.faults.reset();
    let metadata = service.get(&path).body["metadata"].clone();
    let expected: BTreeMap<String, &str> = (0..attempts).map(|number| (format!("faster-{number}"), "here")).collect();
    assert_eq!(metadata, json!(expected));
    assert_eq!(service.app.traps() + faster.app.traps(), 0);
}

/// Checks that listing, count, quota, limits, and rows have the same snapshots.
fn assert_agree(service: &ComponentService, expected: &BTreeSet<String>) {
    let listed: BTreeSet<String> = service.ids("/v3/snapshots").into_iter().collect();
    assert_eq!(listed, *expected);
    assert_eq!(service.count("/v3/snapshots"), expected.len());
    let quotas = service.get("/v3/os-quota-sets/a1?usage=True");
    assert_eq!(quotas.body["quota_set"]["snapshots"]["in_use"], expected.len(), "{quotas:?}");
    let limits = service.get("/v3/limits");
    assert_eq!(limits.body["limits"]["absolute"]["totalSnapshotsUsed"], expected.len(), "{limits:?}");
    let rows = service.state()["snapshots"].as_array().expect("rows").iter().map(id_of).collect::<BTreeSet<_>>();
    assert_eq!(rows, *expected);
}

/// Runs `intrusion` between the last swap of `request` and its look for its own write. `rehearsal`, the same request,
/// is used to find that swap.
fn before_the_look(
    service: &ComponentService,
    rehearsal: impl Fn() -> Answer,
    intrusion: impl Fn() + Send + Sync + 'static,
    request: impl Fn() -> Answer,
) -> Answer {
    service.faults.reset();
    assert!(rehearsal().status < 300);
    let calls = service.faults.calls();
    let swap = calls.iter().rposition(|call| call.kind == CallKind::Swap).expect("a swap");
    let look = swap + calls[swap..].iter().position(|call| call.kind == CallKind::Get).expect("a look");
    service.faults.reset();
    service.faults.plan(When::Call(look + 1), Fault::run(move || tokio::task::block_in_place(&intrusion)));
    let answer = request();
    service.faults.reset();
    answer
}

/// Returns a service on the store, and another process on it.
fn two_processes(variables: &[(&str, &str)]) -> (ComponentService, Arc<ComponentService>) {
    let store = Arc::new(RedisStore::in_memory());
    let variables: Vec<(&str, &str)> =
        variables.iter().copied().chain([("create_seconds", "0"), ("quota_snapshots", "-1")]).collect();
    (ComponentService::on(store.clone(), &variables), Arc::new(ComponentService::on(store, &variables)))
}

/// A merge lands, then another client deletes its item and others merge too, before the writer looks for its write. It
/// must not be applied again. With few others it is known to have landed. With very many the client is told to check.
#[test]
fn a_merge_that_landed_is_not_applied_again_however_many_others_came_after() {
    for (others, expected) in [(8, 200), (40, 503)] {
        let (service, other) = two_processes(&[]);
        let volume = service.new_volume("/v3", 1);
        let path = format!("/v3/snapshots/{}/metadata", service.new_snapshot("/v3", &volume));
        let merge = |key: &str| service.call("POST", &path, &json!({ "metadata": { key: "here" } }));
        let its_path = path.clone();
        let intrusion = move || {
            assert_eq!(other.delete(&format!("{its_path}/mine")).status, 200, "it has landed");
            for number in 0..others {
                let body = json!({ "metadata": { format!("other-{number}"): "here" } });
                assert_eq!(other.call("POST", &its_path, &body).status, 200);
            }
        };
        let answer = before_the_look(&service, || merge("before"), intrusion, || merge("mine"));
        assert_eq!(answer.status, expected, "{answer:?}");
        assert_eq!(service.get(&path).body["metadata"].get("mine"), None, "its deletion was acknowledged");
    }
}

#[test]
fn a_create_that_landed_is_counted_once_however_many_others_came_after() {
    // With very many others the record no longer knows the write, but it still lists the row.
    for others in [8, 40] {
        let (service, other) = two_processes(&[]);
        let volume = service.new_volume("/v3", 1);
        // The first create announces those that follow it, so it makes other calls than they do.
        service.new_snapshot("/v3", &volume);
        let its_volume = volume.clone();
        let intrusion = move || (0..others).for_each(|_| drop(other.new_snapshot("/v3", &its_volume)));
        let create = || service.ask_for_snapshot("/v3", &volume);
        let answer = before_the_look(&service, create, intrusion, create);
        assert_eq!(answer.status, 202, "{answer:?}");
        let in_use = service.get("/v3/os-quota-sets/a1?usage=True").body["quota_set"]["snapshots"]["in_use"].clone();
        let all = others + 3;
        assert_eq!(
            (service.ids("/v3/snapshots").len(), service.count("/v3/snapshots"), in_use),
            (all, all, json!(all))
        );
    }
}

#[test]
fn a_delete_that_landed_and_whose_row_a_tick_has_removed_is_acknowledged() {
    let (service, other) = two_processes(&[("delete_seconds", "0")]);
    let volume = service.new_volume("/v3", 1);
    let ids = [0, 1].map(|_| service.new_snapshot("/v3", &volume));
    let delete = |id: &String| service.delete(&format!("/v3/snapshots/{id}"));
    let tick = move || assert_eq!(other.operate("POST", "/_ops/tick", &Value::Null).status, 200);
    let answer = before_the_look(&service, || delete(&ids[0]), tick, || delete(&ids[1]));
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(delete(&ids[1]).status, 404);
}
