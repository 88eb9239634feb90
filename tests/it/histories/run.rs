//! The writers, the kills, and the questions to the checker afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::history::{History, Sequence};
use super::quota::{self, Quota};
use super::snapshot::{self, Metadata, Request, Snapshot};
use crate::support::calls::{Answer, BOUND, id_of, request, string_of};
use crate::support::host_process::{HostProcess, StateDirectory};
use crate::support::laws::short_or_whole;

const PROCESSES: usize = 2;
const WRITERS: usize = 16 * PROCESSES;
/// Writers of one group work on the same project, half of them through each process.
const GROUPS: usize = 4;
/// The number of requests to one project, before its group goes on to the next. It keeps histories short.
const REQUESTS: usize = 150;
const VARIABLES: [(&str, &str); 3] = [("create_seconds", "0"), ("delete_seconds", "0"), ("quota_snapshots", "4")];
const KEYS: [&str; 3] = ["a", "b", "c"];

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn histories_through_two_processes_and_kills_are_linearizable() {
    assert_eq!(VARIABLES[2].1, quota::LIMIT.to_string());
    let directory = StateDirectory::new("histories");
    let run = Run {
        hosts: ["host-0", "host-1"].map(|name| Host::new(name, &directory)),
        groups: Default::default(),
        done: Mutex::default(),
        sequence: Sequence::default(),
        is_over: AtomicBool::new(false),
    };
    let kills = short_or_whole(3, 24);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let end = End(&run.is_over);
        for number in 0..WRITERS {
            let run = &run;
            scope.spawn(move || Writer::new(run, number).work());
        }
        for kill in 0..kills {
            // The time grows, so that the kill happens at different points.
            std::thread::sleep(Duration::from_millis(900 + 37 * kill));
            let killed = match kill % 3 {
                0 => &run.hosts[..1],
                1 => &run.hosts[1..],
                _ => &run.hosts[..],
            };
            killed.iter().for_each(Host::kill);
            killed.iter().for_each(Host::restart);
        }
        std::thread::sleep(Duration::from_millis(900));
        drop(end);
    });
    let took = begin.elapsed();
    let projects: Vec<Arc<Project>> =
        locked(&run.done).drain(..).chain(run.groups.iter().filter_map(|group| locked(group).take())).collect();
    for project in &projects {
        project.settle(&run);
    }
    let begin = Instant::now();
    let (mut histories, mut longest) = (0, 0);
    for project in &projects {
        for length in project.check() {
            (histories, longest) = (histories + 1, longest.max(length));
        }
    }
    println!(
        "{} requests and {kills} kills in {took:?}; {histories} histories of at most {longest} calls, checked in {:?}",
        run.sequence.next() / 2,
        begin.elapsed(),
    );
}

/// Ends the run when it is dropped, so that no writer goes on for ever after a process has failed to start.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What all writers share.
struct Run<'a> {
    hosts: [Host<'a>; PROCESSES],
    /// The project on which each group works now.
    groups: [Mutex<Option<Arc<Project>>>; GROUPS],
    /// The projects of the past.
    done: Mutex<Vec<Arc<Project>>>,
    sequence: Sequence,
    is_over: AtomicBool,
}

impl Run<'_> {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

/// A process that is restarted after a kill.
struct Host<'a> {
    name: &'static str,
    directory: &'a StateDirectory,
    running: Mutex<Arc<Running>>,
}

struct Running {
    process: HostProcess,
    /// Set just before the kill. From then on answers may be missing.
    is_killed: AtomicBool,
}

impl Running {
    fn start(name: &str, directory: &StateDirectory) -> Arc<Self> {
        let process = HostProcess::start(name, directory, &VARIABLES);
        Arc::new(Self { process, is_killed: AtomicBool::new(false) })
    }

    fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::SeqCst)
    }
}

impl<'a> Host<'a> {
    fn new(name: &'static str, directory: &'a StateDirectory) -> Self {
        Self { name, directory, running: Mutex::new(Running::start(name, directory)) }
    }

