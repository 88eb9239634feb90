"""Forms of HTTP on the wire: a request is answered right or refused, and a request cut short is never carried out."""

import re
from concurrent.futures import ThreadPoolExecutor

from host import ALPHA, Host, member

HEALTH = b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n"
SECOND = HEALTH + b"\r\n"
REFUSED = {(400,), ()}


def identity(project=ALPHA):
    return "".join(f"{name}: {value}\r\n" for name, value in member(project).items()).encode()


def statuses(received):
    return tuple(int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+)", received))


def chunk(data, size=None, extension=b""):
    return b"%x%s\r\n%s\r\n" % (len(data) if size is None else size, extension, data)


class Creates:
    """Heads and bodies of creates, each with a name of its own, so that a list shows which were carried out."""

    def __init__(self, volume):
        self.volume = volume.encode()

    def body(self, name):
        return b'{"snapshot":{"volume_id":"%s","name":"%s"}}' % (self.volume, name.encode())

    def head(self, version=b"1.1"):
        line = b"POST /v3/%s/snapshots HTTP/%s\r\nHost: x\r\n" % (ALPHA.encode(), version)
        return line + b"Content-Type: application/json\r\n" + identity()

    def chunked(self, *chunks, end=b"0\r\n\r\n", version=b"1.1"):
        return self.head(version) + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + end

    def sized(self, size, body):
        return self.head() + b"Content-Length: %s\r\n\r\n%s" % (str(size).encode(), body)


def plain_requests():
    """Returns requests without a body: a name, bytes, the statuses that are right, and whether to close our half."""
    many = b"".join(b"X-%d: a\r\n" % number for number in range(1000))
    some = b"".join(b"X-%d: a\r\n" % number for number in range(80))
    list_line = b"GET /v3/%s/snapshots" % ALPHA.encode()
    yield "three pipelined", SECOND * 3, {(200, 200, 200)}, False
    yield "half closed after the request", SECOND, {(200,)}, True
    yield "HTTP/1.0", b"GET /healthcheck HTTP/1.0\r\nHost: x\r\n\r\n", {(200,)}, False
    yield "HTTP/1.1 without Host", b"GET /healthcheck HTTP/1.1\r\n\r\n", {(400,)}, False
    yield "Host twice", b"GET /healthcheck HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", {(400,)}, False
    yield "a Host of junk", b"GET /healthcheck HTTP/1.1\r\nHost: a b@c/d\r\n\r\n", {(400,)}, False
    yield "HTTP/0.9", b"GET /healthcheck\r\n\r\n", REFUSED, False
    yield "HTTP/2 at once", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), REFUSED, False
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    yield "an upgrade to HTTP/2", HEALTH + upgrade, {(200,)}, False
    yield "a TLS hello", bytes.fromhex("16030100c8010000c40303") + bytes(200), REFUSED, False
    yield "80 headers", HEALTH + some + b"\r\n", {(200,)}, False
    yield "1,000 headers", HEALTH + many + b"\r\n", {(431,), (400,)}, False
    yield "a header of 1 MB", HEALTH + b"X-A: " + b"a" * 1_000_000 + b"\r\n\r\n", {(431,), (400,), ()}, False
    yield "a target of 70 KB", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {(414,), (431,), (400,)}, False
    yield "a header that is not UTF-8", HEALTH + b"X-A: \xff\xfe\r\n\r\n", {(200,)}, False
    yield "a header on two lines", HEALTH + b"X-A: a\r\n b\r\n\r\n", {(400,)}, False
    yield "a NUL in a header", HEALTH + b"X-A: a\x00b\r\n\r\n", {(400,)}, False
    yield "a space before the colon", HEALTH + b"X-A : b\r\n\r\n", {(400,)}, False
    yield "an unknown Expect", HEALTH + b"Expect: magic\r\n\r\n", {(200,), (417,)}, False
    # A body that looks like a request is a body: it never gets an answer of its own.
    hidden = HEALTH + b"Content-Length: %d\r\n\r\n" % len(SECOND) + SECOND
    yield "a GET whose body is a request", hidden, {(200,)}, False
    hidden = HEALTH + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(SECOND) + b"0\r\n\r\n"
    yield "a GET whose chunk is a request", hidden, {(200,)}, False
    for method in (b"CONNECT", b"FOO", b"get", b"A" * 2000):
        line = b"%s /v3/%s/snapshots HTTP/1.1\r\nHost: x\r\n" % (method, ALPHA.encode())
        yield f"the method {method[:10].decode()}", line + identity() + b"\r\n", {(400,), (404,), (405,), (501,), ()}, False
    for value in (b"5, 5", b"+5", b"-1", b"0x5", b"99999999999999999999"):
        line = list_line + b" HTTP/1.1\r\nHost: x\r\nContent-Length: " + value
        yield f"Content-Length: {value.decode()}", line + b"\r\n\r\n12345", {(400,), (413,)}, False
    for value in (b"xchunked", b"chunked, identity", b"identity, chunked", b"chunked\r\nTransfer-Encoding: chunked"):
        line = list_line + b" HTTP/1.1\r\nHost: x\r\n" + identity() + b"Transfer-Encoding: " + value
        name = value.decode().replace("\r\n", " and ")
        yield f"Transfer-Encoding: {name}", line + b"\r\n\r\n0\r\n\r\n" + SECOND, {(400,), (501,), (400, 200), (200, 200), ()}, False


