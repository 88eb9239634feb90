//! Laws of lists, on generated data: paging returns each match once, filters agree with a naive oracle, and metadata
//! operations agree with a map. Native, on the whole core.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, client, json};
use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};
use volume_snapshots::domain::Timestamp;

const PROJECT: &str = "a1";

/// The fields of a generated snapshot that affect lists.
#[derive(Debug, Clone)]
struct Seed {
    name: &'static str,
    description: Option<&'static str>,
    status: &'static str,
    size: u32,
    volume: u8,
    /// There are few different seconds, so that many snapshots share one.
    second: u8,
    metadata: BTreeMap<&'static str, &'static str>,
    consumes_quota: bool,
}

fn seed() -> impl Strategy<Value = Seed> {
    (
        prop::sample::select(vec!["", "a", "b", "alpha", "Alphabet", "a_b", "100%"]),
        prop::option::of(prop::sample::select(vec!["", "nightly", "daily"])),
        prop::sample::select(vec!["available", "error", "error_deleting"]),
        1_u32..4,
        0_u8..3,
        0_u8..4,
        prop::collection::btree_map(prop::sample::select(vec!["k", "t"]), prop::sample::select(vec!["1", "2"]), 0..3),
        any::<bool>(),
    )
        .prop_map(|(name, description, status, size, volume, second, metadata, consumes_quota)| Seed {
            name,
            description,
            status,
            size,
            volume,
            second,
            metadata,
            consumes_quota,
        })
}

fn id(number: usize) -> String {
    format!("bbbbbbbb-0000-4000-8000-{number:012}")
}

fn volume_id(number: u8) -> String {
    format!("aaaaaaaa-0000-4000-8000-{number:012}")
}

fn service_with(seeds: &[Seed]) -> NativeService {
    let service = NativeService::with_variables(TestVariables::default().with("quota_snapshots", "-1"));
    let snapshots: Vec<Value> = seeds
        .iter()
        .enumerate()
        .map(|(number, seed)| {
            json!({
                "id": id(number),
                "project_id": PROJECT,
                "name": seed.name,
                "description": seed.description,
                "status": seed.status,
                "size": seed.size,
                "volume_id": volume_id(seed.volume),
                "created_at": format!("2026-01-01T00:00:0{}", seed.second),
                "metadata": seed.metadata,
                "consumes_quota": seed.consumes_quota,
            })
        })
        .collect();
    let volumes: Vec<Value> = (0..3).map(|number| json!({ "id": volume_id(number), "project_id": PROJECT })).collect();
    service.put_state(&json!({ "volumes": volumes, "snapshots": snapshots }));
    service
}

/// Returns the ids of one page, and the count if the query asks for it.
fn page(service: &NativeService, query: &str) -> (Vec<String>, Option<u64>) {
    let mut request = client("GET", &format!("/v3/{PROJECT}/snapshots?{query}"), &Value::Null);
    request.headers_mut().insert("openstack-api-version", "volume 3.71".parse().expect("a header"));
    let answer = service.send(request);
    let document = json(&answer);
    assert_eq!(answer.status(), StatusCode::OK, "{query}: {document}");
    let ids = document["snapshots"].as_array().expect("a list").iter();
    (ids.map(|row| row["id"].as_str().expect("an id").to_owned()).collect(), document["count"].as_u64())
}

/// Follows pages until an empty one, as clients do. `between` runs after each page.
fn all_pages(service: &NativeService, query: &str, limit: usize, mut between: impl FnMut(usize)) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for number in 0.. {
        let marker = seen.last().map(|last| format!("&marker={last}")).unwrap_or_default();
        let (ids, _) = page(service, &format!("{query}&limit={limit}{marker}"));
        assert!(ids.len() <= limit);
        if ids.is_empty() {
            break;
        }
        seen.extend(ids);
        between(number);
    }
    seen
}

