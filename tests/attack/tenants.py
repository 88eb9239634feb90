"""Isolation of projects: every operation by callers who must not do it, and every way around the project in the path."""

import json

from host import ALPHA, BETA, LATEST, OPS_TOKEN, Host, member

PROJECTS = {"create_seconds": 0, "delete_seconds": 0}
SECRET = "what-only-alpha-knows"


def operations(volume, snapshot):
    """Returns every operation on a volume and a snapshot: a method, a path below the project, and a body."""
    row, metadata = {"k": "evil"}, {"metadata": {"k": "evil"}}
    of_snapshot, of_volume = f"snapshots/{snapshot}", f"volumes/{volume}"
    adopted = {"snapshot": {"volume_id": volume, "ref": {"source-name": "x"}}}
    return [
        ("GET", of_snapshot, None),
        ("PUT", of_snapshot, {"snapshot": {"name": "evil"}}),
        ("DELETE", of_snapshot, None),
        ("GET", f"{of_snapshot}/metadata", None),
        ("POST", f"{of_snapshot}/metadata", metadata),
        ("PUT", f"{of_snapshot}/metadata", metadata),
        ("GET", f"{of_snapshot}/metadata/k", None),
        ("PUT", f"{of_snapshot}/metadata/k", {"meta": row}),
        ("PUT", f"snapshot/{snapshot}/metadata/k", {"meta": row}),
        ("DELETE", f"{of_snapshot}/metadata/k", None),
        ("POST", f"{of_snapshot}/action", {"os-reset_status": {"status": "error"}}),
        ("POST", f"{of_snapshot}/action", {"os-update_snapshot_status": {"status": "error"}}),
        ("POST", f"{of_snapshot}/action", {"os-force_delete": None}),
        ("POST", f"{of_snapshot}/action", {"os-unmanage": None}),
        ("GET", of_volume, None),
        ("PUT", of_volume, {"volume": {"name": "evil"}}),
        ("GET", f"{of_volume}/metadata", None),
        ("POST", f"{of_volume}/metadata", metadata),
        ("PUT", f"{of_volume}/metadata", metadata),
        ("GET", f"{of_volume}/metadata/k", None),
        ("PUT", f"{of_volume}/metadata/k", {"meta": row}),
        ("DELETE", f"{of_volume}/metadata/k", None),
        ("POST", f"{of_volume}/action", {"os-reset_status": {"status": "error"}}),
        ("POST", f"{of_volume}/action", {"revert": {"snapshot_id": snapshot}}),
        ("DELETE", of_volume, None),
        ("DELETE", f"{of_volume}?cascade=true", None),
        ("DELETE", f"{of_volume}?force=true", None),
        ("POST", "snapshots", {"snapshot": {"volume_id": volume, "name": "evil"}}),
        ("POST", "volumes", {"volume": {"snapshot_id": snapshot, "name": "evil"}}),
        ("POST", "manageable_snapshots", adopted),
        ("POST", "os-snapshot-manage", adopted),
        ("GET", "manageable_snapshots?host=a", None),
        ("GET", "os-snapshot-manage?host=a", None),
    ]


def callers():
    """Returns callers who may not touch what belongs to alpha: a name, headers, the project in the path, and whether they
    may read it."""
    admin = member(ALPHA, "admin,member,reader")
    unscoped = {name: value for name, value in member(ALPHA).items() if name != "X-Project-Id"}
    for roles in ("member,reader", "reader", "member", "", "Member,Reader", "administrator,cloud_admin,admin_,service"):
        yield f"beta with the roles [{roles}], own path", member(BETA, roles), BETA, False
        yield f"beta with the roles [{roles}], no project in the path", member(BETA, roles), None, False
        yield f"beta with the roles [{roles}], alpha's path", member(BETA, roles), ALPHA, False
    yield "a reader of alpha", member(ALPHA, "reader"), ALPHA, True
    yield "alpha without roles", member(ALPHA, ""), ALPHA, False
    yield "a member without a project", unscoped, None, False
    yield "a member without a project, alpha's path", unscoped, ALPHA, False
    yield "no identity", {}, ALPHA, False
    yield "no status", {name: value for name, value in admin.items() if name != "X-Identity-Status"}, ALPHA, False
    for status in ("Invalid", "confirmed", "Confirmed,Confirmed", ""):
        yield f"the status [{status}]", admin | {"X-Identity-Status": status}, ALPHA, False
    yield "underscores", {name.replace("-", "_"): value for name, value in admin.items()}, ALPHA, False
    yield "a token of noauth", {"X-Auth-Token": f"admin:{ALPHA}"}, ALPHA, False


