//! Extensions of volumes: the size, the status, and the quota, at each stage and on each way out
//! (`docs/adr/0024-extend.md`). After each, the store has no trace of the extension: a repair finds nothing wrong.

use serde_json::{Value, json};

use crate::support::Service;
use crate::support::calls::Calls;
use crate::support::native::{NativeService, TestVariables};

const ID: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const VOLUME: &str = "/v3/a1/volumes/aaaaaaaa-0000-4000-8000-000000000001";

fn service(variables: &[(&str, &str)], volume: &Value) -> NativeService {
    let variables = variables.iter().fold(TestVariables::default(), |all, (name, value)| all.with(name, value));
    let service = NativeService::with_variables(variables);
    let mut volume = volume.clone();
    volume["project_id"] = json!("a1");
    let attachments = if volume["status"] == "in-use" { json!([{ "volume_id": ID }]) } else { json!([]) };
    service.put_state(&json!({ "volumes": [volume], "attachments": attachments }));
    service
}

fn act(service: &NativeService, body: &Value) -> u16 {
    service.call("POST", &format!("{VOLUME}/action"), body).status
}

fn extend(service: &NativeService, size: u32) -> u16 {
    act(service, &json!({ "os-extend": { "new_size": size } }))
}

/// The size, the status, and the usage of gigabytes as a quota set shows it.
type Seen = (u64, String, i64, i64);

fn seen(service: &NativeService) -> Seen {
    let volume = service.get(VOLUME).body["volume"].clone();
    let quota = service.get("/v3/a1/os-quota-sets/a1?usage=true").body["quota_set"]["gigabytes"].clone();
    let number = |value: &Value| value.as_i64().unwrap_or_else(|| panic!("{quota}"));
    let status = volume["status"].as_str().expect("a status").to_owned();
    (volume["size"].as_u64().expect("a size"), status, number(&quota["in_use"]), number(&quota["reserved"]))
}

fn saw(size: u64, status: &str, in_use: i64, reserved: i64) -> Seen {
    (size, status.to_owned(), in_use, reserved)
}

/// Runs two ticks, and checks that readers see the same as before and that nothing is left to do or to repair.
fn settles(service: &NativeService, what: &str) {
    let before = seen(service);
    for _ in 0..2 {
        assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200, "{what}");
    }
    assert_eq!(seen(service), before, "{what}: a tick changes nothing that readers see");
    let report = service.operate("POST", "/_ops/repair", &Value::Null).body;
    for wrong in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
        assert_eq!(report[wrong], 0, "{what}: {report}");
    }
}

#[test]
fn an_extension_reserves_quota_and_then_takes_it() {
    for status in ["available", "in-use"] {
        let service = service(&[], &json!({ "status": status }));
        assert_eq!(extend(&service, 3), 202);
        assert_eq!(seen(&service), saw(1, "extending", 1, 2));
        assert_eq!(extend(&service, 4), 400, "one at a time");
        service.advance(2.0);
        assert_eq!(seen(&service), saw(3, status, 3, 0), "by the clock alone");
        settles(&service, status);
        assert_eq!(service.state()["volumes"][0]["previous_status"], status);
    }
}

#[test]
fn what_is_reserved_is_not_free_for_others() {
    let service = service(&[("quota_gigabytes", "4")], &json!({}));
    assert_eq!(extend(&service, 3), 202);
    let create = |size: u32| service.call("POST", "/v3/a1/volumes", &json!({ "volume": { "size": size } }));
    let refused = create(2);
    assert_eq!(refused.status, 413, "{refused:?}");
    assert!(refused.fault().1.contains("quota is 4G and 3G has been consumed"), "{refused:?}");
    assert_eq!(create(1).status, 202);
    service.advance(2.0);
    settles(&service, "beside a create");
}

#[test]
fn an_extension_may_follow_another_before_a_tick() {
    let service = service(&[], &json!({}));
    for size in [2, 5, 6] {
        assert_eq!(extend(&service, size), 202);
        service.advance(2.0);
        assert_eq!(seen(&service), saw(size.into(), "available", size.into(), 0));
    }
    settles(&service, "three extensions");
}

#[test]
fn a_write_to_a_volume_whose_extension_has_ended_loses_nothing() {
    let service = service(&[], &json!({}));
    assert_eq!(extend(&service, 3), 202);
    service.advance(2.0);
    assert_eq!(service.call("PUT", VOLUME, &json!({ "volume": { "name": "n" } })).status, 200);
    assert_eq!(act(&service, &json!({ "os-set_image_metadata": { "metadata": { "k": "v" } } })), 200);
    assert_eq!(seen(&service), saw(3, "available", 3, 0));
    settles(&service, "after two writes");
}

#[test]
fn an_extension_that_nothing_ends_fails_and_gives_its_quota_back() {
    let service = service(&[("progression", "manual"), ("give_up_seconds", "60")], &json!({}));
    assert_eq!(extend(&service, 3), 202);
    service.advance(50.0);
    assert_eq!(seen(&service), saw(1, "extending", 1, 2));
    service.advance(20.0);
    assert_eq!(seen(&service), saw(1, "error_extending", 1, 0));
    settles(&service, "given up");
}

#[test]
fn an_extension_ends_as_it_is_reported() {
    for (report, after) in [
        (json!({}), saw(3, "available", 3, 0)),
        (json!({ "error": false }), saw(3, "available", 3, 0)),
        (json!({ "error": null }), saw(3, "available", 3, 0)),
        (json!({ "error": true }), saw(1, "error_extending", 1, 0)),
        (json!({ "error": "false" }), saw(1, "error_extending", 1, 0)),
    ] {
        let service = service(&[("progression", "manual")], &json!({}));
        assert_eq!(extend(&service, 3), 202);
        service.advance(20.0);
        assert_eq!(act(&service, &json!({ "os-extend_volume_completion": report })), 202, "{report}");
        service.advance(2.0);
        assert_eq!(seen(&service), after, "{report}");
        settles(&service, &report.to_string());
        assert_eq!(act(&service, &json!({ "os-extend_volume_completion": report })), 400, "once");
    }
}

