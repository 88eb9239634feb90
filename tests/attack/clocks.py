"""The machine's clock is set forward and back under a running host, with libfaketime."""

import glob
import os
import tempfile
import time

from host import ALPHA, Host, member

LIBRARIES = ["/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1"]
VARIABLES = {"quota_snapshots": -1, "quota_gigabytes": -1}  # the delays of two seconds and one are the defaults
SECONDS = 12  # within which all work must end


def library():
    return next((path for pattern in LIBRARIES for path in glob.glob(pattern)), None)


class Clock:
    """The clock of a process, as an offset from the right time."""

    def __init__(self):
        handle, self.path = tempfile.mkstemp(prefix="attack-clock-")
        os.close(handle)
        self.set("+0")

    def set(self, offset):
        with open(self.path, "w") as file:
            file.write(f"{offset}\n")
        time.sleep(1.3)

    def environment(self):
        return {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": self.path,
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


def status(host, snapshot):
    answer = host.call("GET", f"/v3/{ALPHA}/snapshots/{snapshot}", None, member(ALPHA))
    return answer.body["snapshot"]["status"] if answer.status == 200 else None


def statuses(host, snapshots, wanted):
    """Waits for statuses, and returns those that are there in the end."""
    end = time.monotonic() + SECONDS
    while True:
        seen = [status(host, snapshot) for snapshot in snapshots]
        if seen == wanted or time.monotonic() > end:
            return seen
        time.sleep(0.2)


def jumps(report, is_long):
    """Nothing waits for a time that has been, and nothing is given up for a time that has not."""
    if not library():
        return report.leave_out("jumps of the clock", "it needs libfaketime, for example from `apt-get install faketime`")
    offsets = ["+1d", "-1d", "+400d", "-400d", "+3000d"] if is_long else ["+1d", "-1d"]
    clock = Clock()
    with Host(VARIABLES, environment=clock.environment()) as host:
        volume = host.new_volume()
        time.sleep(3)
        for offset in offsets:
            settled = host.new_snapshot(volume)
            report.equal(f"{offset}: available before", statuses(host, [settled], ["available"]), ["available"])
            created = host.new_snapshot(volume)
            host.call("DELETE", f"/v3/{ALPHA}/snapshots/{settled}", None, member(ALPHA))
            clock.set(offset)
            wanted = [None, "available"]
            report.equal(f"{offset}: work of before ends", statuses(host, [settled, created], wanted), wanted)
            there = host.new_snapshot(volume)
            report.equal(f"{offset}: work ends there", statuses(host, [there], ["available"]), ["available"])
            begun = host.new_snapshot(volume)
            host.call("DELETE", f"/v3/{ALPHA}/snapshots/{there}", None, member(ALPHA))
            clock.set("+0")
            wanted = [None, "available"]
            report.equal(f"{offset}: work of there ends after the return", statuses(host, [there, begun], wanted), wanted)
            for snapshot in (created, begun):
                host.call("DELETE", f"/v3/{ALPHA}/snapshots/{snapshot}", None, member(ALPHA))
            gone = [None, None]
            report.equal(f"{offset}: deletes end after the return", statuses(host, [created, begun], gone), gone)
            usage = host.call("GET", f"/v3/{ALPHA}/limits", None, member(ALPHA)).body["limits"]["absolute"]
            report.equal(f"{offset}: the usage", usage["totalSnapshotsUsed"], 0)
    os.unlink(clock.path)


SCENARIOS = []
LONG_SCENARIOS = [jumps]
