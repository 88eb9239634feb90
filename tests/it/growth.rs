//! What grows with the number of projects and snapshots: the merge of their listings, and the calls that work on all of
//! them makes. `make bench-scale` has the times.

use crate::support::native::{CountingIdentifiers, NativeService, TestVariables};
use crate::support::{Service, client, json, operator};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;
use volume_snapshots::domain::Timestamp;
use volume_snapshots::store::index::{Direction, Position};
use volume_snapshots::store::{Kind, Listing, Store, UnreadableLog};

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
        let unreadable = UnreadableLog::default();
        let store = Store::new(&service.key_value, &identifiers, &unreadable);
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