def creates(requests):
    """Returns creates: a name, bytes, the statuses that are right, whether it is carried out, and whether to close our
    half."""

    def body(name):
        return requests.body(name)

    def size(name):
        return len(body(name))

    def case(name, data, right, is_done, half_close=False):
        return name, data, right, is_done, half_close

    name = "a right body"
    yield case(name, requests.sized(size(name), body(name)), {(202,)}, True)
    name = "right chunks"
    yield case(name, requests.chunked(chunk(body(name)[:9]), chunk(body(name)[9:])), {(202,)}, True)
    name = "100-continue"
    head = requests.head() + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % size(name)
    yield case(name, [head, body(name)], {(100, 202), (202,)}, True)
    name = "half closed inside the body"
    yield case(name, requests.sized(size(name) + 400, body(name)), {(400,), ()}, False, True)
    name = "a length of 50 too much"
    yield case(name, requests.sized(size(name) + 50, body(name)), {(400,), ()}, False, True)
    name = "a chunk that is too short"
    yield case(name, requests.chunked(chunk(body(name), size(name) - 5)), {(400,), ()}, False)
    name = "a chunk that is too long"
    yield case(name, requests.chunked(chunk(body(name), size(name) + 50)), {(400,), ()}, False, True)
    name = "no last chunk"
    yield case(name, requests.chunked(chunk(body(name)), end=b""), {(400,), ()}, False, True)
    name = "a last chunk that breaks off"
    yield case(name, requests.chunked(chunk(body(name)), end=b"0\r\n"), {(400,), ()}, False, True)
    name = "a chunk size of junk"
    yield case(name, requests.chunked(b"zz\r\n%s\r\n" % body(name)), {(400,), ()}, False)
    name = "a chunk size that overflows"
    yield case(name, requests.chunked(chunk(body(name), 0xFFFFFFFFFFFFFFFFFF)), {(400,), ()}, False)
    name = "100 KB of chunk extensions"
    yield case(name, requests.chunked(chunk(body(name), extension=b";" + b"a" * 100_000)), {(400,), ()}, False)
    name = "two lengths that differ"
    lengths = b"Content-Length: 5\r\nContent-Length: %d\r\n\r\n" % size(name)
    yield case(name, requests.head() + lengths + body(name), {(400,)}, False)
    # RFC 9112, section 6.3: chunks win over a length, or the request is refused. Nothing behind it may be served as a
    # second request of somebody else.
    name = "a length that covers a second request, and chunks"
    both = b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % (5 + len(SECOND))
    yield case(name, requests.head() + both + b"0\r\n\r\n" + SECOND, {(400,), ()}, False)
    name = "a length of four, and chunks"
    both = b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
    yield case(name, requests.head() + both + chunk(body(name)) + b"0\r\n\r\n", {(400,), (202,), ()}, None)
    name = "chunks in HTTP/1.0"
    yield case(name, requests.chunked(chunk(body(name)), version=b"1.0"), {(400,), (202,), ()}, None)
    name = "1 GB announced"
    head = requests.head() + b"Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n"
    yield case(name, head, {(413,)}, False)
    name = "200 MB announced, and 3 MB sent"
    yield case(name, requests.sized(200_000_000, b"a" * 3_000_000), {(413,), ()}, False)


def forms(report, _is_long):
    """All forms, several at a time. The host goes on, and its log says nothing of them."""
    with Host({"create_seconds": 0, "quota_snapshots": -1}) as host:
        requests = Creates(host.new_volume())
        plain, writes = list(plain_requests()), list(creates(requests))
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda one: host.raw(one[1], half_close=one[3]), plain))
            written = list(pool.map(lambda one: host.raw(one[1], half_close=one[4]), writes))
        for (name, _, right, _), (received, _) in zip(plain, answers):
            report.one_of(name, statuses(received), right)
        rows = host.call("GET", f"/v3/{ALPHA}/snapshots", None, member(ALPHA)).body["snapshots"]
        names = [row["name"] for row in rows]
        for (name, _, right, is_done, _), (received, _) in zip(writes, written):
            report.one_of(name, statuses(received), right)
            if is_done is not None:
                report.equal(f"{name}: {'carried out' if is_done else 'not carried out'}", names.count(name), int(is_done))
        trace = b"TRACE / HTTP/1.1\r\nHost: x\r\nX-Auth-Token: secret-of-a-caller\r\n\r\n"
        received, _ = host.raw(trace)
        report.check("TRACE echoes nothing", b"secret-of-a-caller" not in received, received)
        report.equal("the host goes on", host.call("GET", "/healthcheck").status, 200)
        # A line for each bad request would let anybody fill the disk.
        report.at_most("lines of the log", len(host.wrote().splitlines()), 3)


SCENARIOS = [forms]
LONG_SCENARIOS = []
