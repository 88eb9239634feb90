//! The bounds on the bytes of one row's metadata, of a page, and of a pattern.

use http::Request;
use serde_json::{Map, Value, json};
use volume_snapshots::store::KeyValue as _;

use crate::support::Service;
use crate::support::calls::{Answer, Calls};
use crate::support::faults::CallKind;
use crate::support::native::{NativeService, TestVariables};

const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const BOUND: usize = 8_192;

/// Returns metadata of this many bytes, in items of 100 bytes and one of the rest.
fn metadata(prefix: &str, bytes: usize) -> Value {
    let mut items = Map::new();
    let mut rest = bytes;
    while rest > 0 {
        let key = format!("{prefix}{:07}", items.len());
        let value = rest.min(100).checked_sub(key.len()).expect("room for a key");
        rest -= key.len() + value;
        items.insert(key, "v".repeat(value).into());
    }
    items.into()
}

fn service(bound: usize) -> NativeService {
    let variables = TestVariables::default().with("max_metadata_bytes", &bound.to_string());
    let variables = variables.with("quota_snapshots", "-1").with("quota_gigabytes", "-1");
    let service = NativeService::with_variables(variables);
    let backend =
        json!({ "host": "host1@lvm", "binary": "cinder-volume", "disabled": false, "frozen": false, "up": true });
    service.put_state(&json!({
        "volumes": [{ "project_id": "a1" }], "snapshots": [{ "project_id": "a1" }], "services": [backend],
    }));
    service
}

fn too_large(answer: &Answer, size: usize) {
    let message = format!("Metadata of {size} bytes is larger than the {BOUND} bytes that one resource may have.");
    assert_eq!((answer.status, answer.fault()), (413, ("overLimit", message.as_str())));
    assert_eq!(answer.header("retry-after"), "");
}

#[test]
fn metadata_may_have_so_many_bytes_and_no_more() {
    let service = service(BOUND);
    let snapshot = "/v3/a1/snapshots/bbbbbbbb-0000-4000-8000-000000000001".to_owned();
    let volume = format!("/v3/a1/volumes/{VOLUME}");
    let refused = |method: &str, path: &str, body: &Value, size: usize| {
        let before = service.key_value.dump();
        too_large(&service.call(method, path, body), size);
        assert_eq!(service.key_value.dump(), before, "{method} {path}");
    };
    for row in [&snapshot, &volume] {
        let all = format!("{row}/metadata");
        let merge = |prefix: &str, bytes: usize| json!({ "metadata": metadata(prefix, bytes) });
        refused("POST", &all, &merge("a", BOUND + 1), BOUND + 1);
        refused("PUT", &all, &merge("a", BOUND + 1), BOUND + 1);
        assert_eq!(service.call("PUT", &all, &merge("a", BOUND)).status, 200);
        assert_eq!(service.call("POST", &all, &merge("a", BOUND)).status, 200, "what is there may be written again");
        refused("POST", &all, &merge("b", 10), BOUND + 10);
        refused("PUT", &format!("{all}/c"), &json!({ "meta": { "c": "1" } }), BOUND + 2);
        // The bytes count, not the characters.
        assert_eq!(service.call("PUT", &all, &merge("a", BOUND - 10)).status, 200);
        refused("PUT", &format!("{all}/c"), &json!({ "meta": { "c": "ééééé" } }), BOUND + 1);
        assert_eq!(service.call("PUT", &format!("{all}/c"), &json!({ "meta": { "c": "éééé" } })).status, 200);
        assert_eq!(service.rows(&format!("{}/detail", row.rsplit_once('/').expect("a path").0)).len(), 1);
    }
    refused("PUT", &volume, &json!({ "volume": { "metadata": metadata("a", BOUND + 1) } }), BOUND + 1);
    let more = metadata("a", BOUND + 1);
    refused("POST", "/v3/a1/volumes", &json!({ "volume": { "size": 1, "metadata": more } }), BOUND + 1);
    refused("POST", "/v3/a1/snapshots", &json!({ "snapshot": { "volume_id": VOLUME, "metadata": more } }), BOUND + 1);
    let manage = json!({ "snapshot": { "volume_id": VOLUME, "ref": { "source-name": "s" }, "metadata": more } });
    refused("POST", "/v3/a1/manageable_snapshots", &manage, BOUND + 1);
    assert!(service.log.borrow().is_empty(), "{:?}", service.log.borrow());
}

