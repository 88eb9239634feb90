//! Every operation on backups, stopped at each of its store calls. Besides what holds for all rows, the source of a backup
//! comes back, and chains stay whole: no incremental backup outlives its parent, and none is its own ancestor.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{FAILS, Operation, Outcome, SNAPSHOT, VOLUME, outcome, scene, snapshot_status, stop_everywhere_in, time};
use crate::support::Service;
use crate::support::calls::{Calls, id_of};
use crate::support::component::ComponentService;

/// A backup on which `CHILD` depends.
const PARENT: &str = "bac00000-0000-4000-8000-000000000001";
const CHILD: &str = "bac00000-0000-4000-8000-000000000002";
/// A backup that a record brings.
const IMPORTED: &str = "bac00000-0000-4000-8000-000000000009";
/// A volume without snapshots.
const TARGET: &str = "aaaaaaaa-0000-4000-8000-000000000005";
const BACKUPS: &str = "/v3/a1/backups";

/// Checks that every backup that another one continues is there, that no chain is a circle, and that each backup knows whether
/// others depend on it.
pub(crate) fn assert_chains(backups: &[Value], case: &str) {
    let parents: BTreeMap<String, String> =
        backups.iter().filter_map(|row| Some((id_of(row), row["parent_id"].as_str()?.to_owned()))).collect();
    for (id, parent) in &parents {
        assert!(backups.iter().any(|row| row["id"] == **parent), "{case}: {id} outlives its parent");
        let (mut at, mut length) = (id, 0);
        while let Some(next) = parents.get(at) {
            (at, length) = (next, length + 1);
            assert!(length <= backups.len(), "{case}: the parents of {id} are a circle");
        }
    }
    for row in backups {
        // One that was never made does not count, as in Cinder.
        let depends = |own: &&Value| own["parent_id"] == row["id"] && own["counts_as_dependent"] == true;
        let dependents = backups.iter().filter(depends).count();
        assert_eq!(row["num_dependent_backups"], dependents, "{case}: {row}");
    }
}

fn stop(operation: &Operation) {
    let mut scene = scene(operation.schedule);
    let volumes = scene["volumes"].as_array_mut().expect("volumes");
    volumes.push(json!({ "id": TARGET, "project_id": "a1", "size": 3 }));
    let backup = |id: &str, parent: Value, created: &str| {
        json!({ "id": id, "project_id": "a1", "size": 2, "parent_id": parent, "created_at": created,
                "data_timestamp": created })
    };
    scene["backups"] = json!([
        backup(PARENT, Value::Null, "2026-01-01T00:00:00"),
        backup(CHILD, json!(PARENT), "2026-01-02T00:00:00"),
    ]);
    stop_everywhere_in(operation, &scene, "1000");
}

fn create(service: &ComponentService, fields: &Value) -> Outcome {
    let mut backup = json!({ "volume_id": VOLUME });
    for (name, value) in fields.as_object().expect("fields") {
        backup[name] = value.clone();
    }
    outcome(&service.call("POST", BACKUPS, &json!({ "backup": backup })))
}

fn backups(service: &ComponentService) -> Vec<Value> {
    service.state()["backups"].as_array().cloned().unwrap_or_default()
}

fn backup_status(service: &ComponentService, id: &str) -> Option<String> {
    service.status_of(&format!("{BACKUPS}/{id}"))
}

fn volume_status(service: &ComponentService, id: &str) -> Option<String> {
    service.status_of(&format!("/v3/a1/volumes/{id}"))
}

#[test]
fn a_backup_of_a_snapshot_may_stop_anywhere() {
    stop(&Operation {
        schedule: "clock",
        creates: true,
        run: |service| create(service, &json!({ "snapshot_id": SNAPSHOT })),
        // While one backup reads the snapshot, another one cannot.
        repeated: &[202, 400],
        acknowledged: |service| {
            assert_eq!(backups(service).len(), 3);
            assert_eq!(snapshot_status(service, SNAPSHOT).as_deref(), Some("backing-up"));
            assert_eq!(volume_status(service, VOLUME).as_deref(), Some("available"));
        },
    });
}

#[test]
fn an_incremental_backup_of_a_volume_may_stop_anywhere() {
    stop(&Operation {
        schedule: "clock",
        creates: true,
        run: |service| create(service, &json!({ "incremental": true })),
        repeated: &[202, 400],
        acknowledged: |service| {
            let made = backups(service).into_iter().find(|row| row["status"] == "creating").expect("a backup");
            assert_eq!(made["parent_id"], CHILD);
            assert_eq!(volume_status(service, VOLUME).as_deref(), Some("backing-up"));
            let refused = service.delete(&format!("{BACKUPS}/{CHILD}"));
            assert_eq!(refused.status, 400, "{refused:?}");
        },
    });
}

#[test]
fn a_backup_that_no_service_makes_may_stop_anywhere() {
    let operation = Operation {
        schedule: "clock",
        creates: true,
        run: |service| create(service, &json!({ "name": FAILS, "availability_zone": "nowhere" })),
        repeated: &[202, 400],
        acknowledged: |service| assert_eq!(volume_status(service, VOLUME).as_deref(), Some("backing-up")),
    };
    stop_everywhere_in(&operation, &scene(operation.schedule), "1000");
}

