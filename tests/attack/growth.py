"""Size: large rows, large projects, and many projects. Times grow with what is touched, and memory has a bound."""

import threading
import time

from host import ALPHA, LATEST, Host, member, wait_until

UNLIMITED = {"create_seconds": 0, "delete_seconds": 0, "quota_snapshots": -1, "quota_gigabytes": -1}
VOLUME = "aaaaaaaa-0000-4000-8000-000000000001"
PEAK = 1024  # MiB
ADMIN = member(ALPHA, "admin") | LATEST
SECONDS = 30  # the bound of one answer on a busy machine and a host that is not optimized


def snapshot_id(number):
    return f"bbbbbbbb-0000-4000-8000-{number:012}"


def created_at(number):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime(1_767_225_600 + number))


def timed(report, name, host, method, path, body=None, status=200):
    begin = time.monotonic()
    answer = host.call(method, path, body, ADMIN)
    report.equal(name, answer.status, status)
    report.at_most(f"{name}: seconds", round(time.monotonic() - begin, 1), SECONDS)
    return answer


def operated(report, name, host, method, path, body=None):
    begin = time.monotonic()
    answer = host.operate(method, path, body)
    report.equal(name, answer.status, 200)
    report.at_most(f"{name}: seconds", round(time.monotonic() - begin, 1), SECONDS)
    return answer


