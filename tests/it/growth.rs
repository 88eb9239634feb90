//! What grows with the number of projects and snapshots: the merge of their listings, the calls that work on all of them
//! makes, and the deletion of a volume with more snapshots than one request deletes. `make bench-scale` has the times.

use std::cell::{Cell, RefCell};

use crate::interleavings::Interrupted;
use crate::support::calls::Calls;
use crate::support::native::{CountingIdentifiers, NativeService, TestVariables};
use crate::support::{Service, client, json, operator};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;
use volume_snapshots::domain::Timestamp;
use volume_snapshots::store::index::{Direction, Position};
use volume_snapshots::store::{KeyValue, Kind, Listing, Notes, Store};

/// The time of creation of the first snapshots, in seconds since the epoch.
const FIRST: i64 = 1_767_225_600;

fn project(number: usize) -> String {
    format!("p{number}")
}

fn snapshot_id(number: usize) -> String {
    format!("bbbbbbbb-0000-4000-8000-{number:012}")
}

fn volume_id(number: usize) -> String {
    format!("aaaaaaaa-0000-4000-8000-{number:012}")
}

/// Returns a document of snapshots, each given by the numbers of its project, of the second of its creation, and of its
/// volume.
fn document(snapshots: &[(usize, i64, usize)]) -> Value {
    let rows = snapshots.iter().enumerate().map(|(number, (owner, second, volume))| {
        json!({
            "id": snapshot_id(number),
            "project_id": project(*owner),
            "volume_id": volume_id(*volume),
            "created_at": Timestamp::from_seconds(FIRST + second).to_string(),
        })
    });
    json!({ "snapshots": rows.collect::<Vec<_>>() })
}

/// Returns a service whose projects have one snapshot each.
fn service_of_many_projects(projects: usize) -> NativeService {
    let service = NativeService::with_variables(TestVariables::default());
    let snapshots: Vec<_> = (0..projects).map(|number| (number, i64::try_from(number).expect("small"), 0)).collect();
    service.put_state(&document(&snapshots));
    service
}

proptest! {
    #![proptest_config(crate::support::laws::cases(128, 1_024))]

    #[test]
    fn a_merge_of_projects_is_their_entries_sorted(
        // More than the head of an index holds in some projects, and few different seconds, so that pages overlap.
        snapshots in prop::collection::vec((0_usize..6, 0_i64..8, 0_usize..3), 0..240),
        direction in prop::sample::select(vec![Direction::NewestFirst, Direction::OldestFirst]),
        after in prop::option::of(any::<prop::sample::Index>()),
        volume in prop::option::of(0_usize..4),
        steps in prop::collection::vec(1_usize..70, 1..8),
    ) {
        let service = NativeService::with_variables(TestVariables::default());
        service.put_state(&document(&snapshots));
        let positions: Vec<(Position, Uuid)> = snapshots
            .iter()
            .enumerate()
            .map(|(number, (_, second, volume))| {
                let id = snapshot_id(number).parse().expect("an id");
                let created_at = Timestamp::from_seconds(FIRST + second);
                (Position { created_at, id }, volume_id(*volume).parse().expect("an id"))
            })
            .collect();
        let after = after.filter(|_| !positions.is_empty()).map(|index| positions[index.index(positions.len())].0);
        let volume: Option<Uuid> = volume.map(|number| volume_id(number).parse().expect("an id"));
        let mut expected: Vec<Position> = positions
            .iter()
            .filter(|(_, own)| volume.is_none_or(|volume| volume == *own))
            .map(|(position, _)| *position)
            .filter(|position| after.is_none_or(|after| match direction {
                Direction::NewestFirst => *position < after,
                Direction::OldestFirst => *position > after,
            }))
            .collect();
        expected.sort_unstable();
        if direction == Direction::NewestFirst {
            expected.reverse();
        }

        let identifiers = CountingIdentifiers::default();
        let notes = Notes::default();
        let store = Store::new(&service.key_value, &identifiers, &notes);
        let records = store.projects(&store.project_ids().expect("projects")).expect("records");
        let mut listing = Listing::new(store, records, Kind::Snapshot, direction, after).of_volume(volume);
        let mut seen: Vec<Position> = Vec::new();
        for step in steps.iter().cycle() {
            let entries = listing.next(*step).expect("entries");
            prop_assert!(entries.len() <= *step);
            if entries.is_empty() {
                break;
            }
            seen.extend(entries.iter().map(|entry| entry.position));
        }
        prop_assert_eq!(seen, expected);
    }
}