def rows_of_two_projects(host):
    volumes = {project: host.new_volume(project, metadata={"k": SECRET}) for project in (ALPHA, BETA)}
    snapshots = {project: host.new_snapshot(volumes[project], project, metadata={"k": SECRET}) for project in volumes}
    return volumes, snapshots


def state_of(host):
    state = host.operate("GET", "state").body
    return {name: state[name] for name in ("volumes", "snapshots", "project_quotas")}


def matrix(report, is_long):
    """Every operation by every caller. Readers of the project may read, and nothing else succeeds."""
    with Host(PROJECTS) as host, host.client() as client:
        volumes, snapshots = rows_of_two_projects(host)
        host.operate("POST", "tick")
        before, asked = state_of(host), 0
        for name, headers, project, may_read in callers():
            base = f"/v3/{project}" if project else "/v3"
            surprises = []
            for microversion in [{}, LATEST] if is_long else [LATEST]:
                for method, path, body in operations(volumes[ALPHA], snapshots[ALPHA]):
                    asked += 1
                    answer = client.call(method, f"{base}/{path}", body, headers | microversion)
                    is_read = may_read and method == "GET"
                    if answer.status >= 500 or not is_read and (answer.status < 400 or SECRET in str(answer.body)):
                        surprises.append((method, path, answer))
            report.none(f"{name}: nothing succeeds" + (" but reads" if may_read else ""), surprises)
        report.equal(f"nothing has changed after {asked} requests", state_of(host), before)


LISTS = [
    "snapshots?all_tenants=1",
    "snapshots/detail?all_tenants=1&project_id={alpha}",
    "snapshots?project_id={alpha}",
    "snapshots?volume_id={volume}",
    "snapshots?marker={snapshot}",
    "snapshots/detail?all_tenants=1&sort=name",
    "snapshots?limit=1&all_tenants=true&with_count=true",
    "volumes/detail?all_tenants=1",
    "volumes?marker={volume}",
    "volumes?project_id={alpha}",
]
QUOTAS = [
    ("GET", "os-quota-sets/{alpha}", 403),
    ("GET", "os-quota-sets/{alpha}?usage=true", 403),
    ("PUT", "os-quota-sets/{alpha}", 403),
    ("PUT", "os-quota-sets/{beta}", 403),
    ("DELETE", "os-quota-sets/{alpha}", 403),
    ("DELETE", "os-quota-sets/{beta}", 403),
]