/// A driver that waits for Compute names the new size in the hidden metadata.
#[test]
fn a_report_is_checked_against_the_hidden_metadata() {
    let hidden =
        |size: &str, reservations: &str| json!({ "extend_new_size": size, "extend_reservations": reservations });
    let malformed = "Required volume admin metadata is malformed or missing.";
    for (admin_metadata, status, says) in [
        (json!({}), 400, malformed),
        (hidden("x", "[]"), 400, malformed),
        (json!({ "extend_new_size": "3" }), 400, malformed),
        (hidden("1", "[]"), 400, "volume admin metadata 1 is smaller or equal to the current volume size."),
        (hidden("3", "{}"), 400, "must be in a list format."),
        (hidden("3", "[]"), 202, ""),
    ] {
        let service = service(&[], &json!({ "status": "extending", "admin_metadata": admin_metadata }));
        let answer = service.call("POST", &format!("{VOLUME}/action"), &json!({ "os-extend_volume_completion": {} }));
        assert_eq!(answer.status, status, "{admin_metadata}: {answer:?}");
        if status == 202 {
            service.advance(2.0);
            assert_eq!(seen(&service), saw(3, "available", 3, 0));
            settles(&service, "a driver's extension");
        } else {
            assert!(answer.fault().1.contains(says), "{admin_metadata}: {answer:?}");
        }
    }
}

#[test]
fn a_reset_of_the_status_ends_an_extension() {
    let service = service(&[], &json!({}));
    assert_eq!(extend(&service, 3), 202);
    assert_eq!(act(&service, &json!({ "os-reset_status": { "status": "error" } })), 202);
    service.advance(20.0);
    assert_eq!(seen(&service), saw(1, "error", 1, 0));
    settles(&service, "reset");
}

#[test]
fn a_deleted_volume_gives_back_what_it_took() {
    for (what, seconds, query) in
        [("under way", 1.0, "?force=true"), ("ended", 2.0, ""), ("ended and settled", 20.0, "")]
    {
        let service = service(&[], &json!({}));
        assert_eq!(extend(&service, 3), 202);
        service.advance(seconds);
        if seconds > 10.0 {
            settles(&service, what);
        }
        assert_eq!(service.delete(&format!("{VOLUME}{query}")).status, 202, "{what}");
        service.advance(20.0);
        for _ in 0..2 {
            assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200);
        }
        assert_eq!(service.in_use("gigabytes"), 0, "{what}");
        let report = service.operate("POST", "/_ops/repair", &Value::Null).body;
        assert_eq!((&report["counters"], &report["rows"]), (&json!(0), &json!(0)), "{what}: {report}");
    }
}

#[test]
fn the_state_of_an_extension_can_be_put_back() {
    let service = service(&[], &json!({}));
    assert_eq!(extend(&service, 3), 202);
    let state = service.state();
    assert_eq!((&state["volumes"][0]["id"], &state["volumes"][0]["new_size"]), (&json!(ID), &json!(3)));
    assert_eq!(state["quota_usage"]["a1"]["gigabytes"], json!({ "in_use": 1, "reserved": 2 }));
    service.put_state(&state);
    assert_eq!(service.state(), state);
    service.advance(2.0);
    let ended = service.state();
    assert_eq!((&ended["volumes"][0]["size"], &ended["volumes"][0]["new_size"]), (&json!(3), &Value::Null));
    assert_eq!(ended["quota_usage"]["a1"]["gigabytes"], json!({ "in_use": 3, "reserved": 0 }));
    settles(&service, "after the extension");
    assert_eq!(service.state(), ended);
}

/// The events of the messages of the project.
fn events(service: &NativeService) -> Vec<String> {
    let messages = service.get("/v3/a1/messages").body["messages"].clone();
    let events = messages.as_array().expect("a list").iter();
    events.map(|message| message["event_id"].as_str().expect("an event").to_owned()).collect()
}

#[test]
fn an_extension_that_fails_leaves_a_message_and_gives_its_quota_back() {
    for (absent, report, after, event) in [
        (true, None, saw(1, "available", 1, 0), "VOLUME_VOLUME_007_003"),
        (false, Some(json!({ "error": true })), saw(1, "error_extending", 1, 0), "VOLUME_VOLUME_007_010"),
    ] {
        let service = NativeService::with_variables(TestVariables::default().with("progression", "manual"));
        service.put_state(&json!({
            "volumes": [{ "project_id": "a1" }], "services": [{ "host": "host1@lvm", "absent": absent }],
        }));
        assert_eq!(extend(&service, 3), 202);
        assert_eq!(seen(&service), saw(1, "extending", 1, 2));
        if let Some(report) = report {
            assert_eq!(act(&service, &json!({ "os-extend_volume_completion": report })), 202);
        }
        service.advance(20.0);
        assert_eq!(seen(&service), after);
        for _ in 0..4 {
            assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200);
            service.advance(10.0);
        }
        settles(&service, event);
        assert_eq!(events(&service), [event]);
    }
}

#[test]
fn a_volume_outside_the_quota_is_extended_without_it() {
    let service = service(&[("quota_gigabytes", "0")], &json!({ "consumes_quota": false }));
    assert_eq!(extend(&service, 3), 202);
    service.advance(2.0);
    assert_eq!(seen(&service), saw(3, "available", 0, 0));
    settles(&service, "uncounted");
}
