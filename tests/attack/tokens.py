"""auth_mode=keystone with a scripted Keystone: isolation, spoofed headers, secrets at rest, and what junk tokens cost."""

import collections
import http.server
import json
import sqlite3
import threading

from host import ALPHA, BETA, OPS_TOKEN, Host, member

PASSWORD = "the-password-of-the-service-user"
OWN = "the-token-of-the-service-user"
EXPIRES = "2099-01-01T00:00:00.000000Z"
TOKENS = {
    "token-of-alpha": (ALPHA, ["member", "reader"]),
    "token-of-a-reader": (ALPHA, ["reader"]),
    "token-of-beta": (BETA, ["member", "reader"]),
    "token-without-project": (None, ["member"]),
    "token-of-other-roles": (BETA, ["administrator", "cloud_admin", "admin_"]),
}


class Keystone(http.server.ThreadingHTTPServer):
    """Validates the tokens above, and counts what it is asked."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = collections.Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def variables(self):
        return {
            "auth_mode": "keystone",
            "keystone_url": f"http://127.0.0.1:{self.server_port}/v3",
            "keystone_password": PASSWORD,
            "create_seconds": 0,
        }

    def handle_error(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, document, **headers):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked["login"] += 1
        if PASSWORD.encode() in body:
            self.answer(201, {"token": {"expires_at": EXPIRES}}, X_Subject_Token=OWN)
        else:
            self.answer(401, {"error": {}})

    def do_GET(self):
        self.server.asked["validation"] += 1
        if self.headers.get("X-Auth-Token") != OWN:
            return self.answer(401, {"error": {}})
        known = TOKENS.get(self.headers.get("X-Subject-Token"))
        if known is None:
            return self.answer(404, {"error": {}})
        project, roles = known
        token = {"expires_at": EXPIRES, "user": {"id": "u1"}, "roles": [{"name": role} for role in roles]}
        if project:
            token["project"] = {"id": project}
        self.answer(200, {"token": token})


def with_token(token):
    return {"X-Auth-Token": token}


def isolation(report, _is_long):
    """Callers of another project, with identity headers that only a front end may set."""
    with Keystone() as keystone, Host(keystone.variables()) as host:
        alpha = with_token("token-of-alpha")
        volume = host.call("POST", f"/v3/{ALPHA}/volumes", {"volume": {"size": 1}}, alpha).body["volume"]["id"]
        body = {"snapshot": {"volume_id": volume}}
        snapshot = host.call("POST", f"/v3/{ALPHA}/snapshots", body, alpha).body["snapshot"]["id"]
        path = f"snapshots/{snapshot}"
        operations = [
            ("GET", path, None),
            ("PUT", path, {"snapshot": {"name": "evil"}}),
            ("POST", f"{path}/metadata", {"metadata": {"a": "b"}}),
            ("PUT", f"{path}/metadata", {"metadata": {}}),
            ("POST", f"{path}/action", {"os-reset_status": {"status": "error"}}),
            ("POST", f"{path}/action", {"os-force_delete": {}}),
            ("DELETE", path, None),
            ("GET", f"volumes/{volume}", None),
            ("DELETE", f"volumes/{volume}?cascade=true", None),
        ]
        spoofed = member(ALPHA, "admin") | {"X-Is-Admin-Project": "True"}
        for name, headers, project, may_read in (
            ("beta, own path", with_token("token-of-beta"), BETA, False),
            ("beta, no project in the path", with_token("token-of-beta"), None, False),
            ("beta, alpha's path", with_token("token-of-beta"), ALPHA, False),
            ("a reader of alpha", with_token("token-of-a-reader"), ALPHA, True),
            ("a token without a project", with_token("token-without-project"), None, False),
            ("roles that look like admin", with_token("token-of-other-roles"), BETA, False),
            ("a token that Keystone does not know", with_token("junk"), ALPHA, False),
            ("no token", {}, ALPHA, False),
        ):
            for more, identity in (("", {}), (" with spoofed identity headers", spoofed)):
                base = f"/v3/{project}" if project else "/v3"
                answers = [
                    (method, path, host.call(method, f"{base}/{path}", body, headers | identity))
                    for method, path, body in operations
                ]
                surprises = [
                    (method, path, answer)
                    for method, path, answer in answers
                    if answer.status >= 500 or answer.status < 400 and not (may_read and method == "GET")
                ]
                report.none(f"{name}{more}: nothing succeeds{' but reads' if may_read else ''}", surprises)
        shown = host.call("GET", f"/v3/{ALPHA}/{path}", None, alpha)
        report.equal("the snapshot is as it was", shown.body["snapshot"]["status"], "available")


def secrets(report, _is_long):
    """No secret is in the log or in the store, and a store that somebody has written into opens nothing."""
    with Keystone() as keystone, Host(keystone.variables()) as host:
        path = f"/v3/{ALPHA}/snapshots"
        for token in [*TOKENS, "junk-of-somebody"]:
            host.call("GET", path, None, with_token(token))
        host.call("GET", "/_ops/state", None, {"X-Ops-Token": f"{OPS_TOKEN}-guess"})
        stored = b"".join(file.read_bytes() for file in host.directory.glob("sqlite_key_value.db*"))
        for name, secret in [("the password", PASSWORD), ("the service user's token", OWN), ("the ops token", OPS_TOKEN)]:
            report.check(f"{name} is not in the store", secret.encode() not in stored)
            report.check(f"{name} is not in the log", secret not in host.wrote())
        for token in [*TOKENS, "junk-of-somebody"]:
            report.check(f"{token} is not in the store", token.encode() not in stored)
            report.check(f"{token} is not in the log", token not in host.wrote())
        with sqlite3.connect(host.database(), timeout=20) as database:
            database.execute("UPDATE spin_key_value SET value = ? WHERE key LIKE 'vs1:%token%'", (b"junk",))
        database.close()
        for token, expected in (("token-of-alpha", 200), ("junk-of-somebody", 401)):
            report.equal(f"junk in the cache: {token}", host.call("GET", path, None, with_token(token)).status, expected)


def junk(report, is_long):
    """The same unknown token, asked again and again, costs Keystone little, and a known one nothing."""
    count = 200 if is_long else 60
    with Keystone() as keystone, Host(keystone.variables()) as host:
        path = f"/v3/{ALPHA}/snapshots"
        host.call("GET", path, None, with_token("token-of-alpha"))
        for name, headers, status, most in (
            ("no token", {}, 401, 0),
            ("a known token", with_token("token-of-alpha"), 200, 3),
            ("the same unknown token", with_token("junk"), 401, count // 2),
            ("a token of 100 KB", with_token("g" * 100_000), 401, 0),
        ):
            keystone.asked.clear()
            with host.client(headers) as client:
                statuses = collections.Counter(client.call("GET", path).status for _ in range(count))
            report.check(f"{name}: refused or served", set(statuses) <= {status, 400, 431}, statuses)
            report.at_most(f"{name}: questions to Keystone in {count} requests", keystone.asked.total(), most)
        report.at_most("lines of the log", len(host.wrote().splitlines()), 3)


SCENARIOS = [isolation, secrets, junk]
LONG_SCENARIOS = []
