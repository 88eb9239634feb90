//! `kill -9` under load: a host is killed while clients create, change, and delete through it, and is restarted on the
//! same file. No acknowledged change is lost, and all views agree.
//!
//! A request without an answer may or may not have had its effect. Afterwards it is the same for everybody. After a few
//! seconds of ticks a repair finds nothing wrong: a create without an answer is done or gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::Service;
use crate::support::calls::{Answer, BOUND, Calls, id_of, string_of};
use crate::support::host_process::{HostProcess, StateDirectory};
use crate::support::laws::short_or_whole;
use serde_json::{Value, json};

const WRITERS: usize = 8;
const VARIABLES: [(&str, &str); 4] =
    [("create_seconds", "0"), ("delete_seconds", "0.2"), ("quota_snapshots", "-1"), ("quota_gigabytes", "-1")];

/// Returns the time that writers work before the kill. It grows with each round, so that the kill happens at different
/// points.
fn load(round: usize) -> Duration {
    Duration::from_millis(300 + 37 * round as u64)
}

/// The knowledge about one snapshot. A request is unsure until it is acknowledged.
#[derive(Debug, Default)]
struct Known {
    items: BTreeSet<String>,
    unsure_items: BTreeSet<String>,
    deletion: Deletion,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Deletion {
    #[default]
    NotAsked,
    Unsure,
    Acknowledged,
}

/// The knowledge of a writer.
#[derive(Debug, Default)]
struct Writer {
    number: usize,
    /// Its own snapshots, by id.
    snapshots: BTreeMap<String, Known>,
    /// Names of snapshots whose creation was not answered.
    unsure_names: BTreeSet<String>,
    /// Its metadata items of the snapshot that all writers share.
    shared: Known,
    /// The number of its requests, so that all names differ.
    asked: usize,
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let directory = StateDirectory::new("kill");
    let mut host = HostProcess::start("host", &directory, &VARIABLES);
    let volume = host.new_volume("/v3", 1);
    let shared = host.new_snapshot("/v3", &volume);
    let mut writers: Vec<Writer> = (0..WRITERS).map(|number| Writer { number, ..Writer::default() }).collect();
    let rounds = short_or_whole(6, 20);
    for round in 0..rounds {
        let is_killed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in &mut writers {
                let client = Client { host: &host, is_killed: &is_killed };
                let (volume, shared) = (&volume, &shared);
                scope.spawn(move || writer.work(&client, volume, shared));
            }
            std::thread::sleep(load(round));
            is_killed.store(true, Ordering::SeqCst);
            host.kill();
        });
        host = HostProcess::start("host", &directory, &VARIABLES);
        assert_nothing_is_lost(&host, &mut writers, &shared);
        assert_repair_finds_nothing(&host);
    }
    println!("{rounds} rounds, {} times asked", writers.iter().map(|writer| writer.asked).sum::<usize>());
}

/// The host is gone.
struct Gone;

/// The client of a writer.
struct Client<'a> {
    host: &'a HostProcess,
    /// Set just before the kill. From then on answers may be missing.
    is_killed: &'a AtomicBool,
}

impl Client<'_> {
    /// Sends a request once. A 503 counts as no answer: the host may not know whether the request had an effect.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Option<Answer>, Gone> {
        match self.host.try_call(method, path, body) {
            Ok(answer) if answer.status == 503 => Ok(None),
            Ok(answer) => Ok(Some(answer)),
            Err(error) => {
                assert!(self.is_killed.load(Ordering::SeqCst), "{method} {path} before the kill: {error}");
                Err(Gone)
            }
        }
    }
}

impl Writer {
    /// The number of snapshots that a writer keeps.
    const KEPT: usize = 6;

    /// Creates, changes, and deletes snapshots until the host is gone.
    fn work(&mut self, client: &Client<'_>, volume: &str, shared: &str) {
        while self.work_once(client, volume, shared).is_ok() {}
    }

    fn work_once(&mut self, client: &Client<'_>, volume: &str, shared: &str) -> Result<(), Gone> {
        self.create(client, volume)?;
        self.change(client, shared)?;
        self.delete(client)
    }

    fn name(&mut self) -> String {
        self.asked += 1;
        format!("{}-{}", self.number, self.asked)
    }

    fn create(&mut self, client: &Client<'_>, volume: &str) -> Result<(), Gone> {
        let name = self.name();
        let body = json!({ "snapshot": { "volume_id": volume, "name": &name } });
        self.unsure_names.insert(name.clone());
        if let Some(answer) = client.ask("POST", "/v3/snapshots", &body)? {
            assert_eq!(answer.status, 202, "{answer:?}");
            self.unsure_names.remove(&name);
            self.snapshots.insert(id_of(&answer.body["snapshot"]), Known::default());
        }
        Ok(())
    }

    /// Merges an item into the shared snapshot and into each of its own.
    fn change(&mut self, client: &Client<'_>, shared: &str) -> Result<(), Gone> {
        let item = self.name();
        let body = json!({ "metadata": { &item: "here" } });
        let own = self.snapshots.iter_mut().filter(|(_, known)| known.deletion == Deletion::NotAsked);
        for (id, known) in own.map(|(id, known)| (id.as_str(), known)).chain([(shared, &mut self.shared)]) {
            known.unsure_items.insert(item.clone());
            if let Some(answer) = client.ask("POST", &format!("/v3/snapshots/{id}/metadata"), &body)? {
                assert_eq!(answer.status, 200, "{answer:?}");
                known.unsure_items.remove(&item);
                known.items.insert(item.clone());
            }
        }
        Ok(())
    }

