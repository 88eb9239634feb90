"""JSON, filters, and links that are built to be expensive, deep, or ambiguous."""

import json
import time

from host import ALPHA, LATEST, Host, member

SECONDS = 5  # the bound of one answer; the slowest takes some hundredths of a second


def nested(depth):
    return b'{"snapshot":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


def bodies(volume):
    """Returns bodies of a create: a name, bytes, and the statuses that are right."""

    def create(**fields):
        return json.dumps({"snapshot": {"volume_id": volume} | fields}).encode()

    right = create(name="x")
    yield "100,000 opening brackets", b"[" * 100_000, {400}
    yield "15,000 nested objects", nested(15_000), {400}
    yield "a number beyond any float", b'{"snapshot":{"volume_id":1e400}}', {400}
    yield "a number of 100,000 digits", b'{"snapshot":{"volume_id":%s}}' % (b"9" * 100_000), {400}
    yield "9,000 unknown keys", json.dumps({f"k{number}": 1 for number in range(9_000)}).encode(), {400}
    yield "the same key twice", right.replace(b'"name": "x"', b'"name": "x", "name": "y"'), {202}
    yield "half of a surrogate pair", right.replace(b'"x"', rb'"\ud800"'), {202, 400}
    yield "a NUL in a name", right.replace(b'"x"', rb'"a\u0000b"'), {202, 400}
    yield "a body that is not UTF-8", b'{"snapshot":{"name":"\xff"}}', {400}
    yield "UTF-16", right.decode().encode("utf-16"), {202, 400}
    yield "a byte order mark", b"\xef\xbb\xbf" + right, {202, 400}
    yield "two documents", right + right, {400}
    yield "7,000 items of metadata", create(metadata={f"k{number}": "v" for number in range(7_000)}), {202, 413}
    yield "a name of 255 letters of four bytes", create(name="\U0001f600" * 255), {202}
    yield "a name of 256 letters", create(name="\U0001f600" * 256), {400}
    yield "a body of 200 KB", create(description="d" * 200_000), {413}


def documents(report, _is_long):
    """Bodies that parsers disagree on."""
    with Host({"create_seconds": 0, "quota_snapshots": -1}) as host, host.client(member(ALPHA)) as client:
        volume = host.new_volume()
        for name, body, right in bodies(volume):
            begin = time.monotonic()
            # A connection of its own, since the host closes one whose body it has not read.
            answer = host.call("POST", f"/v3/{ALPHA}/snapshots", body, member(ALPHA))
            report.one_of(name, answer.status, right)
            report.at_most(f"{name}: seconds", time.monotonic() - begin, SECONDS)
        body = {"snapshot": {"volume_id": volume}}
        plain = client.call("POST", f"/v3/{ALPHA}/snapshots", body, {"Content-Type": "text/html"})
        report.check("a body of another media type is no JSON", plain.status in (400, 415), plain)
        # The same letter, composed and decomposed: two names.
        names = ("\u00e9", "e\u0301")
        for name in names:
            host.new_snapshot(volume, name=name)
        for name in names:
            query = "".join(f"%{byte:02X}" for byte in name.encode())
            rows = client.call("GET", f"/v3/{ALPHA}/snapshots?name={query}").body["snapshots"]
            report.equal(f"a filter finds exactly the name {name!r}", [row["name"] for row in rows], [name])
        report.equal("the host goes on", host.call("GET", "/healthcheck").status, 200)
        report.at_most("lines of the log", len(host.wrote().splitlines()), 3)


def queries():
    yield "metadata with 8,000 levels", "metadata=" + "%7B'a':" * 8_000 + "1"
    yield "metadata of brackets", "metadata=" + "[" * 60_000
    yield "metadata of parentheses", "metadata=" + "(" * 60_000
    yield "metadata of minus signs", "metadata=" + "-" * 60_000 + "1"
    yield "metadata of strings side by side", "metadata=%7B" + "'a'" * 20_000
    yield "metadata of tildes", "metadata=" + "~" * 60_000
    yield "a limit of 60,000 digits", "limit=" + "9" * 60_000
    yield "a pattern of 15,000 wildcards", "name~=" + "%25a" * 15_000
    yield "12,000 sort keys", "sort=" + ",".join(["name"] * 12_000)
    yield "8,000 names", "&".join(f"name={number}" for number in range(8_000))
    yield "7,000 unknown filters", "&".join(f"a{number}={number}" for number in range(7_000))


def filters(report, _is_long):
    """Queries of 60 KB on a project of 500 snapshots with long names."""
    with Host({"create_seconds": 0}) as host, host.client(member(ALPHA) | LATEST) as client:
        snapshots = [{"id": f"bbbbbbbb-0000-4000-8000-{number:012}", "name": "a" * 255} for number in range(500)]
        assert host.operate("PUT", "state", {"volumes": [{}], "snapshots": snapshots}).status == 200
        for name, query in queries():
            begin = time.monotonic()
            answer = client.call("GET", f"/v3/{ALPHA}/snapshots?{query}")
            report.check(f"{name}: an answer", answer.status in (200, 400, 414), answer)
            report.at_most(f"{name}: seconds", time.monotonic() - begin, SECONDS)
        report.at_most("lines of the log", len(host.wrote().splitlines()), 3)


def links(report, _is_long):
    """Links follow Host and the headers of proxies, and no other header. Where public_endpoint is set, they follow none."""
    fixed = "https://cloud.example/volume"
    for endpoint in ("", fixed):
        with Host({"create_seconds": 0, "max_limit": 1, "public_endpoint": endpoint}) as host:
            volume = host.new_volume()
            for _ in range(2):
                host.new_snapshot(volume)
            for name, headers, expected in (
                ("Host", {"Host": "front.example"}, "http://front.example/"),
                ("X-Forwarded-Host", {"X-Forwarded-Host": "front.example"}, "http://front.example/"),
                ("Forwarded", {"Forwarded": "host=front.example"}, "http://front.example/"),
                ("X-Host", {"X-Host": "evil.example"}, f"http://{host.address[0]}"),
            ):
                answer = host.call("GET", f"/v3/{ALPHA}/snapshots", None, member(ALPHA) | headers)
                link = answer.body["snapshots_links"][0]["href"]
                with_endpoint = " and public_endpoint" if endpoint else ""
                report.check(f"the next link with {name}{with_endpoint}", link.startswith(endpoint or expected), link)


SCENARIOS = [documents, filters, links]
LONG_SCENARIOS = []