    fn running(&self) -> Arc<Running> {
        locked(&self.running).clone()
    }

    fn kill(&self) {
        let running = self.running();
        running.is_killed.store(true, Ordering::SeqCst);
        running.process.kill();
    }

    fn restart(&self) {
        let running = Running::start(self.name, self.directory);
        *locked(&self.running) = running;
    }

    /// Makes a call of a client of a project, as soon as the process runs. Returns the numbers of the call and of its
    /// answer. There is no answer if the process was killed meanwhile, or if it does not know what it did.
    fn call(&self, run: &Run<'_>, project: &str, method: &str, path: &str, body: &Value) -> Outcome {
        let begin = Instant::now();
        let mut running = self.running();
        while running.is_killed() {
            assert!(begin.elapsed() < BOUND, "{} has not been restarted", self.name);
            std::thread::sleep(Duration::from_millis(5));
            running = self.running();
        }
        let mut request = request(method, path, body);
        request.headers_mut().insert("x-auth-token", format!("demo:{project}").parse().expect("a token"));
        let called = run.sequence.next();
        let answer = match running.process.try_send(request) {
            Ok(answer) => Some(Answer::from(answer)),
            Err(error) => {
                assert!(running.is_killed(), "{method} {path} before the kill: {error}");
                None
            }
        };
        let answered = run.sequence.next();
        Outcome { called, answered, answer: answer.filter(|answer| !leaves_open(answer)) }
    }
}

/// Whether an answer says that the request may have been done or not. The other 503 promises that it was not.
fn leaves_open(answer: &Answer) -> bool {
    answer.status == 503 && answer.fault().1 != BUSY
}

/// The message of a 503 to a request that had no effect.
const BUSY: &str = "The storage is busy, please try again.";

struct Outcome {
    called: usize,
    answered: usize,
    answer: Option<Answer>,
}

impl Outcome {
    /// Whether the request was refused without an effect.
    fn was_busy(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.status == 503)
    }
}

/// What is examined in a project. Statuses are not reset where quota is: a reset may cancel a delete, and then it is
/// unknown whether the snapshot counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Statuses,
    Quota,
}

struct Project {
    id: String,
    volume: String,
    subject: Subject,
    known: Mutex<Known>,
}

/// What the writers know about a project.
#[derive(Default)]
struct Known {
    /// The number of requests so far.
    asked: usize,
    /// By name, since a snapshot whose create is not answered has no known id.
    snapshots: BTreeMap<String, KnownSnapshot>,
    quota: History<quota::Call>,
}

#[derive(Default)]
struct KnownSnapshot {
    id: Option<String>,
    /// Whether its create was answered.
    is_acknowledged: bool,
    history: History<snapshot::Call>,
    /// The deletes that may have had an effect.
    deletes: Vec<(usize, Option<usize>)>,
}

impl KnownSnapshot {
    fn saw(&mut self, (called, answered): (usize, usize), row: Option<&Value>) {
        let answer = match row {
            Some(row) => snapshot::Answer::Row(string_of(&row["status"]), metadata_of(&row["metadata"])),
            None => snapshot::Answer::NotFound,
        };
        self.history.answered(called, answered, (Request::Show, answer));
    }

    /// Whether a delete may have had its effect between two times.
    fn is_deleted_within(&self, from: usize, to: Option<usize>) -> bool {
        let (to, end) = (to.unwrap_or(usize::MAX), |answered: Option<usize>| answered.unwrap_or(usize::MAX));
        self.deletes.iter().any(|&(called, answered)| called < to && end(answered) > from)
    }

    /// Returns the delete for the quota, and the time of its answer. One delete at most has an effect.
    fn delete(&self) -> Option<(usize, Option<usize>)> {
        let acknowledged = self.deletes.iter().filter(|(_, answered)| answered.is_some()).min();
        acknowledged.or_else(|| self.deletes.iter().min()).copied()
    }
}

