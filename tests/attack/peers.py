"""Peers that are slow, idle, or do not read: others are served meanwhile, in seconds."""

import contextlib
import socket
import time

from host import ALPHA, Host, member

VARIABLES = {"create_seconds": 0, "quota_snapshots": -1, "quota_gigabytes": -1}
SECONDS = 10  # the bound for another caller's show, far above what a busy machine needs


def identity():
    return "".join(f"{name}: {value}\r\n" for name, value in member(ALPHA).items()).encode()


@contextlib.contextmanager
def peers(host, count, first, receive_buffer=None):
    """Opens connections that send `first` and then nothing."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            peer = stack.enter_context(contextlib.closing(socket.socket()))
            if receive_buffer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            peer.settimeout(5)
            try:
                peer.connect(host.address)
                peer.sendall(first)
            except OSError:
                continue  # The host refuses more connections, as it may.
            opened.append(peer)
        yield opened


def others_are_served(report, host, name, times=5):
    slowest, statuses = 0, []
    for _ in range(times):
        begin = time.monotonic()
        try:
            answer = host.call("GET", f"/v3/{ALPHA}/snapshots?limit=1", None, member(ALPHA), timeout=SECONDS)
            statuses.append(answer.status)
        except OSError as error:
            statuses.append(type(error).__name__)
        slowest = max(slowest, time.monotonic() - begin)
    report.equal(f"{name}: others are served", statuses, [200] * times)
    report.at_most(f"{name}: the slowest, in seconds", slowest, SECONDS)


def unread(report, is_long):
    """Answers of half a megabyte that nobody reads."""
    with Host(VARIABLES) as host:
        snapshots = [
            {"id": f"bbbbbbbb-0000-4000-8000-{number:012}", "description": "d" * 250} for number in range(1000)
        ]
        assert host.operate("PUT", "state", {"volumes": [{}], "snapshots": snapshots}).status == 200
        request = b"GET /v3/%s/snapshots/detail HTTP/1.1\r\nHost: x\r\n%s\r\n" % (ALPHA.encode(), identity())
        count = 300 if is_long else 60
        with peers(host, count, request, receive_buffer=4096):
            time.sleep(2)
            others_are_served(report, host, f"{count} unread answers")
        report.at_most("peak in MiB", host.peak(), 1024)


def slow_bodies(report, is_long):
    """Bodies that never end, without an identity and with one."""
    head = b"POST /v3/%s/snapshots HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" % ALPHA.encode()
    for name, headers in (("without an identity", b""), ("of a member", identity())):
        with Host(VARIABLES) as host:
            with peers(host, 300, head + headers + b"Content-Length: 90000\r\n\r\n{"):
                time.sleep(1)
                others_are_served(report, host, f"300 slow bodies {name}", 10 if is_long else 4)


def slow_heads(report, _is_long):
    """Heads that never end, and connections that never send anything, at the file limit of most shells."""
    with Host(VARIABLES, files=1024) as host:
        for name, first in (("idle connections", b""), ("slow heads", b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n")):
            with peers(host, 1100, first):
                time.sleep(2)
                others_are_served(report, host, f"1,100 {name} at 1,024 files")


def after_an_answer(report, _is_long):
    """Connections that are kept alive after an answer and then say nothing."""
    with Host(VARIABLES) as host:
        with peers(host, 900, b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n"):
            time.sleep(2)
            others_are_served(report, host, "900 connections kept alive")
        report.at_most("peak in MiB", host.peak(), 1024)


SCENARIOS = [unread, slow_bodies]
LONG_SCENARIOS = [slow_heads, after_an_answer]
