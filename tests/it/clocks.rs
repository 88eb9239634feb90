//! The clock may jump either way by any amount: nothing waits for a time that has been, and nothing is given up for a
//! time that has not (`docs/spec/lifecycle.md` section 10, `docs/adr/0018-clocks.md`).
//!
//! Native, because only the time matters, and a test moves it. `PROPTEST_RNG_SEED` sets another seed
//! (`tests/it/support/laws.rs`).

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use volume_snapshots::domain::Timestamp;
use volume_snapshots::store::KeyValue;

use crate::support::Service;
use crate::support::calls::{Calls, id_of};
use crate::support::native::{NativeService, TestVariables};

/// The path of the collection of snapshots.
const SNAPSHOTS: &str = "/v3/a1/snapshots";
/// The path of the collection of volumes.
const VOLUMES: &str = "/v3/a1/volumes";

/// The time bound of the work, in seconds. The delays are 2 and 1.
const GIVE_UP: f64 = 60.0;

/// The seconds in which work that ends by itself must have ended: the skew between hosts that is allowed for, the
/// longest delay, and two ticks.
const SOON: u32 = 5 + 2 + 2;

/// Spans that a clock may jump, in seconds: across the skew that is allowed for, the delays, the time for which items
/// are kept, the time bound, and for days and years.
const JUMPS: [f64; 14] =
    [0.001, 0.5, 1.5, 3.0, 4.9, 5.1, 8.0, 59.0, 61.0, 130.0, 3_600.0, 86_400.0, 34_560_000.0, 1_000_000_000.0];

