"""The disk: full, read-only, or taken away; a file or a value with wrong bytes. Others go on, and the operator is told."""

import contextlib
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time

from host import ALPHA, BETA, LATEST, Host, member, wait_until

UNLIMITED = {"create_seconds": 0, "delete_seconds": 0, "quota_snapshots": -1, "quota_gigabytes": -1}
MEMBER = member(ALPHA)


def create(host, volume):
    body = {"snapshot": {"volume_id": volume, "metadata": {"k": "x" * 250}}}
    return host.call("POST", f"/v3/{ALPHA}/snapshots", body, MEMBER)


def show(host, snapshot, project=ALPHA):
    return host.call("GET", f"/v3/{project}/snapshots/{snapshot}", None, member(project)).status


def refuses_to_start(host):
    try:
        host.start()
    except RuntimeError as error:
        return str(error)
    host.stop()
    return None


def full(report, _is_long):
    """A disk without room: writes are refused with a 503, nothing acknowledged is lost, and all goes on after room is made."""
    mount = tempfile.mkdtemp(prefix="attack-full-")
    tmpfs = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mount]
    if os.geteuid() != 0 or subprocess.run(tmpfs, capture_output=True).returncode != 0:
        os.rmdir(mount)
        return report.leave_out("a full disk", "it needs root, and leave to mount")
    try:
        with Host(UNLIMITED, directory=mount) as host:
            volume = host.new_volume()
            acknowledged, refusals = [], []
            while len(refusals) < 20 and len(acknowledged) < 5000:
                answer = create(host, volume)
                if answer.status == 202:
                    acknowledged.append(answer.body["snapshot"]["id"])
                else:
                    refusals.append(answer.status)
            # What is left is too little for a create, but not for every write.
            filler = pathlib.Path(mount) / "filler"
            subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=512"], capture_output=True)
            report.equal("writes are refused", set(refusals), {503})
            report.equal("reads go on", show(host, acknowledged[0]), 200)
            report.equal("liveness is a read", host.call("GET", "/healthcheck").status, 200)
            ready = wait_until(lambda: host.call("GET", "/readiness").status == 503, 15)
            report.check("readiness says so", ready)
            lost = [id for id in acknowledged if show(host, id) != 200]
            report.none(f"of {len(acknowledged)} acknowledged creates, none is lost", lost)
            subprocess.run(["mount", "-o", "remount,size=20m", mount], check=True)
            report.check("writes go on when there is room", wait_until(lambda: create(host, volume).status == 202, 10))
            report.check("readiness follows", wait_until(lambda: host.call("GET", "/readiness").status == 200, 15))
            report.none("still none is lost", [id for id in acknowledged if show(host, id) != 200])
    finally:
        subprocess.run(["umount", mount], check=False)
        shutil.rmtree(mount, ignore_errors=True)


@contextlib.contextmanager
def immutable(*paths):
    try:
        yield subprocess.run(["chattr", "+i", *paths], capture_output=True).returncode == 0
    finally:
        subprocess.run(["chattr", "-i", *paths], capture_output=True)


def read_only(report, _is_long):
    """A file that cannot be written any more."""
    if os.geteuid() != 0 or not shutil.which("chattr"):
        return report.leave_out("a read-only file", "it needs root and chattr")
    with Host(UNLIMITED) as host:
        volume = host.new_volume()
        snapshot = host.new_snapshot(volume)
        with immutable(host.database(), host.directory) as is_immutable:
            if not is_immutable:
                return report.leave_out("a read-only file", "this file system has no immutable files")
            report.equal("a create is refused", create(host, volume).status, 503)
            report.equal("reads go on", show(host, snapshot), 200)
            host.stop()
            reason = refuses_to_start(host) or ""
            report.check("a start on it is refused, with the reason", "cannot be written" in reason, reason)
        host.start()
        report.equal("all is there afterwards", show(host, snapshot), 200)


