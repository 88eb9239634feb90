//! Two processes of the embedded host on one SQLite file, like Spin's HTTP and cron triggers. Both serve HTTP and both
//! fire the schedule, with sixteen writers each. No acknowledged change is lost, and none is applied twice.
//!
//! After a 503 a client retries when the answer says so. Any other surprise fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::support::Service;
use crate::support::calls::{Calls, id_of, insist, string_of, wait_until};
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

/// Each writer creates snapshots and deletes every other one, half of them through the other process.
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
    let left: BTreeMap<String, String> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let mut left = BTreeMap::new();
                    for number in 0..EACH {
                        let name = format!("{writer}-{number}");
                        let body = json!({ "snapshot": { "volume_id": volume, "name": name } });
                        let (answer, _) = insist(|| host_of(writer).call("POST", "/v3/snapshots", &body));
                        assert_eq!(answer.status, 202, "{answer:?}");
                        let id = id_of(&answer.body["snapshot"]);
                        if number % 2 == 0 {
                            let deleting_host = host_of(writer + number / 2);
                            let (answer, _) = insist(|| deleting_host.delete(&format!("/v3/snapshots/{id}")));
                            assert_eq!(answer.status, 202, "{answer:?}");
                        } else {
                            left.insert(id, name);
                        }
                    }
                    left
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect()
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