/// Returns the calls of the store that a request makes, which must succeed.
fn calls(service: &NativeService, path: &str) -> usize {
    service.key_value.faults.reset();
    let mut request = client("GET", path, &Value::Null);
    request.headers_mut().insert("openstack-api-version", "volume latest".parse().expect("a header"));
    let answer = service.send(request);
    assert!(answer.status().is_success(), "{path}: {}", json(&answer));
    service.key_value.faults.calls().len()
}

#[test]
fn the_calls_of_a_list_of_all_projects_do_not_grow_with_their_number() {
    let (few, many) = (service_of_many_projects(10), service_of_many_projects(900));
    for query in ["limit=10", "limit=10&with_count=true", "sort=name", "status=error", "status=error&with_count=true"] {
        let path = format!("/v3/a1/snapshots?all_tenants=1&{query}");
        assert_eq!(calls(&many, &path), calls(&few, &path), "{query}");
    }
}

#[test]
fn the_calls_of_the_operators_routes_do_not_grow_with_the_number_of_projects() {
    let (few, many) = (service_of_many_projects(10), service_of_many_projects(900));
    for (method, path) in [("GET", "/_ops/state"), ("POST", "/_ops/repair"), ("POST", "/_ops/tick")] {
        let calls = [&few, &many].map(|service| {
            service.key_value.faults.reset();
            let answer = service.send(operator(method, path, b""));
            assert!(answer.status().is_success(), "{method} {path}: {}", json(&answer));
            if path == "/_ops/repair" {
                let found = json(&answer);
                assert_eq!(found["projects"], found["rows"], "each has one snapshot");
            }
            service.key_value.faults.calls().len()
        });
        assert!(calls[1] <= calls[0] + 2, "{method} {path}: {calls:?} calls of 10 and 900 projects");
    }
}

/// A volume of `a1` with snapshots in two projects, and a volume that stays.
const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const OTHER: &str = "aaaaaaaa-0000-4000-8000-000000000002";
/// The snapshots of the volume in `a1` and in `b2`, and those of the other volume in `a1`.
const OF_VOLUME: (usize, usize) = (35, 2);
const OF_OTHER: usize = 3;

/// Returns a service in which a tick looks at five rows, and a request deletes four snapshots with their volume.
fn service_with_a_crowded_volume(progression: &str) -> NativeService {
    let variables =
        [("progression", progression), ("rows_per_tick", "5"), ("cascade_at_once", "4"), ("quota_snapshots", "-1")];
    let service = NativeService::with_variables(
        variables.into_iter().fold(TestVariables::default(), |all, (name, value)| all.with(name, value)),
    );
    let owners = std::iter::repeat_n(("a1", VOLUME), OF_VOLUME.0)
        .chain(std::iter::repeat_n(("b2", VOLUME), OF_VOLUME.1))
        .chain(std::iter::repeat_n(("a1", OTHER), OF_OTHER));
    let snapshots: Vec<Value> = owners
        .enumerate()
        .map(|(number, (project, volume))| {
            let created_at = Timestamp::from_seconds(FIRST + i64::try_from(number % 7).expect("small")).to_string();
            json!({ "id": snapshot_id(number), "project_id": project, "volume_id": volume, "size": 2, "created_at": created_at })
        })
        .collect();
    let volumes = [VOLUME, OTHER].map(|id| json!({ "id": id, "project_id": "a1", "size": 2 }));
    service.put_state(&json!({ "volumes": volumes, "snapshots": snapshots }));
    service
}

