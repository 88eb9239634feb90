//! The whole service against a small model: random sequences of steps by clients, an administrator, a storage agent,
//! and the schedule, in each progression. After every step the answer agrees with the model, and at the end lists,
//! counts, and quota agree too.
//!
//! There are ten thousand sequences in CI and fifteen hundred elsewhere. They are always the same unless
//! `PROPTEST_RNG_SEED` is set (`tests/it/support/laws.rs`). A failure prints the seed and the shortest sequence found.
//! Native, because the model is about the rules. Other tests show that the component follows them.

use std::collections::BTreeMap;

use crate::support::Service;
use crate::support::native::{NativeService, TestVariables};
use http::Request;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// The number of snapshots that a project may have.
const QUOTA: usize = 4;
const VOLUMES: [(&str, &str); 2] =
    [("a1", "aaaaaaaa-0000-4000-8000-000000000001"), ("b2", "aaaaaaaa-0000-4000-8000-000000000002")];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Admin,
    Member,
    Reader,
    MemberOfOther,
}

impl Who {
    fn project(self) -> usize {
        usize::from(self == Self::MemberOfOther)
    }

    fn roles(self) -> &'static str {
        match self {
            Self::Admin => "admin,member,reader",
            Self::Member | Self::MemberOfOther => "member,reader",
            Self::Reader => "reader",
        }
    }
}