/// Returns the value by which the oracle sorts. Null sorts before the empty string.
fn sort_value(seed: &Seed, number: usize, key: &str) -> (Option<String>, u32) {
    match key {
        "name" => (Some(seed.name.to_owned()), 0),
        "display_description" => (seed.description.map(str::to_owned), 0),
        "status" => (Some(seed.status.to_owned()), 0),
        "volume_size" => (None, seed.size),
        "volume_id" => (Some(volume_id(seed.volume)), 0),
        "use_quota" => (None, u32::from(seed.consumes_quota)),
        "created_at" => (None, u32::from(seed.second)),
        "id" => (Some(id(number)), 0),
        other => panic!("no oracle for {other}"),
    }
}

const KEYS: [&str; 8] =
    ["name", "display_description", "status", "volume_size", "volume_id", "use_quota", "created_at", "id"];

/// Returns the list of a naive reader of the specification.
fn oracle(seeds: &[Seed], matches: impl Fn(&Seed) -> bool, sort: &[(&str, bool)]) -> Vec<String> {
    let ascending = sort.first().is_some_and(|(_, ascending)| *ascending);
    let mut keys = sort.to_vec();
    for key in ["created_at", "id"] {
        if !keys.iter().any(|(own, _)| *own == key) {
            keys.push((key, ascending));
        }
    }
    let mut rows: Vec<(usize, &Seed)> = seeds.iter().enumerate().filter(|(_, seed)| matches(seed)).collect();
    rows.sort_by(|one, two| {
        keys.iter()
            .map(|(key, ascending)| {
                let (one, two) = (sort_value(one.1, one.0, key), sort_value(two.1, two.0, key));
                if *ascending { one.cmp(&two) } else { two.cmp(&one) }
            })
            .find(|ordering| ordering.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    rows.into_iter().map(|(number, _)| id(number)).collect()
}

fn sort_strategy() -> impl Strategy<Value = Vec<(&'static str, bool)>> {
    prop::collection::vec((prop::sample::select(KEYS.to_vec()), any::<bool>()), 1..4).prop_map(|mut keys| {
        let mut seen = BTreeSet::new();
        keys.retain(|(key, _)| seen.insert(*key));
        keys
    })
}

fn spelled(sort: &[(&str, bool)]) -> String {
    let keys: Vec<String> =
        sort.iter().map(|(key, ascending)| format!("{key}:{}", if *ascending { "asc" } else { "desc" })).collect();
    format!("sort={}", keys.join(","))
}

proptest! {
    #![proptest_config(crate::support::laws::cases(128, 128))]

    #[test]
    fn paging_in_any_order_covers_each_snapshot_exactly_once(
        seeds in prop::collection::vec(seed(), 0..40),
        sort in sort_strategy(),
        limit in 1_usize..9,
        offset in 0_usize..5,
    ) {
        let service = service_with(&seeds);
        let expected = oracle(&seeds, |_| true, &sort);
        prop_assert_eq!(all_pages(&service, &spelled(&sort), limit, |_| {}), expected.clone());
        let (ids, count) = page(&service, &format!("{}&offset={offset}&with_count=1", spelled(&sort)));
        prop_assert_eq!(ids, expected.iter().skip(offset).cloned().collect::<Vec<_>>());
        prop_assert_eq!(count, Some(expected.len() as u64));
    }

    #[test]
    fn filters_agree_with_a_naive_oracle(
        seeds in prop::collection::vec(seed(), 0..40),
        name in prop::option::of(prop::sample::select(vec!["", "a", "alpha", "nobody"])),
        status in prop::option::of(prop::sample::select(vec!["available", "error", "nope"])),
        volume in prop::option::of(0_u8..4),
        item in prop::option::of((prop::sample::select(vec!["k", "t"]), prop::sample::select(vec!["1", "2"]))),
        consumes in prop::option::of(any::<bool>()),
        like in prop::option::of(prop::sample::select(vec!["alph", "A", "a_", "%25b", "0%25"])),
        sort in sort_strategy(),
        limit in 1_usize..9,
    ) {
        let service = service_with(&seeds);
        let mut query = vec![spelled(&sort)];
        query.extend(name.map(|name| format!("name={name}")));
        query.extend(status.map(|status| format!("status={status}")));
        query.extend(volume.map(|volume| format!("volume_id={}", volume_id(volume))));
        query.extend(item.map(|(key, value)| format!("metadata=%7B%27{key}%27%3A%27{value}%27%7D")));
        query.extend(consumes.map(|consumes| format!("consumes_quota={consumes}")));
        query.extend(like.map(|like| format!("name~={like}")));
        let query = query.join("&");
        let expected = oracle(
            &seeds,
            |seed| {
                name.is_none_or(|name| seed.name == name)
                    && status.is_none_or(|status| seed.status == status)
                    && volume.is_none_or(|volume| seed.volume == volume)
                    && item.is_none_or(|(key, value)| seed.metadata.get(key) == Some(&value))
                    && consumes.is_none_or(|consumes| seed.consumes_quota == consumes)
                    && like.is_none_or(|like| is_like(seed.name, &like.replace("%25", "%")))
            },
            &sort,
        );
        prop_assert_eq!(all_pages(&service, &query, limit, |_| {}), expected.clone(), "{}", query);
        prop_assert_eq!(page(&service, &format!("{query}&with_count=1&limit=1")).1, Some(expected.len() as u64));
    }

    #[test]
    fn while_others_come_and_go_an_untouched_snapshot_is_listed_exactly_once(
        seeds in prop::collection::vec(seed(), 3..40),
        doomed in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        // A page starts at the present position of its marker, so do not sort by a field that changes with time.
        sort in sort_strategy().prop_map(|mut sort| {
            sort.retain(|(key, _)| *key != "status");
            sort
        }),
        limit in 1_usize..6,
    ) {
        /// The number of pages after which no snapshots are created any more. A reader might otherwise never reach the
        /// end.
        const NEWCOMERS: usize = 15;
        let service = service_with(&seeds);
        // A marker must still exist when it is used, so the last snapshot of a page is never deleted.
        let doomed: BTreeSet<String> = doomed.iter().map(|index| id(index.index(seeds.len()))).collect();
        let mut waiting: Vec<String> = doomed.iter().cloned().collect();
        let query = if sort.is_empty() { String::new() } else { spelled(&sort) };
        let mut seen: Vec<String> = Vec::new();
        for number in 0.. {
            let marker = seen.last().map(|last| format!("&marker={last}")).unwrap_or_default();
            let (ids, _) = page(&service, &format!("{query}&limit={limit}{marker}"));
            if ids.is_empty() {
                break;
            }
            seen.extend(ids);
            if number < NEWCOMERS {
                let body = json!({ "snapshot": { "volume_id": volume_id(0), "name": seeds[0].name } });
                let answer = service.send(client("POST", &format!("/v3/{PROJECT}/snapshots"), &body));
                prop_assert_eq!(answer.status(), StatusCode::ACCEPTED);
            }
            if let Some(at) = waiting.iter().position(|id| Some(id) != seen.last()) {
                let gone = waiting.swap_remove(at);
                let body = json!({ "os-force_delete": null });
                let path = format!("/v3/{PROJECT}/snapshots/{gone}/action");
                prop_assert_eq!(service.send(client("POST", &path, &body)).status(), StatusCode::ACCEPTED);
            }
            service.advance(1.5);
            prop_assert!(seen.len() <= seeds.len() + NEWCOMERS, "the pages never end");
        }
        let distinct: BTreeSet<&String> = seen.iter().collect();
        prop_assert_eq!(distinct.len(), seen.len(), "none is repeated");
        for number in 0..seeds.len() {
            let id = id(number);
            prop_assert!(doomed.contains(&id) || distinct.contains(&id), "{} is skipped", id);
        }
    }

    #[test]
    fn metadata_operations_agree_with_a_map(operations in prop::collection::vec(metadata_operation(), 1..20)) {
        let service = service_with(&[Seed {
            name: "s",
            description: None,
            status: "available",
            size: 1,
            volume: 0,
            second: 0,
            metadata: BTreeMap::new(),
            consumes_quota: true,
        }]);
        let base = format!("/v3/{PROJECT}/snapshots/{}/metadata", id(0));
        let mut expected: BTreeMap<String, String> = BTreeMap::new();
        for operation in operations {
            let (method, path, body, status) = match operation {
                MetadataOperation::Merge(items) => {
                    expected.extend(items.clone());
                    ("POST", base.clone(), json!({ "metadata": items }), 200)
                }
                MetadataOperation::Replace(items) => {
                    expected.clone_from(&items);
                    ("PUT", base.clone(), json!({ "metadata": items }), 200)
                }
                MetadataOperation::Put(key, value) => {
                    expected.insert(key.clone(), value.clone());
                    ("PUT", format!("{base}/{}", key.replace(' ', "%20")), json!({ "meta": { key: value } }), 200)
                }
                MetadataOperation::Delete(key) => {
                    let status = if expected.remove(&key).is_some() { 200 } else { 404 };
                    ("DELETE", format!("{base}/{}", key.replace(' ', "%20")), Value::Null, status)
                }
            };
            let answer = service.send(client(method, &path, &body));
            prop_assert_eq!(answer.status().as_u16(), status, "{} {}", method, path);
            let shown = json(&service.send(client("GET", &base, &Value::Null)));
            prop_assert_eq!(&shown["metadata"], &json!(expected));
        }
    }
}

#[derive(Debug, Clone)]
enum MetadataOperation {
    Merge(BTreeMap<String, String>),
    Replace(BTreeMap<String, String>),
    Put(String, String),
    Delete(String),
}

fn metadata_operation() -> impl Strategy<Value = MetadataOperation> {
    let key = || prop::sample::select(vec!["a", "b", "c d", "e:f", "1"]).prop_map(str::to_owned);
    let value = || prop::sample::select(vec!["", "v", "é", "it's", "\u{1f600}"]).prop_map(str::to_owned);
    let items = || prop::collection::btree_map(key(), value(), 0..4);
    prop_oneof![
        items().prop_map(MetadataOperation::Merge),
        items().prop_map(MetadataOperation::Replace),
        (key(), value()).prop_map(|(key, value)| MetadataOperation::Put(key, value)),
        key().prop_map(MetadataOperation::Delete),
    ]
}

/// Matches like SQL's `LIKE` with `%` on both sides, by trying every position.
fn is_like(string: &str, pattern: &str) -> bool {
    fn matches(string: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => string.is_empty(),
            Some(('%', rest)) => (0..=string.len()).any(|taken| matches(&string[taken..], rest)),
            Some((expected, rest)) => string.split_first().is_some_and(|(first, others)| {
                (*expected == '_' || first.eq_ignore_ascii_case(expected)) && matches(others, rest)
            }),
        }
    }
    let string: Vec<char> = string.chars().collect();
    let pattern: Vec<char> = format!("%{pattern}%").chars().collect();
    matches(&string, &pattern)
}

#[test]
fn a_snapshot_that_is_being_deleted_leaves_lists_when_its_time_has_come() {
    let service = NativeService::with_variables(TestVariables::default());
    service.set_now(Timestamp::from_seconds(1_790_000_000));
    service.put_state(&json!({
        "volumes": [{ "id": volume_id(0), "project_id": PROJECT }],
        "snapshots": [{ "id": id(0), "project_id": PROJECT }, { "id": id(1), "project_id": PROJECT }],
    }));
    let path = format!("/v3/{PROJECT}/snapshots/{}", id(0));
    assert_eq!(service.send(client("DELETE", &path, &Value::Null)).status(), StatusCode::ACCEPTED);
    assert_eq!(page(&service, "with_count=1"), (vec![id(1), id(0)], Some(2)));
    service.advance(1.0);
    assert_eq!(page(&service, "with_count=1"), (vec![id(1)], Some(1)), "no tick was needed");
}