fn delete_all(service: &NativeService, query: &str) -> u16 {
    service.delete(&format!("/v3/a1/volumes/{VOLUME}?cascade=true{query}")).status
}

fn volume_status(service: &NativeService) -> Option<String> {
    service.status_of(&format!("/v3/a1/volumes/{VOLUME}"))
}

/// Returns the number of snapshots of a volume in all projects.
fn left(service: &NativeService, volume: &str) -> usize {
    service.ids(&format!("/v3/a1/snapshots?all_tenants=1&volume_id={volume}")).len()
}

fn tick(service: &NativeService) -> Value {
    let answer = service.operate("POST", "/_ops/tick", &Value::Null);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Runs ticks until one has nothing to do. Returns how many there were.
fn ticks_until_idle(service: &NativeService) -> usize {
    for number in 1..100 {
        service.key_value.faults.reset();
        let report = tick(service);
        assert!(volume_status(service).is_some() || left(service, VOLUME) == 0, "no snapshot outlives its volume");
        if service.key_value.faults.commits() == 0 && report["more"] == false {
            return number;
        }
        service.advance(1.0);
    }
    panic!("ticks never come to an end");
}

/// Checks that counters, counts, lists, and rows agree.
fn check_quota(service: &NativeService, case: &str) {
    let state = service.state();
    for project in ["a1", "b2"] {
        let own = |kind: &str| {
            let rows = state[kind].as_array().expect("rows").iter();
            rows.filter(|row| row["project_id"] == project).count()
        };
        let (snapshots, volumes) = (own("snapshots"), own("volumes"));
        for (resource, right) in [("snapshots", snapshots), ("gigabytes", 2 * (snapshots + volumes))] {
            if let Some(counter) = state["quota_usage"][project].get(resource) {
                assert_eq!(counter["in_use"], json!(right), "{case}: {resource} of {project}");
            }
        }
        let listed = service.ids(&format!("/v3/a1/snapshots?all_tenants=1&project_id={project}")).len();
        assert_eq!(listed, snapshots, "{case}: the list of {project}");
    }
    assert_eq!(service.count("/v3/a1/snapshots"), service.ids("/v3/a1/snapshots").len(), "{case}: the count");
}

/// Checks that the volume and its snapshots are gone, and nothing else.
fn check_gone(service: &NativeService, case: &str) {
    assert_eq!(volume_status(service), None, "{case}");
    assert_eq!((left(service, VOLUME), left(service, OTHER)), (0, OF_OTHER), "{case}");
    check_quota(service, case);
    let stored = service.key_value.dump();
    let rows = stored.keys().filter(|key| key.starts_with("vs1:snapshot:")).count();
    assert_eq!(rows, OF_OTHER, "{case}: no row is left");
    let repair = service.operate("POST", "/_ops/repair", &Value::Null).body;
    for found in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
        assert_eq!(repair[found], 0, "{case}: {repair}");
    }
}

#[test]
fn a_volume_with_many_snapshots_goes_in_steps_and_last() {
    let service = service_with_a_crowded_volume("time");
    let all = OF_VOLUME.0 + OF_VOLUME.1;
    service.key_value.faults.reset();
    assert_eq!(delete_all(&service, ""), 202);
    assert_eq!(service.key_value.faults.commits(), 2, "the agenda, and the row of the volume");
    assert_eq!((volume_status(&service).as_deref(), left(&service, VOLUME)), (Some("deleting"), all));
    assert_eq!(service.ask_for_snapshot("/v3/a1", VOLUME).status, 400, "no snapshot is made of it meanwhile");
    assert_eq!(delete_all(&service, ""), 400, "and it is not deleted twice");
    tick(&service);
    assert_eq!(left(&service, VOLUME), all, "it is not due");
    for step in 1.. {
        // Each time is most of the time bound, which is an hour.
        service.advance(3_000.0);
        let report = tick(&service);
        let expected = all.saturating_sub(step * 4);
        // A tick looks at the volume and at four snapshots.
        assert_eq!(left(&service, VOLUME), expected, "{report}");
        check_quota(&service, "on the way");
        if expected == 0 {
            break;
        }
        assert_eq!((volume_status(&service).as_deref(), &report["more"]), (Some("deleting"), &json!(true)));
        assert!(service.key_value.dump()["vs1:agenda:07"].len() < 2_000, "the agenda stays small");
    }
    ticks_until_idle(&service);
    check_gone(&service, "at the end");
}