#[test]
fn a_backup_that_is_given_up_may_stop_anywhere() {
    let operation = Operation {
        schedule: "told",
        creates: false,
        run: |service| {
            service.advance(4.0);
            let first = service.tick();
            service.advance(5.0);
            if first.and_then(|()| service.tick()).is_ok() { 200 } else { 500 }
        },
        repeated: &[200],
        acknowledged: |service| {
            assert_eq!(backup_status(service, PARENT).as_deref(), Some("error"));
            assert_eq!(service.state()["messages"].as_array().map(Vec::len), Some(1));
        },
    };
    let mut scene = scene("told");
    let pending = json!({ "completion": "create", "schedule": "told", "due": time(2), "gives_up": time(3),
                          "request_id": "12345678-0000-4000-8000-000000000001" });
    scene["backups"] =
        json!([{ "id": PARENT, "project_id": "a1", "name": FAILS, "status": "creating", "pending": pending }]);
    stop_everywhere_in(&operation, &scene, "1000");
}

#[test]
fn a_delete_of_an_incremental_backup_may_stop_anywhere() {
    stop(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| outcome(&service.delete(&format!("{BACKUPS}/{CHILD}"))),
        repeated: &[202, 400],
        acknowledged: |service| assert_eq!(backup_status(service, CHILD).as_deref(), Some("deleting")),
    });
}

#[test]
fn a_run_that_removes_an_incremental_backup_may_stop_anywhere() {
    stop(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| {
            let deleted = outcome(&service.delete(&format!("{BACKUPS}/{CHILD}")));
            if deleted >= 300 && deleted != 400 && deleted != 404 {
                return deleted;
            }
            service.advance(3.0);
            if service.tick().is_ok() { 200 } else { 500 }
        },
        repeated: &[200],
        acknowledged: |service| assert_eq!(backup_status(service, CHILD), None),
    });
}

#[test]
fn a_restoration_to_a_volume_may_stop_anywhere() {
    stop(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| {
            let body = json!({ "restore": { "volume_id": TARGET } });
            outcome(&service.call("POST", &format!("{BACKUPS}/{PARENT}/restore"), &body))
        },
        repeated: &[202, 400],
        acknowledged: |service| {
            assert_eq!(backup_status(service, PARENT).as_deref(), Some("restoring"));
            assert_eq!(volume_status(service, TARGET).as_deref(), Some("restoring-backup"));
        },
    });
}

#[test]
fn a_restoration_to_a_new_volume_may_stop_anywhere() {
    stop(&Operation {
        schedule: "clock",
        creates: true,
        run: |service| {
            outcome(&service.call("POST", &format!("{BACKUPS}/{PARENT}/restore"), &json!({ "restore": {} })))
        },
        repeated: &[202, 400],
        acknowledged: |service| {
            assert_eq!(backup_status(service, PARENT).as_deref(), Some("restoring"));
            assert_eq!(service.ids("/v3/a1/volumes?status=restoring-backup").len(), 1);
        },
    });
}

#[test]
fn a_volume_from_a_backup_may_stop_anywhere() {
    stop(&Operation {
        schedule: "clock",
        creates: true,
        run: |service| outcome(&service.call("POST", "/v3/a1/volumes", &json!({ "volume": { "backup_id": PARENT } }))),
        repeated: &[202, 400],
        acknowledged: |service| {
            assert_eq!(backup_status(service, PARENT).as_deref(), Some("restoring"));
            assert_eq!(service.ids("/v3/a1/volumes?status=creating").len(), 1);
        },
    });
}

#[test]
fn a_reset_of_the_status_of_a_backup_may_stop_anywhere() {
    stop(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| {
            let body = json!({ "os-reset_status": { "status": "error" } });
            outcome(&service.call("POST", &format!("{BACKUPS}/{PARENT}/action"), &body))
        },
        repeated: &[202],
        acknowledged: |service| {
            service.advance(3.0);
            assert_eq!(backup_status(service, PARENT).as_deref(), Some("error"));
        },
    });
}

#[test]
fn an_update_of_a_backup_may_stop_anywhere() {
    stop(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| {
            let body = json!({ "backup": { "name": "new", "metadata": { "k": "v" } } });
            outcome(&service.call("PUT", &format!("{BACKUPS}/{PARENT}"), &body))
        },
        repeated: &[200],
        acknowledged: |service| {
            let shown = service.get(&format!("{BACKUPS}/{PARENT}")).body["backup"].clone();
            assert_eq!((&shown["name"], &shown["metadata"]), (&json!("new"), &json!({ "k": "v" })));
        },
    });
}

#[test]
fn an_import_of_a_record_may_stop_anywhere() {
    stop(&Operation {
        schedule: "clock",
        creates: true,
        run: |service| {
            // A record of `IMPORTED`, which continues `CHILD`.
            let url = "eyJpZCI6ImJhYzAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwOSIsInNpemUiOjIsInBhcmVudF9pZCI6ImJhYzAwMDAw\
                       LTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwMiIsImRpc3BsYXlfbmFtZSI6ImltcCIsImRpc3BsYXlfZGVzY3JpcHRpb24iOm51\
                       bGwsImNvbnRhaW5lciI6bnVsbCwic2VydmljZV9tZXRhZGF0YSI6bnVsbCwib2JqZWN0X2NvdW50IjpudWxsfQ==";
            let record = json!({ "backup_service": "oracle_backup.OracleBackup", "backup_url": url });
            outcome(&service.call("POST", &format!("{BACKUPS}/import_record"), &json!({ "backup-record": record })))
        },
        // While the step still has to do with an earlier attempt, the client is to try again.
        repeated: &[201, 400, 503],
        acknowledged: |service| {
            assert_eq!(backup_status(service, IMPORTED).as_deref(), Some("creating"));
            assert_eq!(service.delete(&format!("{BACKUPS}/{CHILD}")).status, 400);
        },
    });
}
