"""Load: no 5xx, nothing that was acknowledged is lost, and all views agree, with kills and without."""

import collections
import random
import threading
import time

from host import LATEST, Host, member

UNLIMITED = {"create_seconds": 0, "delete_seconds": 0, "quota_snapshots": -1, "quota_gigabytes": -1}
PROJECTS = [f"a{number:031x}" for number in range(8)]


class Writer(threading.Thread):
    """Creates, changes, shows, lists, and deletes its own snapshots of one project until it is stopped."""

    def __init__(self, host, number, volume, over):
        super().__init__(daemon=True)
        self.host = host
        self.number = number
        self.project = PROJECTS[number % len(PROJECTS)]
        self.volume = volume
        self.over = over
        self.random = random.Random(number)
        self.statuses = collections.Counter()
        self.unexpected = []
        self.kept = {}  # what was acknowledged: the metadata by id
        self.unsure = set()  # ids with a request that was not answered
        self.deleted = set()
        self.is_killed = threading.Event()

    def run(self):
        while not self.over.is_set():
            try:
                with self.host.client(member(self.project) | LATEST) as client:
                    while not self.over.is_set():
                        self.work(client)
            except OSError as error:
                if not self.is_killed.is_set():
                    self.unexpected.append(error)
                time.sleep(0.05)
            except Exception as error:  # An answer that was cut off by a kill is no HTTP.
                if not self.is_killed.is_set():
                    self.unexpected.append(error)
                time.sleep(0.05)

    def ask(self, client, method, path, body, right):
        answer = client.call(method, f"/v3/{self.project}/{path}", body)
        self.statuses[answer.status] += 1
        if answer.status not in right and not (answer.status == 503 and self.is_killed.is_set()):
            self.unexpected.append((method, path, answer))
        return answer

    def work(self, client):
        choice = self.random.random()
        free = [id for id in self.kept if id not in self.unsure]
        if choice < 0.3 or not free:
            items = {"k": str(self.random.random())}
            body = {"snapshot": {"volume_id": self.volume, "name": f"w{self.number}", "metadata": items}}
            answer = self.ask(client, "POST", "snapshots", body, {202})
            if answer.status == 202:
                self.kept[answer.body["snapshot"]["id"]] = items
            return
        id = self.random.choice(free)
        if choice < 0.5:
            items = {self.random.choice("kl"): str(self.random.random())}
            self.unsure.add(id)
            answer = self.ask(client, "POST", f"snapshots/{id}/metadata", {"metadata": items}, {200})
            if answer.status == 200:
                self.kept[id] = self.kept[id] | items
                self.unsure.discard(id)
        elif choice < 0.75:
            answer = self.ask(client, "GET", f"snapshots/{id}", None, {200})
            if answer.status == 200 and answer.body["snapshot"]["metadata"] != self.kept[id]:
                self.unexpected.append(("another row", id, answer))
        elif choice < 0.85:
            self.ask(client, "GET", "snapshots/detail?limit=50&with_count=true", None, {200})
        else:
            self.unsure.add(id)
            answer = self.ask(client, "DELETE", f"snapshots/{id}", None, {202})
            if answer.status == 202:
                del self.kept[id]
                self.unsure.discard(id)
                self.deleted.add(id)


def start(host, count):
    over = threading.Event()
    volumes = {project: host.new_volume(project) for project in PROJECTS}
    writers = [Writer(host, number, volumes[PROJECTS[number % len(PROJECTS)]], over) for number in range(count)]
    for writer in writers:
        writer.start()
    return over, writers


def stop(over, writers):
    over.set()
    for writer in writers:
        writer.join()


def check(report, host, writers, are_sure):
    """Compares all views with what was acknowledged."""
    for _ in range(3):  # A tick examines a bounded number of rows.
        host.operate("POST", "tick")
    state = host.operate("GET", "state").body
    rows = {row["id"]: row for row in state["snapshots"]}
    lost = [
        (id, items, rows.get(id))
        for writer in writers
        for id, items in writer.kept.items()
        if id not in writer.unsure and (id not in rows or rows[id]["metadata"] != items)
    ]
    back = [id for writer in writers for id in writer.deleted if id in rows]
    acknowledged = sum(len(writer.kept) for writer in writers)
    report.none(f"of {acknowledged} acknowledged snapshots, none is lost or different", lost)
    report.none("no deleted snapshot is back", back)
    surprises = []
    for project in PROJECTS:
        of_project = sum(row["project_id"] == project for row in rows.values())
        headers = member(project) | LATEST
        counted = host.call("GET", f"/v3/{project}/snapshots?limit=1&with_count=true", None, headers).body["count"]
        limits = host.call("GET", f"/v3/{project}/limits", None, headers).body["limits"]["absolute"]
        if not of_project == counted == limits["totalSnapshotsUsed"]:
            surprises.append((project, of_project, counted, limits["totalSnapshotsUsed"]))
    report.none("rows, counts, and usage agree in each project", surprises)
    if are_sure:
        known = {id for writer in writers for id in writer.kept}
        report.none("there are no other snapshots", set(rows) - known)
    repaired = host.operate("POST", "repair").body
    # The others say what was looked at. A suspected page may belong to a request that was killed.
    differences = {
        name: value for name, value in repaired.items() if value and name not in ("projects", "rows", "pages_suspected")
    }
    report.equal("repair finds nothing", differences, {})


def load(report, is_long):
    """Many connections, without any failure: no answer is unexpected."""
    with Host(UNLIMITED) as host:
        over, writers = start(host, 64 if is_long else 16)
        time.sleep(120 if is_long else 8)
        stop(over, writers)
        statuses = sum((writer.statuses for writer in writers), collections.Counter())
        print(f"          {dict(statuses)}, at most {host.peak()} MiB")
        report.none("no answer is unexpected", [one for writer in writers for one in writer.unexpected])
        report.check("the writers got somewhere", statuses[202] > 100, statuses)
        check(report, host, writers, are_sure=True)
        report.at_most("peak in MiB", host.peak(), 1024)


def kills(report, _is_long):
    """kill -9 under load, again and again."""
    with Host(UNLIMITED) as host:
        over, writers = start(host, 16)
        for _ in range(8):
            time.sleep(6)
            for writer in writers:
                writer.is_killed.set()
            host.kill()
            host.start()
            time.sleep(1)  # The last of the answers that were cut off.
            for writer in writers:
                writer.is_killed.clear()
        stop(over, writers)
        report.none("no answer is unexpected", [one for writer in writers for one in writer.unexpected])
        time.sleep(10)  # Creates without an answer are finished or dropped by then.
        check(report, host, writers, are_sure=False)


SCENARIOS = [load]
LONG_SCENARIOS = [kills]