#[test]
fn in_every_progression_the_occasion_that_ends_a_delete_carries_on_a_cascade() {
    for (progression, operator_only) in [("immediate", false), ("manual", true)] {
        let service = service_with_a_crowded_volume(progression);
        assert_eq!(delete_all(&service, ""), 202);
        service.advance(2.0);
        tick(&service);
        assert_eq!(left(&service, VOLUME) == OF_VOLUME.0 + OF_VOLUME.1, operator_only, "{progression}");
        for _ in 0..20 {
            let now = json!({ "now": service.now().plus_seconds(100_000.0).to_string() });
            assert_eq!(service.operate("POST", "/_ops/tick", &now).status, 200);
        }
        check_gone(&service, progression);
    }
}

#[test]
fn without_ticks_a_cascade_is_given_up_until_a_tick_carries_it_on_or_a_request_gives_the_volume_another_status() {
    for is_changed in [false, true] {
        let service = service_with_a_crowded_volume("time");
        assert_eq!(delete_all(&service, ""), 202);
        service.advance(3_602.0);
        assert_eq!(volume_status(&service).as_deref(), Some("error_deleting"));
        if is_changed {
            let name = json!({ "volume": { "name": "kept" } });
            assert_eq!(service.call("PUT", &format!("/v3/a1/volumes/{VOLUME}"), &name).status, 200);
            ticks_until_idle(&service);
            assert_eq!(volume_status(&service).as_deref(), Some("error_deleting"));
            assert_eq!(left(&service, VOLUME), OF_VOLUME.0 + OF_VOLUME.1, "its snapshots stay with it");
            assert_eq!(delete_all(&service, "&force=true"), 202);
            service.advance(2.0);
        }
        ticks_until_idle(&service);
        check_gone(&service, "after its bound");
    }
}

#[test]
fn a_cascade_goes_on_wherever_the_clock_jumps() {
    for jump in [-400.0, -1.0, 1.0, 400.0] {
        let service = service_with_a_crowded_volume("time");
        assert_eq!(delete_all(&service, ""), 202);
        service.advance(2.0);
        for _ in 0..3 {
            tick(&service);
            service.advance(jump * 86_400.0);
        }
        for _ in 0..20 {
            tick(&service);
            service.advance(1.0);
        }
        ticks_until_idle(&service);
        check_gone(&service, &format!("{jump} days"));
    }
}

#[test]
fn a_busy_snapshot_among_many_refuses_the_cascade() {
    let service = service_with_a_crowded_volume("time");
    let oldest = service.ids(&format!("/v3/a1/snapshots?all_tenants=1&volume_id={VOLUME}")).pop().expect("snapshots");
    let reset = json!({ "os-reset_status": { "status": "creating" } });
    assert_eq!(service.call("POST", &format!("/v3/a1/snapshots/{oldest}/action"), &reset).status, 202);
    assert_eq!(delete_all(&service, ""), 400);
    assert_eq!(volume_status(&service).as_deref(), Some("available"));
}