#[test]
fn a_row_that_is_larger_already_can_be_read_and_can_shrink() {
    let service = service(BOUND);
    let larger = metadata("a", 3 * BOUND);
    service.put_state(&json!({
        "volumes": [{ "project_id": "a1", "metadata": larger }], "snapshots": [{ "project_id": "a1", "metadata": larger }],
    }));
    for (row, kind) in [
        ("/v3/a1/snapshots/bbbbbbbb-0000-4000-8000-000000000001".to_owned(), "snapshot"),
        (format!("/v3/a1/volumes/{VOLUME}"), "volume"),
    ] {
        let all = format!("{row}/metadata");
        assert_eq!(service.get(&row).body[kind]["metadata"], larger);
        let renamed = service.call("PUT", &row, &json!({ kind: { "name": "new" } }));
        assert_eq!((renamed.status, &renamed.body[kind]["metadata"]), (200, &larger));
        too_large(&service.call("POST", &all, &json!({ "metadata": { "b": "1" } })), 3 * BOUND + 2);
        assert_eq!(service.delete(&format!("{all}/a0000000")).status, 200);
        too_large(&service.call("POST", &all, &json!({ "metadata": { "b": "1" } })), 3 * BOUND - 98);
        assert_eq!(service.call("PUT", &all, &json!({ "metadata": metadata("a", 2 * BOUND) })).status, 200);
        assert_eq!(service.call("PUT", &all, &json!({ "metadata": { "b": "1" } })).status, 200);
    }
}