def large_rows(report, is_long):
    """A row has a bound, and so has a page. 64 callers with the largest rows fit into memory."""
    with Host({"create_seconds": 0}) as host, host.client(member(ALPHA)) as client:
        volume = host.new_volume()
        ids = [host.new_snapshot(volume) for _ in range(10)]
        for id in ids:
            for number in range(20):
                items = {f"{number:04}{item:03}".ljust(255, "k"): "v" * 255 for item in range(100)}
                body = {"metadata": items}
                answer = host.call("POST", f"/v3/{ALPHA}/snapshots/{id}/metadata", body, member(ALPHA))
                if answer.status != 200:
                    break
            report.equal(f"metadata of {id} has a bound", answer.status, 413)
        failures = []

        def read():
            try:
                with host.client(member(ALPHA)) as own:
                    for _ in range(8 if is_long else 2):
                        answer = own.call("GET", f"/v3/{ALPHA}/snapshots/detail?limit=1000")
                        if answer.status not in (200, 503):
                            failures.append(answer)
            except OSError as error:
                failures.append(error)

        readers = [threading.Thread(target=read) for _ in range(64)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        report.none("64 callers are answered", failures)
        report.at_most("peak in MiB", host.peak(), PEAK)
        found, path = [], f"/v3/{ALPHA}/snapshots/detail?limit=1000"
        while path:
            answer = client.call("GET", path)
            report.at_most("bytes of a page", len(answer.bytes), 3 << 20)
            found += [row["id"] for row in answer.body["snapshots"]]
            links = answer.body.get("snapshots_links") or [{"href": ""}]
            path = links[0]["href"].partition("/v3/")[2]
            path = path and f"/v3/{path}"
        report.equal("the pages have each row once", sorted(found), sorted(ids))


def large_project(report, _is_long):
    """A project of 50,000 snapshots, and the cascade that removes it."""
    count = 50_000
    with Host(UNLIMITED) as host:
        snapshots = [
            {"id": snapshot_id(number), "name": f"s{number * 7919 % count}", "created_at": created_at(number)}
            for number in range(count)
        ]
        operated(report, "PUT", host, "PUT", "state", {"volumes": [{}], "snapshots": snapshots})
        for query in ("limit=100&with_count=true", "limit=10&sort=name", "name=s5", "name~=none", "status=error"):
            timed(report, f"a list with {query}", host, "GET", f"/v3/{ALPHA}/snapshots?{query}")
        pattern = "%25a" * 2_500
        answer = host.call("GET", f"/v3/{ALPHA}/snapshots?name~={pattern}", None, ADMIN)
        report.equal("a pattern of 10 KB", answer.status, 400)
        operated(report, "GET", host, "GET", "state")
        operated(report, "repair", host, "POST", "repair")
        timed(report, "a cascade", host, "DELETE", f"/v3/{ALPHA}/volumes/{VOLUME}?cascade=true", status=202)
        shown = host.call("GET", f"/v3/{ALPHA}/snapshots/{snapshot_id(7)}", None, ADMIN)
        report.one_of("a snapshot meanwhile", shown.status, {200, 404})

        def is_empty():
            return host.call("GET", f"/v3/{ALPHA}/volumes/{VOLUME}", None, ADMIN).status == 404

        report.check("the volume goes with its last snapshot", wait_until(is_empty, 300))
        answer = host.call("GET", f"/v3/{ALPHA}/snapshots?limit=1&with_count=true", None, ADMIN)
        report.equal("none is left", answer.body["count"], 0)
        report.at_most("peak in MiB", host.peak(), PEAK)


def many_projects(report, _is_long):
    """5,000 projects with a snapshot each."""
    count = 5_000
    projects = [f"{0xD << 124 | number:032x}" for number in range(count)]
    volumes = [f"aaaaaaaa-0000-4000-8000-{number:012}" for number in range(count)]
    with Host(UNLIMITED) as host:
        document = {
            "volumes": [{"id": id, "project_id": project} for id, project in zip(volumes, projects)],
            "snapshots": [
                {"id": snapshot_id(number), "project_id": projects[number], "volume_id": volumes[number]}
                for number in range(count)
            ],
        }
        operated(report, "PUT", host, "PUT", "state", document)
        for query in ("limit=10", "limit=10&with_count=true", "limit=10&sort=name", "status=error"):
            timed(report, f"all projects with {query}", host, "GET", f"/v3/{ALPHA}/snapshots?all_tenants=1&{query}")
        operated(report, "GET", host, "GET", "state")
        operated(report, "repair", host, "POST", "repair")
        operated(report, "PUT again", host, "PUT", "state", document)
        operated(report, "a tick", host, "POST", "tick")
        report.at_most("peak in MiB", host.peak(), PEAK)


def replacement_under_load(report, _is_long):
    """PUT of the state while clients create: all of the document, and no row that no list shows."""
    with Host(UNLIMITED) as host:
        first = {"volumes": [{}], "snapshots": [{"id": snapshot_id(number)} for number in range(10)]}
        second = {"volumes": [{}], "snapshots": [{"id": snapshot_id(number)} for number in range(1_000, 21_000)]}
        host.operate("PUT", "state", first)
        over, created, failures = threading.Event(), [], []

        def write():
            try:
                with host.client(member(ALPHA)) as client:
                    while not over.is_set():
                        body = {"snapshot": {"volume_id": VOLUME}}
                        answer = client.call("POST", f"/v3/{ALPHA}/snapshots", body)
                        if answer.status == 202:
                            created.append(answer.body["snapshot"]["id"])
                        elif answer.status != 503:
                            failures.append(answer)
            except OSError as error:
                failures.append(error)

        writers = [threading.Thread(target=write) for _ in range(8)]
        for writer in writers:
            writer.start()
        time.sleep(1)
        operated(report, "PUT", host, "PUT", "state", second)
        time.sleep(1)
        over.set()
        for writer in writers:
            writer.join()
        report.none("no answer is unexpected", failures)
        time.sleep(10)
        state = host.operate("GET", "state").body
        ids = {row["id"] for row in state["snapshots"]}
        missing = {row["id"] for row in second["snapshots"]} - ids
        report.none("the whole document is there", missing)
        report.none("nothing else is, but what was created", ids - {row["id"] for row in second["snapshots"]} - set(created))
        orphans = [
            id
            for id in created
            if id not in ids and host.call("GET", f"/v3/{ALPHA}/snapshots/{id}", None, ADMIN).status == 200
        ]
        report.none("each row that is shown is in a list", orphans)
        usage = host.call("GET", f"/v3/{ALPHA}/limits", None, ADMIN).body["limits"]["absolute"]["totalSnapshotsUsed"]
        report.equal("the usage", usage, len(ids))
        repaired = host.operate("POST", "repair").body
        differences = {
            name: value for name, value in repaired.items() if value and name not in ("projects", "rows", "pages_suspected")
        }
        report.equal("repair finds nothing", differences, {})
        again = host.operate("GET", "state").body
        host.operate("PUT", "state", again)
        report.equal("PUT of what GET gave changes nothing", host.operate("GET", "state").body, again)


SCENARIOS = []
LONG_SCENARIOS = [large_rows, large_project, many_projects, replacement_under_load]