#[test]
fn an_administrator_may_stop_a_cascade_and_begin_it_again() {
    let service = service_with_a_crowded_volume("time");
    assert_eq!(delete_all(&service, ""), 202);
    service.advance(2.0);
    tick(&service);
    let then = left(&service, VOLUME);
    let action = |body: Value| service.call("POST", &format!("/v3/a1/volumes/{VOLUME}/action"), &body).status;
    assert_eq!(action(json!({ "os-force_delete": null })), 400, "it still has snapshots, as in Cinder");
    assert_eq!(action(json!({ "os-reset_status": { "status": "error" } })), 202);
    service.advance(120.0);
    ticks_until_idle(&service);
    assert_eq!((volume_status(&service).as_deref(), left(&service, VOLUME)), (Some("error"), then));
    check_quota(&service, "stopped");
    assert_eq!(delete_all(&service, ""), 202);
    service.advance(2.0);
    tick(&service);
    assert_eq!(delete_all(&service, "&force=true"), 202, "it begins anew");
    service.advance(2.0);
    ticks_until_idle(&service);
    check_gone(&service, "begun again");
}

#[test]
fn a_cascade_goes_on_after_its_state_was_put_back() {
    let service = service_with_a_crowded_volume("time");
    assert_eq!(delete_all(&service, ""), 202);
    service.advance(2.0);
    tick(&service);
    let state = service.state();
    service.put_state(&state);
    assert_eq!(service.state(), state);
    ticks_until_idle(&service);
    check_gone(&service, "put back");
}

/// Runs `first` with `second` in the middle of it, before each of its calls of the store in turn, and then checks.
fn interleave(
    first: impl Fn(&NativeService, &dyn KeyValue) -> u16,
    second: impl Fn(&NativeService) -> u16,
    check: impl Fn(&NativeService, (u16, u16), &str),
) {
    for calls in 0.. {
        let service = service_with_a_crowded_volume("time");
        assert!(calls < 100);
        let answer = Cell::new(0);
        let event: Box<dyn FnOnce() + '_> = Box::new(|| answer.set(second(&service)));
        let interrupted = Interrupted { service: &service, calls: Cell::new(calls), event: RefCell::new(Some(event)) };
        let first = first(&service, &interrupted);
        if interrupted.event.borrow().is_some() {
            return;
        }
        check(&service, (first, answer.get()), &format!("before call {calls}"));
    }
}

#[test]
fn two_ticks_of_a_cascade_at_once_give_nothing_back_twice() {
    let tick_of = |key_value: &dyn KeyValue, service: &NativeService| {
        assert_eq!(service.send_through(key_value, operator("POST", "/_ops/tick", b"")).status(), 200);
    };
    let first = |service: &NativeService, key_value: &dyn KeyValue| {
        assert_eq!(delete_all(service, ""), 202);
        service.advance(2.0);
        tick_of(key_value, service);
        200
    };
    let second = |service: &NativeService| {
        tick_of(&service.key_value, service);
        200
    };
    interleave(first, second, |service, _, case| {
        check_quota(service, case);
        ticks_until_idle(service);
        check_gone(service, case);
    });
}

#[test]
fn of_a_create_and_a_cascade_that_cross_one_is_refused() {
    let first = |service: &NativeService, key_value: &dyn KeyValue| {
        let path = format!("/v3/a1/volumes/{VOLUME}?cascade=true");
        service.send_through(key_value, client("DELETE", &path, &Value::Null)).status().as_u16()
    };
    let second = |service: &NativeService| service.ask_for_snapshot("/v3/a1", VOLUME).status;
    interleave(first, second, |service, (deleted, created), case| {
        assert!(matches!((deleted, created), (202, 400) | (400, 202)), "{case}: {deleted}, {created}");
        service.advance(120.0);
        ticks_until_idle(service);
        if deleted == 202 {
            check_gone(service, case);
        } else {
            assert_eq!(left(service, VOLUME), OF_VOLUME.0 + OF_VOLUME.1 + 1, "{case}");
            check_quota(service, case);
        }
    });
}
