"""The hooks that schemathesis calls around each request. check.py names this module in SCHEMATHESIS_HOOKS.

Generated ids and tokens match nothing, so most requests get ids of the seeded state and an identity here. The others
stay as generated. The state is seeded again every few requests, because requests delete its rows.
"""

import atexit
import base64
import collections
import json
import os
import random
import urllib.request
from uuid import UUID

import schemathesis

BASE = os.environ["OPENAPI_BASE"]
OPS_TOKEN = os.environ["OPENAPI_OPS_TOKEN"]
AUTH_MODE = os.environ["OPENAPI_AUTH_MODE"]
RESULT = os.environ["OPENAPI_RESULT"]

REQUESTS_PER_SEED = 20
PROJECT = "a1000000000000000000000000000001"
OTHER_PROJECT = "b2000000000000000000000000000002"
USER = "c1000000000000000000000000000001"
HOST = "host1@lvm#pool"
SNAPSHOT_STATUSES = (
    "available available available error creating deleting error_deleting unmanaging backing-up restoring updating "
    "deleted"
).split()
VOLUME_STATUSES = "available available available in-use error maintenance reverting".split()


def uuid(kind, number):
    return f"{kind * 8}-0000-4000-8000-{number:012}"


VOLUMES = [uuid("a", number + 1) for number in range(len(VOLUME_STATUSES))]
SNAPSHOTS = [uuid("b", number + 1) for number in range(len(SNAPSHOT_STATUSES))]
MESSAGES = [uuid("3", number + 1) for number in range(4)]
ATTACHMENTS = [f"a77ac4ed-0000-4000-8000-{number + 1:012}" for number in range(3)]
# An incremental backup that nothing keeps from being deleted, its parent, and one of another project.
BACKUPS = [f"bac00000-0000-4000-8000-{number:012}" for number in (2, 1, 3)]
KEYS = ["keep", "a b", "owner"]
GROUP_TYPES = [uuid("8", 2), uuid("8", 3)]
GROUPS = [uuid("d", number + 1) for number in range(4)]
GROUP_SNAPSHOTS = [uuid("c", number + 1) for number in range(3)]
TYPES = [uuid("e", 1), uuid("e", 2), uuid("e", 3)]

chance = random.Random(int(os.environ["OPENAPI_SEED"]))
requests = 0
statuses = collections.Counter()
reached = collections.Counter()  # the number of successful requests by operation


def seeds():
    """Returns states: with free quota, with exhausted quota, with a frozen backend, and with other allowed filters."""
    volumes = [
        {
            "id": id,
            "status": status,
            "attach_status": "attached" if status == "in-use" else "detached",
            "host": HOST if number % 2 == 0 else "host1@lvm#pool",
            "metadata": {key: "gold" for key in KEYS},
            "name": f"vol-{number}",
            "project_id": PROJECT if number != 4 else OTHER_PROJECT,
        }
        for number, (id, status) in enumerate(zip(VOLUMES, VOLUME_STATUSES))
    ]
    snapshots = [
        {
            "id": id,
            "volume_id": VOLUMES[number % 3 + 1],
            "status": status,
            "progress": "0%" if status == "creating" else "100%",
            "metadata": {key: str(number) for key in KEYS},
            "created_at": f"2026-01-01T00:{number:02}:00",
            "project_id": PROJECT if number != 2 else OTHER_PROJECT,
        }
        for number, (id, status) in enumerate(zip(SNAPSHOTS, SNAPSHOT_STATUSES))
    ]
    # One of the volume in use, one that failed, and one of another project.
    attachments = [
        {"id": id, "volume_id": VOLUMES[volume], "attach_status": status}
        for id, volume, status in zip(ATTACHMENTS, (3, 0, 4), ("attached", "error_attaching", "attached"))
    ]
    messages = [{"id": id, "created_at": f"2026-01-01T00:{number:02}:00"} for number, id in enumerate(MESSAGES)]
    backups = [
        {"id": BACKUPS[0], "volume_id": VOLUMES[1], "parent_id": BACKUPS[1], "created_at": "2026-01-02T00:00:00"},
        {"id": BACKUPS[1], "volume_id": VOLUMES[1]},
        {"id": BACKUPS[2], "project_id": OTHER_PROJECT},
    ]
    roomy = {"backups": 1000, "backup_gigabytes": -1, "snapshots": 1000, "volumes": 1000, "gigabytes": -1}
    specs = {"multiattach": "<is> True", "owner": "lvm"}
    # The first group has no volumes, and the third one has a group snapshot.
    group_types = [{"id": id, "name": f"group-type-{number}", "group_specs": specs} for number, id in enumerate(GROUP_TYPES)]
    groups = [
        {"id": id, "status": status, "group_type_id": GROUP_TYPES[0], "volume_types": ["__DEFAULT__"], "host": HOST}
        for id, status in zip(GROUPS, ("available", "available", "available", "error"))
    ]
    members = [(GROUPS[1], uuid("a", 11)), (GROUPS[2], uuid("a", 12))]
    volumes += [{"id": id, "group_id": group, "host": HOST} for group, id in members]
    volumes += [{"id": uuid("a", 13), "host": HOST}]
    group_snapshots = [
        {"id": id, "group_id": GROUPS[2], "group_type_id": GROUP_TYPES[0], "status": status}
        for id, status in zip(GROUP_SNAPSHOTS, ("available", "error", "available"))
    ]
    snapshots += [
        {"id": uuid("b", 31 + number), "volume_id": uuid("a", 12), "group_snapshot_id": id}
        for number, id in enumerate(GROUP_SNAPSHOTS)
    ]
    encryption = {"provider": "luks", "cipher": "aes", "key_size": 256, "control_location": "front-end"}
    types = [
        {"id": TYPES[0], "name": "gold-1", "extra_specs": specs, "encryption": encryption},
        {"id": TYPES[1], "name": "private", "is_public": False, "access": [PROJECT], "extra_specs": specs},
        {"id": TYPES[2], "name": "open", "extra_specs": specs},
    ]
    state = {
        "volumes": volumes,
        "snapshots": snapshots,
        "attachments": attachments,
        "messages": messages,
        "backups": backups,
        "volume_types": types,
        "group_types": group_types,
        "groups": groups,
        "group_snapshots": group_snapshots,
        "quotas": roomy,
        "services": [{"host": "host1@lvm"}],
    }
    return [
        state,
        state,
        state,
        state | {"quotas": {"snapshots": 1, "volumes": 1}},
        state | {"services": [{"host": HOST.split("#")[0], "frozen": True}, {"host": "host1@lvm", "frozen": True}]},
        state | {"resource_filters": {"snapshot": ["name~", "status"], "volume": []}, "config": {"osapi_max_limit": 2}},
    ]