/// A step. Numbers refer to snapshots in the order of their creation.
#[derive(Debug, Clone)]
enum Step {
    Create(&'static str),
    Show(usize),
    Rename(usize, &'static str),
    Delete(usize),
    ForceDelete(usize),
    Unmanage(usize),
    Reset(usize, &'static str),
    Report(usize, &'static str),
    Merge(usize, &'static str, &'static str),
    Replace(usize, &'static str),
    PutKey(usize, &'static str, &'static str),
    DeleteKey(usize, &'static str),
    List(Option<&'static str>, usize),
    Advance(u32),
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Create,
    Remove,
}

/// A snapshot of the model.
#[derive(Debug, Clone)]
struct Modelled {
    id: String,
    project: usize,
    created: i64,
    name: &'static str,
    metadata: BTreeMap<&'static str, &'static str>,
    status: &'static str,
    progress: &'static str,
    /// The work under way, and the time when it is due, in tenths of a second.
    work: Option<(Work, i64)>,
    gone: bool,
}

struct Model {
    progression: &'static str,
    now: i64,
    snapshots: Vec<Modelled>,
}

impl Model {
    fn end(snapshot: &mut Modelled) {
        match snapshot.work.take() {
            Some((Work::Create, _)) => (snapshot.status, snapshot.progress) = ("available", "100%"),
            Some((Work::Remove, _)) => snapshot.gone = true,
            None => {}
        }
    }

    fn advance(&mut self, tenths: u32) {
        self.now += i64::from(tenths);
        let (now, by_clock) = (self.now, self.progression == "time");
        let is_due = |snapshot: &&mut Modelled| by_clock && snapshot.work.is_some_and(|(_, due)| due <= now);
        self.snapshots.iter_mut().filter(is_due).for_each(Self::end);
    }

    fn tick(&mut self) {
        if self.progression == "immediate" {
            self.snapshots.iter_mut().for_each(Self::end);
        }
    }

    fn begin(&self, work: Work) -> (Work, i64) {
        (work, self.now + if work == Work::Create { 20 } else { 10 })
    }

    /// Returns the existing snapshots of a project, in the order of a list.
    fn listed(&self, project: usize) -> Vec<&Modelled> {
        let mut listed: Vec<&Modelled> =
            self.snapshots.iter().filter(|snapshot| snapshot.project == project && !snapshot.gone).collect();
        listed.sort_unstable_by_key(|snapshot| std::cmp::Reverse((snapshot.created, &snapshot.id)));
        listed
    }

    /// Returns the snapshot that a caller means, or the status of the refusal.
    fn visible(&mut self, who: Who, number: usize) -> Result<&mut Modelled, u16> {
        let count = self.snapshots.len();
        let snapshot = self.snapshots.get_mut(number % count.max(1)).ok_or(404_u16)?;
        let is_visible = !snapshot.gone && (who == Who::Admin || snapshot.project == who.project());
        if is_visible { Ok(snapshot) } else { Err(404) }
    }

    fn writable(&mut self, who: Who, number: usize) -> Result<&mut Modelled, u16> {
        let snapshot = self.visible(who, number)?;
        if who == Who::Reader { Err(403) } else { Ok(snapshot) }
    }

    fn administrable(&mut self, who: Who, number: usize) -> Result<&mut Modelled, u16> {
        let snapshot = self.visible(who, number)?;
        if who == Who::Admin { Ok(snapshot) } else { Err(403) }
    }

    fn remove(
        snapshot: &mut Modelled,
        status: &'static str,
        work: Option<(Work, i64)>,
        force: bool,
    ) -> Result<u16, u16> {
        if !force && !["available", "error"].contains(&snapshot.status) {
            return Err(400);
        }
        (snapshot.status, snapshot.work) = (status, work);
        Ok(202)
    }

    /// Takes a step and returns the status of its answer. The caller records a created snapshot, because it learns the
    /// id.
    fn take(&mut self, who: Who, step: &Step) -> Result<u16, u16> {
        let removal = Some(self.begin(Work::Remove));
        match *step {
            Step::Create(_) if who == Who::Reader => Err(403),
            Step::Create(_) if self.listed(who.project()).len() >= QUOTA => Err(413),
            Step::Create(_) => Ok(202),
            Step::Show(number) => self.visible(who, number).map(|_| 200),
            Step::Rename(number, name) => self.writable(who, number).map(|snapshot| {
                snapshot.name = name;
                200
            }),
            Step::Delete(number) => Self::remove(self.writable(who, number)?, "deleting", removal, false),
            Step::ForceDelete(number) => Self::remove(self.administrable(who, number)?, "deleting", removal, true),
            Step::Unmanage(number) => Self::remove(self.administrable(who, number)?, "unmanaging", removal, false),
            Step::Reset(number, status) => self.administrable(who, number).map(|snapshot| {
                (snapshot.status, snapshot.work) = (status, None);
                202
            }),
            Step::Report(number, status) => {
                let snapshot = self.writable(who, number)?;
                let allowed: &[&str] = match snapshot.status {
                    "creating" => &["creating", "available", "error"],
                    "deleting" => &["deleting", "error_deleting"],
                    _ => &[],
                };
                if !allowed.contains(&status) {
                    return Err(400);
                }
                if status != snapshot.status {
                    (snapshot.status, snapshot.work) = (status, None);
                }
                snapshot.progress = "50%";
                Ok(202)
            }
            Step::Merge(number, key, value) => self.writable(who, number).map(|snapshot| {
                snapshot.metadata.insert(key, value);
                200
            }),
            Step::Replace(number, key) => self.writable(who, number).map(|snapshot| {
                snapshot.metadata = BTreeMap::from([(key, "new")]);
                200
            }),
            Step::PutKey(number, key, value) => self.writable(who, number).map(|snapshot| {
                snapshot.metadata.insert(key, value);
                200
            }),
            Step::DeleteKey(number, key) => {
                let is_reader = who == Who::Reader;
                let snapshot = self.visible(who, number)?;
                if !snapshot.metadata.contains_key(key) {
                    return Err(404);
                }
                if is_reader {
                    return Err(403);
                }
                snapshot.metadata.remove(key);
                Ok(200)
            }
            Step::List(..) => Ok(200),
            Step::Advance(tenths) => {
                self.advance(tenths);
                Ok(0)
            }
            Step::Tick => {
                self.tick();
                Ok(0)
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0_usize..6;
    let key = || prop::sample::select(vec!["k", "t"]);
    let value = || prop::sample::select(vec!["", "1", "é"]);
    let status =
        || prop::sample::select(vec!["available", "error", "creating", "deleting", "error_deleting", "backing-up"]);
    prop_oneof![
        6 => prop::sample::select(vec!["", "a", "b"]).prop_map(Step::Create),
        1 => number().prop_map(Step::Show),
        1 => (number(), prop::sample::select(vec!["c", "d"])).prop_map(|(number, name)| Step::Rename(number, name)),
        4 => number().prop_map(Step::Delete),
        1 => number().prop_map(Step::ForceDelete),
        1 => number().prop_map(Step::Unmanage),
        1 => (number(), status()).prop_map(|(number, status)| Step::Reset(number, status)),
        2 => (number(), status()).prop_map(|(number, status)| Step::Report(number, status)),
        1 => (number(), key(), value()).prop_map(|(number, key, value)| Step::Merge(number, key, value)),
        1 => (number(), key()).prop_map(|(number, key)| Step::Replace(number, key)),
        1 => (number(), key(), value()).prop_map(|(number, key, value)| Step::PutKey(number, key, value)),
        1 => (number(), key()).prop_map(|(number, key)| Step::DeleteKey(number, key)),
        2 => (prop::option::of(status()), 1_usize..4).prop_map(|(status, limit)| Step::List(status, limit)),
        4 => (1_u32..25).prop_map(Step::Advance),
        3 => Just(Step::Tick),
    ]
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![4 => Just(Who::Member), 2 => Just(Who::Admin), 1 => Just(Who::Reader), 2 => Just(Who::MemberOfOther)]
}

/// The service under test and its model.
struct Pair {
    service: NativeService,
    model: Model,
}

impl Pair {
    fn new(progression: &'static str) -> Self {
        let variables = TestVariables::default()
            .with("auth_mode", "headers")
            .with("progression", progression)
            .with("quota_snapshots", &QUOTA.to_string());
        let service = NativeService::with_variables(variables);
        let volumes = VOLUMES.map(|(project, id)| json!({ "id": id, "project_id": project }));
        service.put_state(&json!({ "volumes": volumes }));
        Self { service, model: Model { progression, now: 0, snapshots: Vec::new() } }
    }

    fn send(&self, who: Who, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (project, _) = VOLUMES[who.project()];
        let request = Request::builder()
            .method(method)
            .uri(format!("/v3/{project}{path}"))
            .header("openstack-api-version", "volume 3.71")
            .header("x-identity-status", "Confirmed")
            .header("x-user-id", "u")
            .header("x-project-id", project)
            .header("x-roles", who.roles());
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = if body.is_empty() { request } else { request.header("content-type", "application/json") };
        let answer = self.service.send(request.body(body).expect("a request"));
        (answer.status().as_u16(), crate::support::json(&answer))
    }

    /// Takes a step on both sides and compares.
    fn take(&mut self, who: Who, step: &Step) {
        let expected = match self.model.take(who, step) {
            Ok(status) | Err(status) => status,
        };
        let known = self.model.snapshots.len();
        let path = |number: usize| {
            let id = self.model.snapshots.get(number % known.max(1)).map_or("unknown", |snapshot| snapshot.id.as_str());
            format!("/snapshots/{id}")
        };
        let act = |number: usize, action: Value| self.send(who, "POST", &format!("{}/action", path(number)), &action);
        let (status, body) = match *step {
            Step::Create(name) => {
                let volume = VOLUMES[who.project()].1;
                let body = json!({ "snapshot": { "volume_id": volume, "name": name, "metadata": { "k": "v" } } });
                self.send(who, "POST", "/snapshots", &body)
            }
            Step::Show(number) => self.send(who, "GET", &path(number), &Value::Null),
            Step::Rename(number, name) => {
                self.send(who, "PUT", &path(number), &json!({ "snapshot": { "name": name } }))
            }
            Step::Delete(number) => self.send(who, "DELETE", &path(number), &Value::Null),
            Step::ForceDelete(number) => act(number, json!({ "os-force_delete": null })),
            Step::Unmanage(number) => act(number, json!({ "os-unmanage": null })),
            Step::Reset(number, status) => act(number, json!({ "os-reset_status": { "status": status } })),
            Step::Report(number, status) => {
                act(number, json!({ "os-update_snapshot_status": { "status": status, "progress": "50%" } }))
            }
            Step::Merge(number, key, value) => {
                self.send(who, "POST", &format!("{}/metadata", path(number)), &json!({ "metadata": { key: value } }))
            }
            Step::Replace(number, key) => {
                self.send(who, "PUT", &format!("{}/metadata", path(number)), &json!({ "metadata": { key: "new" } }))
            }
            Step::PutKey(number, key, value) => {
                self.send(who, "PUT", &format!("{}/metadata/{key}", path(number)), &json!({ "meta": { key: value } }))
            }
            Step::DeleteKey(number, key) => {
                self.send(who, "DELETE", &format!("{}/metadata/{key}", path(number)), &Value::Null)
            }
            Step::List(status, limit) => {
                self.check_list(who, status, limit);
                (200, Value::Null)
            }
            Step::Advance(tenths) => {
                self.service.advance(f64::from(tenths) / 10.0);
                (0, Value::Null)
            }
            Step::Tick => {
                let answer = self.service.send(crate::support::operator("POST", "/_ops/tick", b""));
                assert!(answer.status().is_success(), "{}", crate::support::text(&answer));
                (0, Value::Null)
            }
        };
        assert_eq!(status, expected, "{who:?} {step:?}: {body}");
        if let (Step::Create(name), 202) = (step, status) {
            self.model.snapshots.push(Modelled {
                id: body["snapshot"]["id"].as_str().expect("an id").to_owned(),
                project: who.project(),
                created: self.model.now,
                name,
                metadata: BTreeMap::from([("k", "v")]),
                status: "creating",
                progress: "0%",
                work: Some(self.model.begin(Work::Create)),
                gone: false,
            });
        }
    }

    /// Checks that a list by pages, with or without a filter, has the snapshots of the model in its order, and counts
    /// them.
    fn check_list(&self, who: Who, status: Option<&str>, limit: usize) {
        let filter = status.map(|status| format!("&status={status}")).unwrap_or_default();
        let of_model = self.model.listed(who.project());
        let expected: Vec<&Modelled> =
            of_model.into_iter().filter(|snapshot| status.is_none_or(|status| snapshot.status == status)).collect();
        let mut rows: Vec<Value> = Vec::new();
        loop {
            let marker =
                rows.last().map(|row| format!("&marker={}", row["id"].as_str().expect("an id"))).unwrap_or_default();
            let path = format!("/snapshots/detail?limit={limit}&with_count=true{filter}{marker}");
            let (answered, body) = self.send(who, "GET", &path, &Value::Null);
            assert_eq!((answered, &body["count"]), (200, &json!(expected.len())), "{path}: {body}");
            let page = body["snapshots"].as_array().expect("a list");
            rows.extend(page.iter().cloned());
            if page.len() < limit {
                break;
            }
        }
        assert_eq!(rows.len(), expected.len());
        for (row, snapshot) in rows.iter().zip(&expected) {
            let seen = (&row["id"], &row["name"], &row["status"], &row["metadata"]);
            let modelled = (json!(snapshot.id), json!(snapshot.name), json!(snapshot.status), json!(snapshot.metadata));
            assert_eq!(seen, (&modelled.0, &modelled.1, &modelled.2, &modelled.3));
            assert_eq!(row["os-extended-snapshot-attributes:progress"], json!(snapshot.progress));
        }
    }

    /// Checks all lists and the quota.
    fn check(&self) {
        for who in [Who::Reader, Who::MemberOfOther] {
            self.check_list(who, None, 3);
            let (status, body) = self.send(who, "GET", "/limits", &Value::Null);
            let used = &body["limits"]["absolute"]["totalSnapshotsUsed"];
            assert_eq!((status, used), (200, &json!(self.model.listed(who.project()).len())), "{body}");
        }
    }
}

fn run(progression: &'static str, steps: &[(Who, Step)]) {
    let mut pair = Pair::new(progression);
    for (who, step) in steps {
        pair.take(*who, step);
    }
    pair.check();
    // Two runs of the schedule do all work that is left, and a third has nothing to write.
    pair.take(Who::Admin, &Step::Advance(1_200));
    pair.check();
    pair.take(Who::Admin, &Step::Tick);
    pair.take(Who::Admin, &Step::Tick);
    pair.check();
    pair.service.key_value.faults.reset();
    pair.take(Who::Admin, &Step::Tick);
    assert_eq!(pair.service.key_value.faults.commits(), 0, "a third tick writes nothing");
}

#[test]
fn every_sequence_of_steps_does_what_the_model_does() {
    let config = crate::support::laws::cases(1_500, 10_000);
    let seed = config.rng_seed;
    let sequences =
        (prop::sample::select(vec!["time", "immediate", "manual"]), prop::collection::vec((who(), step()), 1..24));
    let result = TestRunner::new(config).run(&sequences, |(progression, steps)| {
        run(progression, &steps);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("PROPTEST_RNG_SEED={seed}: {failure}");
    }
}