/// Returns the ids on each page, following the links to the end, and the largest array of rows in bytes.
fn pages(service: &NativeService, path: &str) -> (Vec<Vec<String>>, usize) {
    let collection = if path.contains("/snapshots") { "snapshots" } else { "volumes" };
    let (mut path, mut pages, mut largest) = (path.to_owned(), Vec::new(), 0);
    loop {
        let answer = service.get(&path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let rows = answer.body[collection].as_array().expect("rows").clone();
        if rows.len() > 1 {
            largest = largest.max(Value::from(rows.clone()).to_string().len());
        }
        pages.push(rows.iter().map(crate::support::calls::id_of).collect());
        let Some(next) = answer.body[format!("{collection}_links")][0]["href"].as_str() else {
            return (pages, largest);
        };
        assert!(pages.len() < 200, "{path}");
        next[next.find("/v3").expect("a path")..].clone_into(&mut path);
    }
}

#[test]
fn a_page_ends_by_its_bytes_and_its_link_leads_on() {
    let state = {
        // Sizes of every kind, and some rows that alone are larger than a page.
        let sizes = [0, 40, 900, 0, 3_000, 10, 5_000, 200, 0, 12_000, 60, 1_000, 0, 0, 700, 2_000, 30, 4_500, 0, 90];
        let rows = |digit: char| -> Vec<Value> {
            let row = |(number, size): (usize, &usize)| {
                json!({
                    "id": format!("{}-0000-4000-8000-{number:012}", digit.to_string().repeat(8)),
                    "project_id": if number % 5 == 4 { "b2" } else { "a1" }, "name": format!("name-{}", number % 3),
                    "created_at": format!("2026-01-01T00:00:0{}", number % 4), "metadata": metadata("k", *size),
                })
            };
            sizes.iter().enumerate().map(row).collect()
        };
        json!({ "volumes": rows('a'), "snapshots": rows('b').into_iter().map(|mut row| {
            row["volume_id"] = json!("aaaaaaaa-0000-4000-8000-000000000000");
            row
        }).collect::<Vec<_>>() })
    };
    let with = |most: usize| {
        let service = NativeService::with_variables(TestVariables::default().with("max_page_bytes", &most.to_string()));
        service.put_state(&state);
        service
    };
    let whole = with(1 << 30);
    let queries = [
        "",
        "sort=created_at:asc",
        "sort=name",
        "sort=name:asc,created_at",
        "limit=1000",
        "limit=3",
        "offset=3",
        "all_tenants=1",
        "all_tenants=1&sort=name&offset=2",
        "name~=name",
        "name=name-1",
        "with_count=1&limit=1000",
        "sort=name&limit=4",
        "marker=MARKER",
        "marker=MARKER&offset=1&sort=name",
    ];
    for most in [1, 2_000, 6_000, 20_000] {
        let cut = with(most);
        for collection in ["snapshots", "snapshots/detail", "volumes", "volumes/detail"] {
            for query in queries {
                let marker = format!(
                    "{}-0000-4000-8000-000000000006",
                    if collection.starts_with('s') { "bbbbbbbb" } else { "aaaaaaaa" }
                );
                let path = format!("/v3/a1/{collection}?{}", query.replace("MARKER", &marker));
                let (expected, _) = pages(&whole, &path);
                let (found, largest) = pages(&cut, &path);
                assert_eq!(found.concat(), expected.concat(), "{most} {path}");
                assert!(found.iter().rev().skip(1).all(|page| !page.is_empty()), "{most} {path}: {found:?}");
                assert!(largest <= most, "{most} {path}: {largest}");
                let count = expected.concat().len();
                assert!(most > 1 || found.iter().filter(|page| !page.is_empty()).count() == count, "{path}: {found:?}");
            }
        }
    }
    // A link of a page that is full by its rows stays Cinder's.
    let links = whole.get("/v3/a1/snapshots?offset=1&limit=2").body["snapshots_links"].to_string();
    assert!(links.contains("?offset=1&limit=2&marker="), "{links}");
}

/// Returns the most rows that one call of the store read during a list.
fn most_at_once(service: &NativeService, path: &str) -> usize {
    service.key_value.faults.reset();
    assert_eq!(service.get(path).status, 200);
    most_in_one_call(service)
}

/// Returns the most rows that one of the recorded calls of the store read.
fn most_in_one_call(service: &NativeService) -> usize {
    let calls = service.key_value.faults.calls();
    let is_row = |key: &&String| key.starts_with("vs1:snapshot:") || key.starts_with("vs1:volume:");
    let rows =
        calls.iter().filter(|call| call.kind == CallKind::GetMany).map(|call| call.keys.iter().filter(is_row).count());
    rows.max().unwrap_or_default()
}

#[test]
fn a_project_with_a_large_row_is_read_a_few_rows_at_a_time() {
    let fresh = || {
        let service = service(262_144);
        let snapshots: Vec<Value> = (0..100)
            .map(|number| json!({ "id": format!("bbbbbbbb-0000-4000-8000-{number:012}"), "project_id": "a1", "metadata": {} }))
            .collect();
        service.put_state(&json!({ "volumes": [{ "project_id": "a1" }], "snapshots": snapshots }));
        service
    };
    let row = "/v3/a1/snapshots/bbbbbbbb-0000-4000-8000-000000000001";
    let lists = [
        "/v3/a1/snapshots",
        "/v3/a1/snapshots?sort=name",
        "/v3/a1/snapshots?name~=x",
        "/v3/a1/snapshots/detail?all_tenants=1",
    ];
    let (large, small) = (metadata("k", 4_097), metadata("k", 4_096));
    let create = json!({ "snapshot": { "volume_id": VOLUME, "metadata": large } });
    let writes = [
        ("POST", "/v3/a1/snapshots".to_owned(), create),
        ("PUT", format!("{row}/metadata"), json!({ "metadata": large })),
        ("POST", format!("{row}/metadata"), json!({ "metadata": large })),
        ("PUT", format!("/v3/a1/volumes/{VOLUME}"), json!({ "volume": { "metadata": large } })),
    ];
    for (method, path, body) in &writes {
        let service = fresh();
        let almost = service.call("PUT", &format!("{row}/metadata"), &json!({ "metadata": small }));
        assert_eq!((almost.status, most_at_once(&service, lists[0])), (200, 100));
        let answer = service.call(method, path, body);
        assert!(answer.status < 300, "{answer:?}");
        for list in lists {
            assert_eq!(most_at_once(&service, list), 4, "{method} {path}, {list}");
        }
        // What is marked is not marked again.
        service.key_value.faults.reset();
        let again = json!({ "metadata": metadata("k", 5_000) });
        assert_eq!(service.call("PUT", &format!("{row}/metadata"), &again).status, 200);
        assert!(service.key_value.faults.commits() <= 2, "{:?}", service.key_value.faults.calls());
        service.key_value.faults.reset();
        assert_eq!(
            service.call("PUT", &format!("{row}/metadata"), &json!({ "metadata": metadata("k", 6_000) })).status,
            200
        );
        assert_eq!((service.key_value.faults.calls().len(), service.key_value.faults.commits()), (3, 1));
    }
    // A state and a repair mark the project too.
    let service = fresh();
    let mut state = service.operate("GET", "/_ops/state", &Value::Null).body;
    state["snapshots"][0]["metadata"] = large.clone();
    service.put_state(&state);
    assert_eq!(most_at_once(&service, lists[0]), 4);
    service.key_value.delete_many(&["vs1:project:a1".to_owned()]).expect("deleted");
    assert_eq!(service.operate("POST", "/_ops/repair", &Value::Null).status, 200);
    assert_eq!((most_at_once(&service, lists[0]), service.ids(lists[0]).len()), (4, 100));
}

#[test]
fn work_on_many_rows_reads_a_few_at_a_time_where_rows_may_be_large() {
    const MANY: usize = 100;
    let service_of = |metadata: &Value, create_seconds: &str| {
        let variables = TestVariables::default().with("create_seconds", create_seconds);
        let service = NativeService::with_variables(variables.with("quota_snapshots", "-1"));
        let row = |number: usize| {
            json!({
                "id": format!("bbbbbbbb-0000-4000-8000-{number:012}"), "project_id": "a1", "status": "creating",
                "metadata": if number == 0 { metadata.clone() } else { json!({}) },
            })
        };
        let snapshots: Vec<Value> = (0..MANY).map(row).collect();
        service.put_state(&json!({ "volumes": [{ "project_id": "a1" }], "snapshots": snapshots }));
        service
    };
    let most = |service: &NativeService, work: &dyn Fn()| {
        service.key_value.faults.reset();
        work();
        most_in_one_call(service)
    };
    let works = |metadata: &Value| -> Vec<(&str, usize)> {
        let service = service_of(metadata, "3600");
        let operate = |method: &str, path: &str, body: &Value| {
            let answer = service.operate(method, path, body);
            assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        };
        let then = json!({ "now": service.now().plus_seconds(1.0).to_string() });
        let mut found = vec![
            ("state", most(&service, &|| operate("GET", "/_ops/state", &Value::Null))),
            ("repair", most(&service, &|| operate("POST", "/_ops/repair", &Value::Null))),
            ("operator's tick", most(&service, &|| operate("POST", "/_ops/tick", &then))),
        ];
        let service = service_of(metadata, "0");
        service.advance(1.0);
        let path = format!("/v3/a1/volumes/{VOLUME}");
        let revert = json!({ "revert": { "snapshot_id": format!("bbbbbbbb-0000-4000-8000-{:012}", MANY - 1) } });
        found.push(("revert", most(&service, &|| drop(service.call("POST", &format!("{path}/action"), &revert)))));
        service.advance(3_600.0);
        let answer = || assert_eq!(service.delete(&format!("{path}?cascade=true")).status, 202);
        found.push(("cascade", most(&service, &answer)));
        service.advance(2.0);
        let tick = || assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).body["removed"], MANY + 1);
        found.push(("tick with deletes", most(&service, &tick)));
        found
    };
    let (small, large) = (works(&metadata("k", 4_096)), works(&metadata("k", 4_097)));
    for ((work, in_small), (_, in_large)) in small.into_iter().zip(large) {
        assert!(in_small >= MANY, "{work}: only {in_small} rows in one call");
        assert!((2..=32).contains(&in_large), "{work}: {in_large} rows in one call where some are large");
    }
}

#[test]
fn a_pattern_has_at_most_255_characters() {
    let service = service(BOUND);
    for collection in ["snapshots", "snapshots/detail", "volumes"] {
        for (pattern, status) in [("%C3%A9".repeat(255), 200), ("%C3%A9".repeat(256), 400), ("%25a".repeat(5_000), 400)]
        {
            let path = format!("/v3/a1/{collection}?name~={pattern}");
            let request =
                Request::get(&path).header("openstack-api-version", "volume 3.71").header("x-auth-token", "u:a1");
            let answer: Answer = service.send(request.body(Vec::new()).expect("a request")).into();
            assert_eq!(answer.status, status, "{collection}");
            if status == 400 {
                let message = "Invalid input received: the filter name~ is longer than 255 characters.";
                assert_eq!(answer.fault(), ("badRequest", message));
            }
        }
    }
}