def lists_and_quotas(report, _is_long):
    """Lists and quotas of another project."""
    with Host(PROJECTS) as host, host.client() as client:
        volumes, snapshots = rows_of_two_projects(host)
        names = {"alpha": ALPHA, "beta": BETA, "volume": volumes[ALPHA], "snapshot": snapshots[ALPHA]}
        for roles in ("reader", "member,reader"):
            surprises = []
            for path in LISTS:
                for microversion in ({}, {"OpenStack-API-Version": "volume 3.30"}, LATEST):
                    path = path.format(**names)
                    answer = client.call("GET", f"/v3/{BETA}/{path}", None, member(BETA, roles) | microversion)
                    rows = [row for one in ("snapshots", "volumes") for row in (answer.body or {}).get(one, [])]
                    ids = {row["id"] for row in rows} & {volumes[ALPHA], snapshots[ALPHA]}
                    if ids or answer.status >= 500 or (answer.body or {}).get("count", 0) > 1:
                        surprises.append((path, answer))
            report.none(f"a {roles} of beta lists nothing of alpha", surprises)
            surprises = []
            for method, path, expected in QUOTAS:
                body = {"quota_set": {"snapshots": 99}} if method == "PUT" else None
                answer = client.call(method, f"/v3/{BETA}/{path.format(**names)}", body, member(BETA, roles))
                if answer.status != expected:
                    surprises.append((method, path, answer))
            report.none(f"a {roles} of beta has no access to quota sets", surprises)
            answers = [
                client.call("GET", f"/v3/{BETA}/limits{query}", None, member(BETA, roles))
                for query in ("", f"?project_id={ALPHA}", f"?tenant_id={ALPHA}")
            ]
            used = [
                answer.body["limits"]["absolute"]["totalSnapshotsUsed"] for answer in answers if answer.status == 200
            ]
            report.check(f"a {roles} of beta sees only its own usage", set(used) <= {1}, answers)
        own = client.call("GET", f"/v3/{ALPHA}/snapshots/{snapshots[ALPHA]}", None, member(ALPHA)).status
        report.equal("a member of alpha sees its snapshot", own, 200)


def paths(report, _is_long):
    """Targets that try to leave the project in the path, or to reach the operator's routes."""
    with Host(PROJECTS) as host:
        _, snapshots = rows_of_two_projects(host)
        alpha, beta = snapshots[ALPHA], snapshots[BETA]
        of_snapshots = [
            f"/v3/{BETA}/../{ALPHA}/snapshots/{alpha}",
            f"/v3/{BETA}/%2e%2e/{ALPHA}/snapshots/{alpha}",
            f"/v3/{BETA}%2f..%2f{ALPHA}/snapshots/{alpha}",
            f"/v3//{ALPHA}/snapshots/{alpha}",
            f"//v3/{ALPHA}/snapshots/{alpha}",
            f"/v3/{ALPHA}%00/snapshots/{alpha}",
            f"/v3/{BETA};{ALPHA}/snapshots/{alpha}",
            f"/v3/{BETA}/snapshots/{alpha}%2f..",
            f"/v3/{BETA}/snapshots/{alpha}/../{beta}",
            f"/v3/{BETA}/snapshots/%2e%2e%2f..%2f{ALPHA}%2fsnapshots%2f{alpha}",
            f"/v3/{BETA}/snapshots/{alpha.upper()}",
            f"/v3/{BETA}/snapshots/{{{alpha}}}",
            f"/v3/{BETA}/snapshots/urn:uuid:{alpha}",
            f"/v3/{BETA}/snapshots/{alpha}%20",
            f"/v3/{BETA}/snapshots%2F{alpha}",
            f"http://other/v3/{BETA}/snapshots/{alpha}",
        ]
        of_operators = [
            "/_ops",
            "/_ops/state",
            "/%5fops/state",
            "/_ops%2fstate",
            "//_ops/state",
            "/./_ops/state",
            "/v3/../_ops/state",
            "/%2e/_ops/state",
            "/_OPS/state",
            "/_ops/state/",
            "/_ops//state",
            "*",
        ]
        for target in of_snapshots + of_operators:
            answer = request(host, target, member(BETA))
            status = int(answer.split(" ")[1])
            is_kept = status >= 400 and status < 500 and SECRET not in answer
            shown = target.replace(ALPHA, "ALPHA").replace(BETA, "BETA").replace(alpha, "SNAPSHOT").replace(beta, "OWN")
            report.check(f"{shown} opens nothing", is_kept, answer[:200])