/// A step. Numbers refer to rows in the order of their creation.
#[derive(Debug, Clone)]
enum Step {
    Create(usize),
    Rename(usize),
    Show(usize),
    List,
    Delete(usize),
    ForceDelete(usize),
    Reset(usize, &'static str),
    Report(usize, &'static str),
    CreateVolume,
    DeleteVolume(usize),
    Tick,
    /// An operator's tick, as if it were so many seconds later.
    TickAt(f64),
    Repair,
    /// The clock runs for so many tenths of a second.
    Run(u32),
    /// The clock jumps by so many seconds.
    Jump(f64),
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0_usize..6;
    let status = || prop::sample::select(vec!["creating", "updating", "deleting", "backing-up", "error"]);
    let span = || {
        (prop::bool::ANY, prop::sample::select(JUMPS.to_vec()))
            .prop_map(|(is_back, span)| if is_back { -span } else { span })
    };
    prop_oneof![
        5 => number().prop_map(Step::Create),
        1 => number().prop_map(Step::Rename),
        1 => number().prop_map(Step::Show),
        1 => Just(Step::List),
        4 => number().prop_map(Step::Delete),
        1 => number().prop_map(Step::ForceDelete),
        1 => (number(), status()).prop_map(|(number, status)| Step::Reset(number, status)),
        1 => (number(), prop::sample::select(vec!["creating", "deleting"])).prop_map(|(number, status)| Step::Report(number, status)),
        1 => Just(Step::CreateVolume),
        1 => number().prop_map(Step::DeleteVolume),
        3 => Just(Step::Tick),
        1 => span().prop_map(Step::TickAt),
        1 => Just(Step::Repair),
        3 => (1_u32..40).prop_map(Step::Run),
        6 => span().prop_map(Step::Jump),
    ]
}

struct Run {
    service: NativeService,
    snapshots: Vec<String>,
    volumes: Vec<String>,
    /// Whether some work may be ended by its time bound only.
    is_bound: bool,
}

impl Run {
    fn new(progression: &'static str) -> Self {
        let variables = TestVariables::default()
            .with("progression", progression)
            .with("give_up_seconds", &GIVE_UP.to_string())
            .with("quota_snapshots", "100")
            // A volume with two snapshots is left to the tick, and one with fewer is deleted at once.
            .with("cascade_at_once", "1");
        let service = NativeService::with_variables(variables);
        let volumes = vec![service.new_volume("/v3/a1", 1)];
        service.advance(3.0);
        service.operate("POST", "/_ops/tick", &json!({ "now": service.now().plus_seconds(3.0).to_string() }));
        Self { service, snapshots: Vec::new(), volumes, is_bound: progression == "manual" }
    }

    fn tick(&self, body: &Value) -> Value {
        let answer = self.service.operate("POST", "/_ops/tick", body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    fn take(&mut self, step: &Step) {
        let service = &self.service;
        let of = |ids: &[String], number: usize| {
            ids.get(number % ids.len().max(1)).cloned().unwrap_or_else(|| "none".to_owned())
        };
        let path = |number: usize| format!("{SNAPSHOTS}/{}", of(&self.snapshots, number));
        let act = |number: usize, action: Value| service.call("POST", &format!("{}/action", path(number)), &action);
        let answer = match *step {
            Step::Create(number) => {
                let answer = service.ask_for_snapshot("/v3/a1", &of(&self.volumes, number));
                if answer.status == 202 {
                    self.snapshots.push(id_of(&answer.body["snapshot"]));
                }
                answer
            }
            Step::Rename(number) => service.call("PUT", &path(number), &json!({ "snapshot": { "name": "renamed" } })),
            Step::Show(number) => service.get(&path(number)),
            Step::List => service.get(SNAPSHOTS),
            Step::Delete(number) => service.delete(&path(number)),
            Step::ForceDelete(number) => act(number, json!({ "os-force_delete": null })),
            Step::Reset(number, status) => {
                self.is_bound |= status != "error";
                act(number, json!({ "os-reset_status": { "status": status } }))
            }
            Step::Report(number, status) => act(number, json!({ "os-update_snapshot_status": { "status": status } })),
            Step::CreateVolume => {
                let answer = service.call("POST", VOLUMES, &json!({ "volume": { "size": 1 } }));
                if answer.status == 202 {
                    self.volumes.push(id_of(&answer.body["volume"]));
                }
                answer
            }
            Step::DeleteVolume(number) => {
                service.delete(&format!("{VOLUMES}/{}?cascade=true", of(&self.volumes, number)))
            }
            Step::Tick => return drop(self.tick(&Value::Null)),
            Step::TickAt(span) => {
                return drop(self.tick(&json!({ "now": service.now().plus_seconds(span).to_string() })));
            }
            Step::Repair => service.operate("POST", "/_ops/repair", &Value::Null),
            Step::Run(tenths) => return service.advance(f64::from(tenths) / 10.0),
            Step::Jump(span) => return service.advance(span),
        };
        assert!(answer.status < 500, "{step:?}: {answer:?}");
    }

    /// Lets the clock run, with a tick each second.
    fn run(&self, seconds: u32) {
        for _ in 0..seconds {
            self.service.advance(1.0);
            self.tick(&Value::Null);
        }
    }

    /// Checks that no work is under way, that lists, counts, and quota agree, and that nothing is left to do.
    fn check_settled(&self) {
        let state = self.service.state();
        let rows = |kind: &str| state[kind].as_array().cloned().unwrap_or_default();
        for row in rows("snapshots").iter().chain(&rows("volumes")) {
            assert!(row["pending"].is_null(), "{} is still {}: {}", row["id"], row["status"], row["pending"]);
        }
        for (kind, path) in [("snapshots", SNAPSHOTS), ("volumes", VOLUMES)] {
            let ids = self.service.ids(path);
            let mut paged: Vec<String> = Vec::new();
            loop {
                let marker = paged.last().map(|id| format!("&marker={id}")).unwrap_or_default();
                let page = self.service.ids(&format!("{path}?limit=2{marker}"));
                let is_last = page.len() < 2;
                paged.extend(page);
                if is_last {
                    break;
                }
            }
            assert_eq!(paged, ids, "pages have every row once");
            assert_eq!((ids.len(), self.service.count(path)), (rows(kind).len(), ids.len()), "{kind}");
            let limits = self.service.get("/v3/a1/limits").body["limits"]["absolute"].clone();
            let used = if kind == "snapshots" { "totalSnapshotsUsed" } else { "totalVolumesUsed" };
            assert_eq!(limits[used], ids.len(), "quota: {limits}");
        }
        let repair = self.service.operate("POST", "/_ops/repair", &Value::Null).body;
        for wrong in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
            assert_eq!(repair[wrong], 0, "{repair}");
        }
        self.service.key_value.faults.reset();
        self.tick(&Value::Null);
        assert_eq!(self.service.key_value.faults.commits(), 0, "{:?}", self.service.key_value.faults.calls());
    }
}

#[test]
fn whatever_the_clock_did_all_work_ends_in_its_time() {
    let config = crate::support::laws::cases(300, 2_000);
    let seed = config.rng_seed;
    let sequences = (prop::sample::select(vec!["time", "immediate", "manual"]), prop::collection::vec(step(), 1..24));
    let result = TestRunner::new(config).run(&sequences, |(progression, steps)| {
        let mut run = Run::new(progression);
        for step in &steps {
            run.take(step);
        }
        // Somebody looks, and waits for the end of what is under way.
        run.service.rows(SNAPSHOTS);
        run.service.rows(VOLUMES);
        // A failure must last for five seconds before its message is left.
        run.run(if run.is_bound { SOON + 70 } else { SOON + 10 });
        run.check_settled();
        Ok(())
    });
    if let Err(failure) = result {
        panic!("PROPTEST_RNG_SEED={seed}: {failure}");
    }
}

const DAY: f64 = 86_400.0;

#[test]
fn what_was_begun_before_the_clock_was_set_back_is_over() {
    for back in [10.0, DAY, 400.0 * DAY] {
        let run = Run::new("time");
        run.run(30);
        let volume = run.volumes[0].clone();
        let (old, deleted) = (run.service.new_snapshot("/v3/a1", &volume), run.service.new_snapshot("/v3/a1", &volume));
        run.run(3);
        assert_eq!(run.service.delete(&format!("{SNAPSHOTS}/{deleted}")).status, 202);
        let created = run.service.new_snapshot("/v3/a1", &volume);
        run.service.advance(-back);
        let status = |id: &str| run.service.status_of(&format!("{SNAPSHOTS}/{id}"));
        let seen = || (status(&old), status(&deleted), status(&created));
        let over = (Some("available".to_owned()), None, Some("available".to_owned()));
        assert_eq!(seen(), over);
        assert_eq!(run.service.count(SNAPSHOTS), 2, "a removal that is over counts no more");
        run.tick(&Value::Null);
        assert_eq!(seen(), over);
        let key = format!("vs1:snapshot:{deleted}");
        assert!(run.service.key_value.get(&key).expect("no fault").is_none(), "the next tick has removed it");

        // The time comes round again, and nothing begins a second time.
        let newest = run.service.new_snapshot("/v3/a1", &volume);
        run.service.advance(back - 1.0);
        assert_eq!(seen(), over);
        assert_eq!(status(&newest).as_deref(), Some("available"));
        assert_eq!(run.service.ids(SNAPSHOTS).len(), 3);
        run.run(SOON);
        run.check_settled();
    }
}

#[test]
fn a_time_bound_counts_from_the_first_look_after_the_clock_was_set_back() {
    let run = Run::new("manual");
    let snapshot = run.service.new_snapshot("/v3/a1", &run.volumes[0]);
    let path = format!("{SNAPSHOTS}/{snapshot}");
    for look in [&path, SNAPSHOTS] {
        run.service.advance(-400.0 * DAY);
        assert_eq!(run.service.get(look).status, 200);
        run.service.advance(61.0);
        assert_eq!(run.service.status_of(&path).as_deref(), Some("creating"), "two seconds of work, and then 60");
    }
    run.service.advance(2.0);
    assert_eq!(run.service.status_of(&path).as_deref(), Some("error"));
}

#[test]
fn a_clock_that_was_set_forward_and_back_has_given_nothing_up() {
    for (progression, after) in [("manual", "creating"), ("immediate", "available")] {
        let run = Run::new(progression);
        let snapshot = run.service.new_snapshot("/v3/a1", &run.volumes[0]);
        let path = format!("{SNAPSHOTS}/{snapshot}");
        run.service.advance(400.0 * DAY);
        assert_eq!(
            run.service.status_of(&path).as_deref(),
            Some("error"),
            "its bound has passed, as far as one can see"
        );
        run.tick(&Value::Null);
        run.service.advance(-400.0 * DAY);
        assert_eq!(run.service.status_of(&path).as_deref(), Some(after), "{progression}");
        run.run(59);
        assert_eq!(run.service.status_of(&path).as_deref(), Some(after), "{progression}");
    }
}

#[test]
fn an_operators_tick_counts_from_the_clock_that_was_set_back() {
    let run = Run::new("manual");
    let snapshot = run.service.new_snapshot("/v3/a1", &run.volumes[0]);
    run.service.advance(-DAY);
    let status = || run.service.status_of(&format!("{SNAPSHOTS}/{snapshot}"));
    let tick_at = |span: f64| run.tick(&json!({ "now": run.service.now().plus_seconds(span).to_string() }));
    tick_at(1.0);
    assert_eq!(status().as_deref(), Some("creating"));
    tick_at(2.0);
    assert_eq!(status().as_deref(), Some("available"));
}

#[test]
fn an_idle_tick_costs_no_more_after_the_clock_was_set_back() {
    for progression in ["time", "immediate", "manual"] {
        // Every project has had its turn, and items that need nothing have been forgotten.
        let idle = [0.0, -DAY].map(|jump| {
            let run = Run::new(progression);
            let ids = [0, 1].map(|_| run.service.new_snapshot("/v3/a1", &run.volumes[0]));
            let force = json!({ "os-force_delete": null });
            let answer = run.service.call("POST", &format!("{SNAPSHOTS}/{}/action", ids[0]), &force);
            assert_eq!(answer.status, 202, "{answer:?}");
            // A delete that stopped before it wrote its row.
            let key = format!("vs1:snapshot:{}", ids[1]);
            let before = run.service.key_value.get(&key).expect("no fault").expect("a row");
            run.service.call("POST", &format!("{SNAPSHOTS}/{}/action", ids[1]), &force);
            run.service.key_value.set_many(&[(key, before)]).expect("no fault");
            run.service.advance(jump);
            run.run(130);
            run.service.set_now(Timestamp::from_seconds(1_900_000_000));
            // The user messages about these snapshots go.
            run.run(32);
            run.service.key_value.faults.reset();
            run.run(32);
            (run.service.key_value.faults.calls().len(), run.service.key_value.faults.commits())
        });
        assert_eq!(idle[0], idle[1], "{progression}: calls and commits");
        assert_eq!(idle[0].1, 0, "{progression}: commits");
    }
}
