//! Two processes of the embedded host on one SQLite file, like Spin's HTTP and cron triggers. Both serve HTTP and both
//! fire the schedule, with sixteen writers each. No acknowledged change is lost, and none is applied twice.
//!
//! After a 503 a client retries when the answer says so. Any other surprise fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::support::Service;
use crate::support::calls::{Answer, Calls, id_of, insist, string_of, wait_until};
use crate::support::host_process::{HostProcess, StateDirectory};
use crate::support::laws::short_or_whole;
use serde_json::{Value, json};

const PROCESSES: usize = 2;
const WRITERS: usize = 16 * PROCESSES;

/// Lets one test run at a time, because each keeps the machine busy.
static MACHINE: Mutex<()> = Mutex::new(());

fn start(directory: &StateDirectory, variables: &[(&str, &str)]) -> [HostProcess; PROCESSES] {
    std::thread::scope(|scope| {
        let name = |number: usize| format!("host-{number}");
        let starting =
            [0, 1].map(|number| scope.spawn(move || HostProcess::start(&name(number), directory, variables)));
        starting.map(|host| host.join().expect("a host"))
    })
}

/// Merges metadata of eight snapshots, 10,000 times in the whole form. Four writers share a snapshot, two in each
/// process. Each adds its own items, and its neighbour in the other process removes one in eight while it is being
/// added. An item that is left although both were acknowledged was added twice.
#[test]
fn merges_through_two_processes_are_all_there_and_applied_once() {
    const SNAPSHOTS: usize = 8;
    let each = short_or_whole(2_000_usize, 10_000).div_ceil(WRITERS);
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = StateDirectory::new("merges");
    let hosts = start(&directory, &[("create_seconds", "0")]);
    let volume = hosts[0].new_volume("/v3", 1);
    let paths: Vec<String> =
        (0..SNAPSHOTS).map(|_| format!("/v3/snapshots/{}/metadata", hosts[0].new_snapshot("/v3", &volume))).collect();
    let key = |writer: usize, number: usize| format!("{writer}-{number}");
    let is_taken_away = |number: usize| number % 8 == 7;

    let begin = Instant::now();
    let (host_of, path_of) =
        (|writer: usize| &hosts[writer % PROCESSES], |writer: usize| &paths[writer / 2 % SNAPSHOTS]);
    let tried_again: BTreeSet<String> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let (host, path) = (host_of(writer), path_of(writer));
                    let mut tried_again = BTreeSet::new();
                    for number in 0..each {
                        let own = key(writer, number);
                        let body = json!({ "metadata": { &own: number.to_string() } });
                        let (answer, was_busy) = insist(|| host.call("POST", path, &body));
                        assert_eq!(answer.status, 200, "{answer:?}");
                        assert_eq!(answer.body["metadata"][&own], number.to_string());
                        if was_busy {
                            tried_again.insert(own);
                        }
                        if is_taken_away(number) {
                            let neighbours = format!("{path}/{}", key(writer ^ 1, number));
                            wait_until(&neighbours, || {
                                let (answer, _) = insist(|| host.delete(&neighbours));
                                assert!([200, 404].contains(&answer.status), "{answer:?}");
                                answer.status == 200
                            });
                        }
                    }
                    tried_again
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect()
    });
    let (merges, took) = (WRITERS * each, begin.elapsed());
    println!("{merges} merges in {took:?}; {} of them were told to come back", tried_again.len());

    for host in &hosts {
        let mut metadata: BTreeMap<String, Value> = BTreeMap::new();
        for path in &paths {
            metadata.extend(host.get(path).body["metadata"].as_object().expect("metadata").clone());
        }
        for (writer, number) in (0..WRITERS).flat_map(|writer| (0..each).map(move |number| (writer, number))) {
            let key = key(writer, number);
            let found = metadata.remove(&key);
            if !is_taken_away(number) {
                assert_eq!(found, Some(json!(number.to_string())), "{key} is lost");
            } else if !tried_again.contains(&key) {
                // A client that retried has asked twice itself.
                assert_eq!(found, None, "{key} was added twice");
            }
        }
        assert_eq!(metadata, BTreeMap::new(), "nobody has added these");
    }
}

/// Returns the number of things that were wrong in a repair.
fn repaired(host: &HostProcess) -> u64 {
    let (report, _) = insist(|| host.operate("POST", "/_ops/repair", &Value::Null));
    let wrong = ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"];
    let counts = wrong.map(|name| report.body[name].as_u64().unwrap_or_else(|| panic!("{report:?}")));
    if counts != [0; 4] {
        println!("a repair found {}", report.body);
    }
    counts.iter().sum()
}