def request(host, target, headers):
    """Sends a GET with a target that a client library would change."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"GET {target} HTTP/1.1\r\nHost: {host.address[0]}\r\nConnection: close\r\n{lines}\r\n"
    received, _ = host.raw(head.encode("latin1"))
    return received.decode("latin1")


def operators_token(report, _is_long):
    """Guesses of the operator's secret. White space around a header's value is not a part of it."""
    right = OPS_TOKEN
    guesses = [
        "",
        right[:-1],
        f"{right}x",
        right.upper(),
        f"{right},{right}",
        right.replace("-", "\t", 1),
        f'"{right}"',
        right.replace("-", "_"),
        "null",
        "x" * 8000,
    ]
    with Host() as host:
        target, opened = "/_ops/explain/x", 404
        for guess in guesses:
            answer = request(host, target, {"X-Ops-Token": guess})
            report.equal(f"the guess {guess[:30]!r} is refused", answer.split(" ")[1], "403")
        report.equal("no token is refused", request(host, target, {}).split(" ")[1], "403")
        report.equal("an underscore is refused", request(host, target, {"X_Ops_Token": right}).split(" ")[1], "403")
        report.equal("a query is refused", request(host, f"{target}?X-Ops-Token={right}", {}).split(" ")[1], "403")
        report.equal("the token is right", request(host, target, {"X-Ops-Token": right}).split(" ")[1], str(opened))
        # There is no dictionary with the same key twice.
        twice = request(host, target, {"X-Ops-Token": "wrong", "x-ops-token": right}).split(" ")[1]
        report.equal("a wrong token before the right one is refused", twice, "403")
    with Host({"ops_token": ""}) as host:
        for token in ("", right):
            answer = request(host, "/_ops/state", {"X-Ops-Token": token})
            report.equal(f"without a secret, {token!r} opens nothing", answer.split(" ")[1], "404")


def repeated_identity(report, _is_long):
    """A repeated identity header is never believed, whatever its values are."""
    with Host(PROJECTS) as host:
        identity = list(member(BETA, "reader").items())
        for name, values in (
            ("X-Roles", ("admin", "reader")),
            ("X-Roles", ("reader", "reader")),
            ("X-Identity-Status", ("Confirmed", "Invalid")),
            ("X-Project-Id", (BETA, ALPHA)),
            ("X-User-Id", ("u1", "u2")),
        ):
            others = [(other, value) for other, value in identity if other != name]
            lines = "".join(f"{key}: {value}\r\n" for key, value in [*others, *((name, value) for value in values)])
            head = f"GET /v3/{BETA}/snapshots?all_tenants=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n"
            received, _ = host.raw(head.encode())
            report.equal(f"{name} {values[0]} and {values[1]}", received.split(b" ")[1], b"401")


def reflection(report, _is_long):
    """What a caller sends never becomes a header or a script in the answer."""
    evil = "X-Evil: 1"
    with Host(PROJECTS) as host:
        rows_of_two_projects(host)
        identity = "".join(f"{name}: {value}\r\n" for name, value in member(ALPHA).items())
        heads = {
            "a tab in the version": f"GET /v3/{ALPHA}/snapshots HTTP/1.1\r\nHost: x\r\nOpenStack-API-Version: volume 3.71\t{evil}",
            "a line end in the query": f"GET /v3/{ALPHA}/snapshots?limit=1&name~=x%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: x",
            "a line end in the path": f"GET /v3/{ALPHA}/snapshots/x%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: x",
            "a line end in the host": f"GET /v3/{ALPHA}/snapshots?limit=1 HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: a%0d%0aX-Evil: 1",
            "a script in the path": "GET /<script>alert(1)</script> HTTP/1.1\r\nHost: x\r\nAccept: text/html",
            "a script in the version": f"GET /v3/{ALPHA}/snapshots HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nOpenStack-API-Version: volume <script>",
        }
        for name, head in heads.items():
            received, _ = host.raw(f"{head}\r\nConnection: close\r\n{identity}\r\n".encode())
            lines, _, body = received.partition(b"\r\n\r\n")
            is_html = b"text/html" in lines.lower()
            is_clean = b"\r\nx-evil" not in lines.lower() and not (is_html and b"<script>" in body)
            report.check(f"{name} is not reflected", bool(lines) and is_clean, received[:300])


SCENARIOS = [matrix, lists_and_quotas, paths, operators_token, repeated_identity, reflection]
LONG_SCENARIOS = []