    /// Deletes the snapshots beyond [`Writer::KEPT`].
    fn delete(&mut self, client: &Client<'_>) -> Result<(), Gone> {
        let own = self.snapshots.iter_mut().filter(|(_, known)| known.deletion == Deletion::NotAsked);
        for (id, known) in own.skip(Self::KEPT) {
            known.deletion = Deletion::Unsure;
            if let Some(answer) = client.ask("DELETE", &format!("/v3/snapshots/{id}"), &Value::Null)? {
                assert_eq!(answer.status, 202, "{answer:?}");
                known.deletion = Deletion::Acknowledged;
            }
        }
        Ok(())
    }
}

/// Checks that every view after the kill agrees with the writers, and settles what was unsure.
fn assert_nothing_is_lost(host: &HostProcess, writers: &mut [Writer], shared: &str) {
    let deleted = |known: &Known| known.deletion == Deletion::Acknowledged;
    for (id, _) in writers.iter().flat_map(|writer| &writer.snapshots).filter(|(_, known)| deleted(known)) {
        let status = host.status_of(&format!("/v3/snapshots/{id}"));
        assert!(
            [None, Some("deleting")].contains(&status.as_deref()),
            "{id} is {status:?} although its delete was accepted"
        );
    }
    let mut listed = settled_rows(host);
    assert_items(
        &listed.remove(shared).expect("the shared snapshot"),
        writers.iter_mut().map(|writer| &mut writer.shared),
    );
    for writer in writers.iter_mut() {
        writer.snapshots.retain(|id, known| {
            let row = listed.remove(id);
            match (known.deletion, row) {
                (Deletion::Acknowledged, row) => assert_eq!(row, None, "its delete was accepted"),
                (Deletion::Unsure, None) => {}
                (Deletion::NotAsked, None) => panic!("{id} is lost"),
                (Deletion::NotAsked | Deletion::Unsure, Some(row)) => {
                    assert_eq!(row["status"], "available");
                    assert_items(&row, [&mut *known].into_iter());
                    known.deletion = Deletion::NotAsked;
                    return true;
                }
            }
            false
        });
    }
    // Snapshots whose creation was not answered.
    for (id, row) in listed {
        let name = string_of(&row["name"]);
        let writer = writers.iter_mut().find(|writer| writer.unsure_names.contains(&name));
        writer.unwrap_or_else(|| panic!("nobody has asked for {row}")).snapshots.insert(id, Known::default());
    }
    for writer in writers {
        writer.unsure_names.clear();
    }
}

/// Checks that a repair finds nothing wrong, and that it soon checks no other rows than those that are listed. A row whose
/// removal is due is in no list, and the next tick removes it.
fn assert_repair_finds_nothing(host: &HostProcess) {
    let end = Instant::now() + BOUND;
    loop {
        let listed = host.ids("/v3/snapshots").len() + host.ids("/v3/volumes").len();
        let report = host.operate("POST", "/_ops/repair", &Value::Null);
        for wrong in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
            assert_eq!(report.body[wrong], 0, "{report:?}");
        }
        if report.body["rows"] == listed {
            return;
        }
        assert!(Instant::now() < end, "{listed} rows are listed: {report:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Checks that a row has all acknowledged items, and otherwise only unsure ones.
fn assert_items<'a>(row: &Value, known: impl Iterator<Item = &'a mut Known>) {
    let mut items: BTreeSet<String> = row["metadata"].as_object().expect("metadata").keys().cloned().collect();
    for known in known {
        for item in &known.items {
            assert!(items.remove(item), "{item} is lost from {row}");
        }
        let unsure = std::mem::take(&mut known.unsure_items);
        known.items.extend(unsure.into_iter().filter(|item| items.remove(item)));
    }
    assert_eq!(items, BTreeSet::new(), "nobody has added these");
}

/// Returns the rows of the list by id, after ticks have removed the deleted ones and all views agree.
fn settled_rows(host: &HostProcess) -> BTreeMap<String, Value> {
    let start = Instant::now();
    loop {
        let tick = host.operate("POST", "/_ops/tick", &Value::Null);
        assert_eq!(tick.status, 200, "{tick:?}");
        let listed: BTreeMap<String, Value> =
            host.rows("/v3/snapshots/detail").into_iter().map(|row| (id_of(&row), row)).collect();
        let ids: BTreeSet<String> = listed.keys().cloned().collect();
        let stored: BTreeSet<String> = host.state()["snapshots"].as_array().expect("rows").iter().map(id_of).collect();
        let count = host.count("/v3/snapshots");
        let quota = host.get("/v3/os-quota-sets/a1?usage=True").body["quota_set"]["snapshots"]["in_use"].clone();
        let limits = host.get("/v3/limits").body["limits"]["absolute"]["totalSnapshotsUsed"].clone();
        let is_settled = listed.values().all(|row| row["status"] == "available");
        if is_settled && stored == ids && count == ids.len() && quota == ids.len() && limits == ids.len() {
            return listed;
        }
        assert!(
            start.elapsed() < BOUND,
            "{} are listed (all available: {is_settled}), {} stored, {count} counted, {quota} in quota, {limits} in limits",
            ids.len(),
            stored.len(),
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