/// Each writer creates snapshots and deletes every other one, half of them through the other process. A repair finds
/// nothing wrong, however often it runs meanwhile and however long a request takes
/// (`docs/adr/0017-the-order-of-a-create.md`).
#[test]
fn creates_and_deletes_through_two_processes_are_listed_and_counted() {
    const EACH: usize = 25;
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = StateDirectory::new("creates");
    let variables =
        [("create_seconds", "0"), ("delete_seconds", "0.5"), ("quota_snapshots", "-1"), ("quota_gigabytes", "-1")];
    let hosts = start(&directory, &variables);
    let volume = hosts[0].new_volume("/v3", 1);

    let begin = Instant::now();
    let host_of = |writer: usize| &hosts[writer % PROCESSES];
    let (volume, host_of) = (&volume, &host_of);
    let is_over = AtomicBool::new(false);
    let slowest = AtomicU64::new(0);
    let slowest = &slowest;
    let left: BTreeMap<String, String> = std::thread::scope(|scope| {
        let repairs = scope.spawn(|| {
            let (mut repairs, mut found) = (0, 0);
            while !is_over.load(Ordering::SeqCst) {
                found += repaired(&hosts[repairs % PROCESSES]);
                repairs += 1;
            }
            (repairs, found)
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let mut left = BTreeMap::new();
                    for number in 0..EACH {
                        let name = format!("{writer}-{number}");
                        let body = json!({ "snapshot": { "volume_id": volume, "name": name } });
                        let timed = |request: &dyn Fn() -> Answer| {
                            let asked = Instant::now();
                            let (answer, _) = insist(request);
                            slowest.fetch_max(asked.elapsed().as_secs(), Ordering::SeqCst);
                            answer
                        };
                        let answer = timed(&|| host_of(writer).call("POST", "/v3/snapshots", &body));
                        assert_eq!(answer.status, 202, "{answer:?}");
                        let id = id_of(&answer.body["snapshot"]);
                        if number % 2 == 0 {
                            let deleting_host = host_of(writer + number / 2);
                            let answer = timed(&|| deleting_host.delete(&format!("/v3/snapshots/{id}")));
                            assert_eq!(answer.status, 202, "{answer:?}");
                        } else {
                            left.insert(id, name);
                        }
                    }
                    left
                })
            })
            .collect();
        let written: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::SeqCst);
        let left = written.into_iter().flat_map(|left| left.expect("a writer")).collect();
        let (repairs, found) = repairs.join().expect("repairs");
        println!("{repairs} repairs meanwhile, the slowest request took {} s", slowest.load(Ordering::SeqCst));
        assert_eq!(found, 0, "after {repairs} repairs");
        left
    });
    println!("{} creates and {} deletes in {:?}", WRITERS * EACH, WRITERS * EACH / 2, begin.elapsed());

    let quota = |host: &HostProcess| {
        let answer = host.get("/v3/os-quota-sets/a1?usage=True");
        answer.body["quota_set"]["snapshots"]["in_use"].clone()
    };
    wait_until("the removal of what was deleted", || quota(&hosts[0]) == left.len());
    println!("all was removed after {:?}", begin.elapsed());
    let named = |rows: Vec<Value>| -> BTreeMap<String, String> {
        rows.iter().map(|row| (id_of(row), string_of(&row["name"]))).collect()
    };
    for host in &hosts {
        let mut listed: Vec<Value> = Vec::new();
        while listed.len() < left.len() {
            let marker = listed.last().map(|row| format!("&marker={}", id_of(row))).unwrap_or_default();
            let page = host.rows(&format!("/v3/snapshots?limit=100{marker}"));
            assert!(!page.is_empty(), "{} of {} are listed", listed.len(), left.len());
            listed.extend(page);
        }
        assert_eq!(listed.len(), left.len());
        assert_eq!(named(listed), left);
        assert_eq!(host.count("/v3/snapshots"), left.len());
        assert_eq!(quota(host), left.len());
        let limits = host.get("/v3/limits").body["limits"]["absolute"].clone();
        assert_eq!(limits["totalSnapshotsUsed"], left.len());
        // One gigabyte for each, and one for their volume.
        assert_eq!(limits["totalGigabytesUsed"], left.len() + 1);
        let rows = host.state()["snapshots"].as_array().expect("rows").clone();
        assert_eq!(rows.len(), left.len());
        assert_eq!(named(rows), left);
        for id in left.keys() {
            assert_eq!(host.status_of(&format!("/v3/snapshots/{id}")).as_deref(), Some("available"));
        }
    }
}

/// An answered create of a writer: the id, and the times of the request and of the answer.
type Created = (String, Instant, Instant);