fn metadata_of(value: &Value) -> Metadata {
    let items = value.as_object().unwrap_or_else(|| panic!("{value} is no metadata"));
    items.iter().map(|(key, value)| (key.clone(), string_of(value))).collect()
}

impl Project {
    fn known(&self) -> MutexGuard<'_, Known> {
        locked(&self.known)
    }

    fn list(&self, run: &Run<'_>, host: &Host<'_>) -> Option<usize> {
        let names: BTreeSet<String> = self.known().snapshots.keys().cloned().collect();
        let outcome = host.call(run, &self.id, "GET", "/v3/snapshots/detail", &Value::Null);
        let answer = outcome.answer.filter(|answer| answer.status != 503)?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let rows = answer.body["snapshots"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
        let mut rows: BTreeMap<String, &Value> = rows.iter().map(|row| (string_of(&row["name"]), row)).collect();
        let count = rows.len();
        for (name, snapshot) in &mut self.known().snapshots {
            let row = rows.remove(name);
            if let Some(row) = row {
                assert_eq!(
                    *snapshot.id.get_or_insert_with(|| id_of(row)),
                    id_of(row),
                    "two snapshots are called {name}"
                );
            }
            // A snapshot whose create was called after the list may be in the list, but need not be.
            if row.is_some() || names.contains(name) {
                snapshot.saw((outcome.called, outcome.answered), row);
            }
        }
        assert!(rows.is_empty(), "nobody has asked for {rows:?}");
        Some(count)
    }

    fn usage(&self, run: &Run<'_>, host: &Host<'_>, in_limits: bool) -> Option<u64> {
        let path =
            if in_limits { "/v3/limits".to_owned() } else { format!("/v3/os-quota-sets/{}?usage=True", self.id) };
        let outcome = host.call(run, &self.id, "GET", &path, &Value::Null);
        let answer = outcome.answer.filter(|answer| answer.status != 503)?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let (limit, of_quota_set) = (
            &answer.body["limits"]["absolute"]["totalSnapshotsUsed"],
            &answer.body["quota_set"]["snapshots"]["in_use"],
        );
        let usage = limit.as_u64().or(of_quota_set.as_u64()).unwrap_or_else(|| panic!("{answer:?}"));
        self.known().quota.answered(outcome.called, outcome.answered, quota::Call::Usage { usage, deletes: 0 });
        Some(usage)
    }

    /// Reads everything once more through each process, after the usage has become the number of snapshots.
    fn settle(&self, run: &Run<'_>) {
        for host in &run.hosts {
            let begin = Instant::now();
            loop {
                let (count, usage) = (self.list(run, host), self.usage(run, host, false));
                if count.is_some_and(|count| usage == Some(count as u64)) {
                    break;
                }
                let project = &self.id;
                assert!(begin.elapsed() < BOUND, "{project} has {count:?} snapshots, and a usage of {usage:?}");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }

    /// Checks all histories and returns their lengths.
    fn check(&self) -> Vec<usize> {
        let known = &mut *self.known();
        let mut lengths = Vec::new();
        for (name, snapshot) in &known.snapshots {
            lengths.push(snapshot.history.len());
            let explanation = snapshot.history.check::<Snapshot>();
            explanation.unwrap_or_else(|shortest| {
                panic!("no order of requests explains this history of {name} ({:?}):\n{shortest}", snapshot.id)
            });
            let delete = snapshot.delete().filter(|_| snapshot.is_acknowledged);
            match delete {
                Some((called, Some(answered))) => known.quota.answered(called, answered, quota::Call::Deleted),
                Some((called, None)) => known.quota.unanswered(called, &quota::Call::MaybeDeleted),
                None => {}
            }
        }
        if self.subject == Subject::Quota {
            let snapshots = &known.snapshots;
            known.quota.complete(|call, called, answered| match call {
                quota::Call::Usage { deletes, .. } | quota::Call::OverQuota { deletes } => {
                    let overlapping =
                        snapshots.values().filter(|snapshot| snapshot.is_deleted_within(called, answered));
                    *deletes = overlapping.count() as u64;
                }
                _ => {}
            });
            lengths.push(known.quota.len());
            let explanation = known.quota.check::<Quota>();
            explanation.unwrap_or_else(|shortest| {
                panic!("no order of requests explains this history of the quota of {}:\n{shortest}", self.id)
            });
        }
        lengths
    }
}

/// A client in a thread.
struct Writer<'a> {
    run: &'a Run<'a>,
    number: usize,
    random: u64,
    /// The number of its requests, so that all names and values differ.
    asked: usize,
}

impl<'a> Writer<'a> {
    fn new(run: &'a Run<'a>, number: usize) -> Self {
        Self { run, number, random: number as u64, asked: 0 }
    }

    fn host(&self) -> &'a Host<'a> {
        &self.run.hosts[self.number % PROCESSES]
    }

    /// Returns a number below `end` (splitmix64).
    fn below(&mut self, end: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("below `end`")
    }

    fn new_name(&mut self) -> String {
        self.asked += 1;
        format!("{}-{}", self.number, self.asked)
    }

    fn new_items(&mut self) -> Metadata {
        let key = KEYS[self.below(KEYS.len())];
        BTreeMap::from([(key.to_owned(), self.new_name())])
    }

    fn work(&mut self) {
        while !self.run.is_over() {
            let project = self.project();
            self.ask(&project);
        }
    }

    /// Returns the project of its group. Makes a new one when the history of the former is long enough.
    fn project(&mut self) -> Arc<Project> {
        let mut group = locked(&self.run.groups[self.number / PROCESSES % GROUPS]);
        if let Some(project) = &*group {
            let mut known = project.known();
            known.asked += 1;
            if known.asked <= REQUESTS {
                return project.clone();
            }
        }
        self.run_on(&mut group)
    }

    fn run_on(&mut self, group: &mut Option<Arc<Project>>) -> Arc<Project> {
        locked(&self.run.done).extend(group.take());
        let id = format!("p{}", self.new_name());
        let subject = if self.asked.is_multiple_of(2) { Subject::Statuses } else { Subject::Quota };
        let begin = Instant::now();
        loop {
            let body = json!({ "volume": { "size": 1 } });
            let outcome = self.host().call(self.run, &id, "POST", "/v3/volumes", &body);
            if let Some(answer) = outcome.answer.filter(|answer| answer.status == 202) {
                let volume = id_of(&answer.body["volume"]);
                let project = Arc::new(Project { id, volume, subject, known: Mutex::default() });
                *group = Some(project.clone());
                return project;
            }
            assert!(begin.elapsed() < BOUND, "no volume for {id}");
        }
    }

    /// Makes one request.
    fn ask(&mut self, project: &Project) {
        let choice = self.below(100);
        match (project.subject, choice) {
            (Subject::Statuses, 0..12) | (Subject::Quota, 0..30) => self.create(project),
            (_, 30..38) => drop(project.list(self.run, self.host())),
            (Subject::Quota, 38..55) => drop(project.usage(self.run, self.host(), choice.is_multiple_of(2))),
            _ => {
                let Some((name, id)) = self.target(project) else { return self.create(project) };
                let request = match (project.subject, choice) {
                    (Subject::Statuses, 12..24) => Request::Reset(["creating", "available", "error"][choice % 3]),
                    (Subject::Statuses, 24..30 | 38..48) => Request::Report(["available", "error"][choice % 2]),
                    (Subject::Statuses, 48..55) | (Subject::Quota, 55..80) => Request::Delete,
                    (_, 80..84) => Request::Replace(self.new_items()),
                    (_, 84..88) => Request::DeleteItem(KEYS[choice % 3].to_owned()),
                    (_, 88..94) => Request::Show,
                    _ => Request::Merge(self.new_items()),
                };
                self.change(project, &name, &id, request);
            }
        }
    }

    /// Returns one of the newest three snapshots that have a known id, so that requests meet.
    fn target(&mut self, project: &Project) -> Option<(String, String)> {
        let place = self.below(3);
        let known = project.known();
        let mut newest: Vec<(usize, &String, &String)> = known
            .snapshots
            .iter()
            .filter_map(|(name, snapshot)| Some((snapshot.history.first_call()?, name, snapshot.id.as_ref()?)))
            .collect();
        newest.sort_unstable();
        let (_, name, id) = newest.iter().rev().nth(place).or(newest.last())?;
        Some(((*name).clone(), (*id).clone()))
    }

    fn create(&mut self, project: &Project) {
        let (name, items) = (self.new_name(), self.new_items());
        project.known().snapshots.insert(name.clone(), KnownSnapshot::default());
        let body = json!({ "snapshot": { "volume_id": project.volume, "name": name, "metadata": items } });
        let outcome = self.host().call(self.run, &project.id, "POST", "/v3/snapshots", &body);
        if outcome.was_busy() {
            return;
        }
        let Outcome { called, answered, answer } = outcome;
        let known = &mut *project.known();
        let snapshot = known.snapshots.get_mut(&name).expect("its own");
        let create = (Request::Create(items), snapshot::Answer::Done);
        match answer {
            None => {
                snapshot.history.unanswered(called, &create);
                known.quota.unanswered(called, &quota::Call::MaybeCreated);
            }
            Some(answer) if answer.status == 413 => {
                known.quota.answered(called, answered, quota::Call::OverQuota { deletes: 0 });
            }
            Some(answer) => {
                assert_eq!(answer.status, 202, "{answer:?}");
                snapshot.id = Some(id_of(&answer.body["snapshot"]));
                snapshot.is_acknowledged = true;
                snapshot.history.answered(called, answered, create);
                known.quota.answered(called, answered, quota::Call::Created);
            }
        }
    }

    fn change(&mut self, project: &Project, name: &str, id: &str, request: Request) {
        let path = format!("/v3/snapshots/{id}");
        let (method, path, body) = match &request {
            Request::Create(_) => unreachable!("creates have no id"),
            Request::Show => ("GET", path, Value::Null),
            Request::Merge(items) => ("POST", format!("{path}/metadata"), json!({ "metadata": items })),
            Request::Replace(items) => ("PUT", format!("{path}/metadata"), json!({ "metadata": items })),
            Request::DeleteItem(key) => ("DELETE", format!("{path}/metadata/{key}"), Value::Null),
            Request::Reset(status) => {
                ("POST", format!("{path}/action"), json!({ "os-reset_status": { "status": status } }))
            }
            Request::Report(status) => {
                ("POST", format!("{path}/action"), json!({ "os-update_snapshot_status": { "status": status } }))
            }
            Request::Delete => ("DELETE", path, Value::Null),
        };
        let outcome = self.host().call(self.run, &project.id, method, &path, &body);
        if outcome.was_busy() {
            return;
        }
        let Outcome { called, answered, answer } = outcome;
        let mut known = project.known();
        let snapshot = known.snapshots.get_mut(name).expect("a known snapshot");
        let Some(answer) = answer else {
            if request == Request::Delete {
                snapshot.deletes.push((called, None));
            }
            return snapshot.history.unanswered(called, &(request, snapshot::Answer::Unknown));
        };
        let seen = match (&request, answer.status) {
            (_, 404) => snapshot::Answer::NotFound,
            (Request::Show, 200) => {
                return snapshot.saw((called, answered), Some(&answer.body["snapshot"]));
            }
            (Request::Merge(_) | Request::Replace(_), 200) => {
                snapshot::Answer::Metadata(metadata_of(&answer.body["metadata"]))
            }
            (Request::Delete, 202) => {
                snapshot.deletes.push((called, Some(answered)));
                snapshot::Answer::Done
            }
            (Request::DeleteItem(_), 200) | (Request::Reset(_) | Request::Report(_), 202) => snapshot::Answer::Done,
            (Request::Report(_) | Request::Delete, 400) => snapshot::Answer::Refused,
            _ => panic!("{request:?} of {name}: {answer:?}"),
        };
        snapshot.history.answered(called, answered, (request, seen));
    }
}