def taken_away(report, _is_long):
    """A file that is deleted, emptied, or replaced under the host. It never writes into the void."""
    for name, harm in (
        ("deleted", lambda path: path.unlink()),
        ("emptied", lambda path: os.truncate(path, 0)),
        ("replaced by a copy", lambda path: os.replace(shutil.copy(path, f"{path}.new"), path)),
    ):
        with Host(UNLIMITED) as host:
            volume = host.new_volume()
            host.new_snapshot(volume)
            harm(host.database())
            answer = create(host, volume)
            acknowledged = answer.body["snapshot"]["id"] if answer.status == 202 else None
            host.kill()
            host.start()
            is_kept = acknowledged is None or show(host, acknowledged) == 200
            report.check(f"{name}: a create is refused, or kept over a restart", is_kept, answer)


def pages(report, is_long):
    """A page of the file with random bytes: what cannot be read is a 500, not a request to come back."""
    with Host(UNLIMITED) as host:
        volume = host.new_volume()
        ids = [host.new_snapshot(volume, metadata={"k": "x" * 200}) for _ in range(300)]
        host.stop()
        whole, chance = host.database().read_bytes(), random.Random(1)
        for trial in range(8 if is_long else 2):
            page = chance.randrange(2, len(whole) // 4096)
            junk = bytes(chance.randrange(256) for _ in range(4096))
            host.database().write_bytes(whole[: page * 4096] + junk + whole[(page + 1) * 4096 :])
            try:
                host.start()
            except RuntimeError:
                report.check(f"page {page}: a start is refused, with the reason", "malformed" in host.wrote(), host.wrote()[-200:])
                continue
            seen = {show(host, id) for id in ids[::5]}
            report.check(f"page {page}: shows are answered", seen <= {200, 404, 500}, seen)
            listed = host.call("GET", f"/v3/{ALPHA}/snapshots?limit=1000", None, MEMBER)
            report.one_of(f"page {page}: a list", listed.status, {200, 500})
            report.equal(f"page {page}: liveness", host.call("GET", "/healthcheck").status // 100 in (2, 5), True)
            host.stop()


WAYS = {
    "cut to half": lambda value, _: value[: len(value) // 2],
    "cut by a byte": lambda value, _: value[:-1],
    "of a future format": lambda value, _: b"9" + value[1:],
    "of format 0": lambda value, _: b"0" + value[1:],
    "zeros": lambda value, _: bytes(len(value)),
    "without its header": lambda value, _: value.split(b"\n", 1)[-1],
    "another row's bytes": lambda _, other: other,
    "with bytes behind it": lambda value, _: value + b"junk",
    "one byte": lambda *_: b"x",
    "gone": lambda *_: None,
}


class Values:
    """The stored values of a running host."""

    def __init__(self, host):
        self.database = sqlite3.connect(host.database(), timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.database.close()

    def keys(self, kind):
        rows = self.database.execute("SELECT key FROM spin_key_value WHERE key LIKE ?", (f"vs1:{kind}:%",))
        return sorted(key for (key,) in rows)

    def get(self, key):
        row = self.database.execute("SELECT value FROM spin_key_value WHERE key = ?", (key,)).fetchone()
        return bytes(row[0])

    def put(self, key, value):
        with self.database:
            if value is None:
                self.database.execute("DELETE FROM spin_key_value WHERE key = ?", (key,))
            else:
                self.database.execute("UPDATE spin_key_value SET value = ? WHERE key = ?", (value, key))


def rows(report, is_long):
    """One row with wrong bytes costs itself. Lists, the cascade, the tick, and the operator go on without it."""
    ways = WAYS if is_long else {name: WAYS[name] for name in ("cut to half", "of a future format")}
    for name, harm in ways.items():
        with Host(UNLIMITED) as host, host.client(MEMBER | LATEST) as client:
            volume, others = host.new_volume(), host.new_volume(BETA)
            ids = [host.new_snapshot(volume) for _ in range(4)]
            elsewhere = host.new_snapshot(others, BETA)
            bad, good = ids[1], {ids[0], ids[2], ids[3]}
            with Values(host) as values:
                key = f"vs1:snapshot:{bad}"
                values.put(key, harm(values.get(key), values.get(f"vs1:snapshot:{ids[2]}")))
            is_gone = name == "gone"
            answer = client.call("GET", f"/v3/{ALPHA}/snapshots/{bad}")
            report.one_of(f"{name}: a show of it", answer.status, {404} if is_gone else {500, 200})
            for query in ("", "?sort=name", "?status=available"):
                answer = client.call("GET", f"/v3/{ALPHA}/snapshots{query}")
                listed = {row["id"] for row in answer.body.get("snapshots", [])}
                report.check(f"{name}: a list{query} has the others", good <= listed, answer)
            everything = host.call("GET", f"/v3/{ALPHA}/snapshots?all_tenants=1", None, member(ALPHA, "admin"))
            found = {row["id"] for row in (everything.body or {}).get("snapshots", [])}
            report.check(f"{name}: a list of all projects", good | {elsewhere} <= found, everything)
            report.equal(f"{name}: the other project", show(host, elsewhere, BETA), 200)
            report.equal(f"{name}: repair", host.operate("POST", "repair").status, 200)
            report.equal(f"{name}: repair again", host.operate("POST", "repair").status, 200)
            report.equal(f"{name}: the tick", host.operate("POST", "tick").status, 200)
            state = host.operate("GET", "state")
            report.equal(f"{name}: the state document", state.status, 200)
            named = [one["key"] for one in (state.body.get("unreadable") or [])]
            if answer.status == 500:
                report.equal(f"{name}: the operator is told its key", named, [key])
            answer = client.call("DELETE", f"/v3/{ALPHA}/volumes/{volume}?cascade=true")
            report.one_of(f"{name}: the cascade", answer.status, {202})
            is_empty = wait_until(lambda: {show(host, id) for id in good} == {404}, 15)
            report.check(f"{name}: the others go with their volume", is_empty)


def shared(report, is_long):
    """A shared value with wrong bytes: other projects go on, and repair restores what rows tell."""
    kinds = ["agenda", "projects", "project", "page"] if is_long else ["agenda"]
    for kind in kinds:
        for name in ("cut to half", "one byte", "gone"):
            with Host(UNLIMITED) as host:
                volume, others = host.new_volume(), host.new_volume(BETA)
                ids = [host.new_snapshot(volume) for _ in range(70)]
                elsewhere = host.new_snapshot(others, BETA)
                with Values(host) as values:
                    keys = [key for key in values.keys(kind) if kind != "project" or ALPHA in key]
                    for key in keys:
                        values.put(key, WAYS[name](values.get(key), b""))
                report.check(f"{kind} {name}: there is such a value", keys)
                report.equal(f"{kind} {name}: a show", show(host, ids[0]), 200)
                report.equal(f"{kind} {name}: the other project's show", show(host, elsewhere, BETA), 200)
                report.equal(f"{kind} {name}: repair", host.operate("POST", "repair").status, 200)
                listed = host.call("GET", f"/v3/{ALPHA}/snapshots?limit=1000", None, MEMBER)
                found = {row["id"] for row in (listed.body or {}).get("snapshots", [])}
                report.check(f"{kind} {name}: all are listed after a repair", found == set(ids), listed)
                report.equal(f"{kind} {name}: the tick", host.operate("POST", "tick").status, 200)
                report.equal(f"{kind} {name}: a create", create(host, volume).status, 202)


def starts(report, _is_long):
    """A start on something that is no database is refused with the reason, and changes nothing."""
    for name, data in (("a text", b"this is no database at all\n" * 100), ("a directory", None)):
        host = Host()
        try:
            if data is None:
                host.database().mkdir()
            else:
                host.database().write_bytes(data)
            report.check(f"{name}: a start is refused", refuses_to_start(host), host.wrote())
            if data is not None:
                report.equal(f"{name}: it is as it was", host.database().read_bytes(), data)
        finally:
            shutil.rmtree(host.own, ignore_errors=True)


def mode(report, _is_long):
    """The state is for its owner only: it holds what all projects store."""
    with Host() as host:
        host.new_volume()
        for path in sorted(pathlib.Path(host.directory).glob("sqlite_key_value.db*")):
            report.equal(f"the mode of {path.name}", oct(path.stat().st_mode & 0o077), "0o0")


SCENARIOS = [rows, shared, starts]
LONG_SCENARIOS = [full, read_only, taken_away, pages, mode]