/// The whole state is replaced while eight writers create and delete through both processes. Afterwards it is the
/// document, and what was acknowledged after it. No other row is left, not even one that no list shows.
#[test]
fn a_replacement_of_the_state_among_writers_leaves_the_document_and_what_came_after_it() {
    const ROWS: usize = 2_000;
    let rounds = short_or_whole(3, 12);
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = StateDirectory::new("replacement");
    let variables =
        [("create_seconds", "0"), ("delete_seconds", "0"), ("quota_snapshots", "-1"), ("quota_gigabytes", "-1")];
    let hosts = start(&directory, &variables);
    let volume = "aaaaaaaa-0000-4000-8000-000000000001";
    for round in 0..rounds {
        let rows: Vec<Value> = (0..ROWS)
            .map(|number| json!({ "id": format!("dddddddd-0000-4000-8000-{round:04}{number:08}"), "project_id": "a1" }))
            .collect();
        let of_document: BTreeSet<String> = rows.iter().map(id_of).collect();
        let document = json!({ "volumes": [{ "project_id": "a1" }], "snapshots": rows });
        if round == 0 {
            assert_eq!(
                hosts[0].operate("PUT", "/_ops/state", &json!({ "volumes": [{ "project_id": "a1" }] })).status,
                200
            );
        }
        let is_over = AtomicBool::new(false);
        let (created, undeleted, begun, ended) = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|writer| {
                    let (host, is_over) = (&hosts[writer % PROCESSES], &is_over);
                    scope.spawn(move || write_until_over(host, volume, is_over))
                })
                .collect();
            std::thread::sleep(Duration::from_millis(700));
            let begun = Instant::now();
            let answer = hosts[0].operate("PUT", "/_ops/state", &document);
            let ended = Instant::now();
            assert_eq!(answer.status, 200, "{answer:?}");
            std::thread::sleep(Duration::from_millis(700));
            is_over.store(true, Ordering::SeqCst);
            let (mut created, mut undeleted) = (Vec::new(), BTreeSet::new());
            for writer in writers {
                let written = writer.join().expect("a writer");
                created.extend(written.0);
                undeleted.extend(written.1);
            }
            (created, undeleted, begun, ended)
        });
        let ids_of = |is_wanted: &dyn Fn(&Created) -> bool| -> BTreeSet<String> {
            created.iter().filter(|created| is_wanted(created)).map(|(id, ..)| id.clone()).collect()
        };
        let before = ids_of(&|(_, _, answered)| *answered < begun);
        let after = ids_of(&|(_, asked, _)| *asked > ended);
        let either = ids_of(&|_| true);

        let stored = || -> BTreeSet<String> {
            hosts[1].state()["snapshots"].as_array().expect("rows").iter().map(id_of).collect()
        };
        wait_until("the removal of what was deleted, and of what was not created", || {
            hosts[1].count("/v3/snapshots") == stored().len()
        });
        let stored = stored();
        println!("{} before, {} after, {} in all; {} stored", before.len(), after.len(), either.len(), stored.len());
        assert!(stored.is_superset(&of_document), "all of the document");
        assert!(stored.is_superset(&after), "all that was acknowledged after it");
        assert!(stored.is_disjoint(&before), "nothing that was acknowledged before it");
        let is_known = |id: &&String| of_document.contains(*id) || either.contains(*id) || undeleted.contains(*id);
        let others = stored.iter().filter(|id| !is_known(id)).count();
        assert_eq!(others, 0, "nothing that was never acknowledged");
        wait_until("the removal of every row that is in no list", || {
            let report = hosts[0].operate("POST", "/_ops/repair", &Value::Null);
            for wrong in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
                assert_eq!(report.body[wrong], 0, "{report:?}");
            }
            report.body["rows"] == stored.len() + 1
        });
    }
}

/// Creates snapshots, and deletes every third one, until it is over. Returns those that it did not delete, and the ids of
/// those whose deletion was answered with a 503, which may be there or not. A 503 says that nothing was created.
fn write_until_over(host: &HostProcess, volume: &str, is_over: &AtomicBool) -> (Vec<Created>, Vec<String>) {
    let (mut created, mut undeleted) = (Vec::new(), Vec::new());
    for number in 0.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let asked = Instant::now();
        let answer = host.ask_for_snapshot("/v3", volume);
        assert!([202, 503].contains(&answer.status), "{answer:?}");
        if answer.status == 202 {
            let id = id_of(&answer.body["snapshot"]);
            if number % 3 == 0 {
                let answer = host.delete(&format!("/v3/snapshots/{id}"));
                assert!([202, 404, 503].contains(&answer.status), "{answer:?}");
                if answer.status == 503 {
                    undeleted.push(id);
                }
            } else {
                created.push((id, asked, Instant::now()));
            }
        }
    }
    (created, undeleted)
}