SEEDS = [json.dumps(state).encode() for state in seeds()]


def put_state(document):
    headers = {"X-Ops-Token": OPS_TOKEN}
    request = urllib.request.Request(f"{BASE}/_ops/state", data=document, headers=headers, method="PUT")
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


def known_id(ids):
    """Returns one of the ids, more often one of the first, since the status of the later rows allows little."""
    return ids[min(chance.randrange(len(ids)), chance.randrange(len(ids)))]


def mostly(value, generated):
    return value if chance.random() < 0.85 else generated


def with_known_ids(value):
    if isinstance(value, dict):
        known = {
            "volume_id": VOLUMES,
            "volume_uuid": VOLUMES,
            "attachment_id": ATTACHMENTS,
            "snapshot_id": SNAPSHOTS,
            "backup_id": [None, *BACKUPS],
            "group_type": GROUP_TYPES[:1],
            "group_id": [GROUPS[1], None] if "size" in value else GROUPS[1:2],
            "source_group_id": GROUPS[1:2],
            "group_snapshot_id": GROUP_SNAPSHOTS[:1],
            "volume_types": [["__DEFAULT__"], [TYPES[0]]],
            "add_volumes": [None, uuid("a", 13)],
            "remove_volumes": [None, None, uuid("a", 11)],
            "volume_type": [None, "gold-1", TYPES[0], "__DEFAULT__"],
        }
        is_object = {name for name, inner in value.items() if isinstance(inner, dict)}
        return {
            name: mostly(known_id(known[name]), inner) if name in known and name not in is_object else with_known_ids(inner)
            for name, inner in value.items()
        }
    return value


def identity():
    """Returns the headers of a caller, or None to keep the generated ones."""
    if chance.random() < 0.05:
        return None
    if AUTH_MODE == "noauth":
        return chance.choice([{}, {"X-Auth-Token": f"demo:{PROJECT}"}, {"X-Auth-Token": f"demo:{PROJECT}"}])
    roles = chance.choice(["admin,member,reader", "admin", "member,reader", "member,reader", "reader", ""])
    headers = {"X-Identity-Status": "Confirmed", "X-User-Id": USER, "X-Roles": roles}
    project = chance.choice([PROJECT] * 8 + [OTHER_PROJECT, None])
    return headers if project is None else headers | {"X-Project-Id": project}


IDENTITY_HEADERS = ["X-Auth-Token", "X-Identity-Status", "X-User-Id", "X-Project-Id", "X-Roles"]


@schemathesis.hook
def before_call(context, case, kwargs):
    global requests
    if requests % REQUESTS_PER_SEED == 0:
        put_state(SEEDS[requests // REQUESTS_PER_SEED % len(SEEDS)])
    requests += 1

    known = {
        "project_id": [PROJECT],
        "snapshot_id": SNAPSHOTS,
        "volume_id": VOLUMES,
        "message_id": MESSAGES,
        "backup_id": BACKUPS,
        "attachment_id": ATTACHMENTS,
        "quota_project_id": [PROJECT, PROJECT, OTHER_PROJECT],
        "alias": ["os-snapshot-actions", "backups"],
        "key": KEYS,
        "type_id": TYPES,
        "group_type_id": GROUP_TYPES,
        "group_id": GROUPS,
        "group_snapshot_id": GROUP_SNAPSHOTS,
        "spec_key": ["multiattach", "owner"],
    }
    if "/types/" in case.path and case.path.endswith("/action"):
        known["type_id"] = [TYPES[1]]
    if case.method.upper() == "DELETE" and case.path.endswith("/group_types/{group_type_id}"):
        # The only one that no group has.
        known["group_type_id"] = [GROUP_TYPES[1]]
    if case.method.upper() == "DELETE" and case.path.endswith("/volumes/{volume_id}"):
        # The only volume that nothing keeps from being deleted.
        known["volume_id"] = [VOLUMES[0]]
    for name in case.path_parameters or {}:
        if name in known:
            case.path_parameters[name] = mostly(known_id(known[name]), case.path_parameters[name])
    if case.path.endswith("/import_record") and isinstance(case.body, dict) and chance.random() < 0.3:
        record = json.dumps({"id": str(UUID(int=chance.getrandbits(128))), "size": 1}).encode()
        url = base64.b64encode(record).decode()
        case.body = {"backup-record": {"backup_service": "oracle_backup.OracleBackup", "backup_url": url}}
    if isinstance(case.body, dict):
        case.body = with_known_ids(case.body)
        if "spec_key" in (case.path_parameters or {}) and len(case.body) == 1:
            case.path_parameters["spec_key"] = mostly(next(iter(case.body)), case.path_parameters["spec_key"])
        meta = case.body.get("meta")
        if "key" in (case.path_parameters or {}) and isinstance(meta, dict) and len(meta) == 1:
            key = next(iter(meta))
            if isinstance(key, str) and key and "/" not in key:
                case.path_parameters["key"] = mostly(key, case.path_parameters["key"])
    query = case.query if isinstance(case.query, dict) else {}
    markers = ATTACHMENTS if "/attachments" in case.path else BACKUPS if "/backups" in case.path else SNAPSHOTS
    for name, values in {"marker": markers, "volume_id": VOLUMES, "host": [HOST, "host1@lvm"]}.items():
        if name in query:
            query[name] = mostly(known_id(values), query[name])
    # Most queries are shortened: many filters at once match nothing, and `sort` with `sort_key` is refused.
    if chance.random() < 0.7:
        for name in list(query):
            if chance.random() < 0.9 and (name != "host" or "manag" not in case.path):
                del query[name]

    if case.headers is None:
        return
    caller = identity()
    if caller is not None:
        for name in IDENTITY_HEADERS:
            case.headers.pop(name, None)
        case.headers.update(caller)
    if case.path.startswith("/_ops/"):
        case.headers["X-Ops-Token"] = mostly(OPS_TOKEN, "wrong")
    accept = chance.choice(
        ["*/*", "application/json", "text/html", "application/vnd.openstack.volume+json", "application/*;q=0.5, x/y"]
    )
    case.headers["Accept"] = accept
    if chance.random() < 0.3:
        minor = chance.choice([0, 7, 8, 14, 22, 27, 31, 34, 40, 41, 44, 45, 54, 65, 66, 71, 71, 71, 72])
        case.headers["OpenStack-API-Version"] = f"volume 3.{minor}"
    if chance.random() < 0.02:
        case.headers["Content-Type"] = "text/plain"


@schemathesis.hook
def after_call(context, case, response):
    # `os-set_bootable` and `os-unset_image_metadata` are answered as by Cinder, with an empty body whose media type is
    # JSON. OpenAPI has no words for that, so the checks get an object without members.
    if response.status_code == 200 and not response.content and case.path.endswith("/volumes/{volume_id}/action"):
        response.content = b"{}"
    statuses[response.status_code] += 1
    # Adds 0 for a refused request, so that the operation is listed even if none succeeds.
    reached[f"{case.operation.method.upper()} {case.operation.path}"] += response.status_code < 400


@atexit.register
def write_result():
    result = {"requests": requests, "statuses": statuses, "reached": reached}
    with open(RESULT, "w", encoding="utf-8") as file:
        json.dump(result, file)
