#!/usr/bin/env python3
"""Checks what `make dist` built: tests/wheel/check.py <directory of the wheel>

It installs the wheel in an empty virtual environment and tries the program there: its commands, its exit codes, each
error of a start, the state, and the log. In a second environment, with the pinned clients, it runs a session of
openstackclient and the tests of the pytest plugin, checks the types, and checks the release workflow.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import pty
import re
import selectors
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "target/wheel"
EMPTY = FOLDER / "empty"
CLIENTS = FOLDER / "clients"
PROGRAM = EMPTY / "bin/volume-snapshots"
PATIENCE = 120  # seconds to wait for anything that should take a few

SESSION = """
set -euo pipefail
eval "$(volume-snapshots env --url "$URL")"
openstack volume create --size 1 data -f value -c status
sleep 2
openstack volume snapshot create --volume data nightly -f value -c status
sleep 3
openstack volume snapshot list
"""


class Failure(Exception):
    pass


def expect(condition, message):
    if not condition:
        raise Failure(message)


def make_environment(directory):
    subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)


def pip(directory, *arguments):
    command = [directory / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *map(str, arguments)], check=True)


def environment(**variables):
    """Returns the environment of a command, without variables of the developer that would change it."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("OS_", "SPIN_VARIABLE_", "VOLUME_"))
    }
    own.pop("NO_COLOR", None)
    return own | {"PYTHONDONTWRITEBYTECODE": "1"} | variables


def run(*arguments, **variables):
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class Up:
    """A running service. It is stopped with SIGTERM, and must exit with 0."""

    def __init__(self, *arguments, errors=None, **variables):
        self.errors = errors or tempfile.TemporaryFile("w+")
        command = [PROGRAM, "up", "--port", "0", *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(PATIENCE) else ""
        if not line.startswith("Serving http://"):
            self.process.kill()
            raise Failure(f"the service did not start: {line}{self.log()}")
        self.url = line.removeprefix("Serving ").strip()

    def log(self):
        self.errors.seek(0)
        return self.errors.read()

    def stop(self, with_signal=signal.SIGTERM):
        self.process.send_signal(with_signal)
        self.process.wait(PATIENCE)
        # `readline` may have buffered more than the first line, which `communicate` would not find.
        output = self.process.stdout.read()
        self.process.stdout.close()
        expect(self.process.returncode == 0, f"a service that is stopped exits with {self.process.returncode}")
        return output

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.stop()
        self.errors.close()

    def operate(self, method, token, document=None):
        body = None if document is None else json.dumps(document).encode()
        headers = {"X-Ops-Token": token, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/_ops/state", method=method, headers=headers, data=body)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read() or b"{}")


def check_install(wheel):
    begun = time.monotonic()
    make_environment(EMPTY)
    pip(EMPTY, "--no-index", "--no-deps", wheel)
    print(
        f"  installed in {time.monotonic() - begun:.1f} s, {PROGRAM.stat().st_size / 1e6:.1f} MB of {wheel.stat().st_size / 1e6:.1f} MB"
    )
    module = [EMPTY / "bin/python", "-m", "volume_snapshots", "--version"]
    module = subprocess.run(module, capture_output=True, text=True, check=True, env=environment())
    expect(module.stdout == run("--version").stdout, "python -m volume_snapshots is another program")
    expect(re.fullmatch(r"volume-snapshots \d+\.\d+\.\d+\n", module.stdout), f"--version prints {module.stdout!r}")


def check_commands(_):
    for arguments in ([], ["--help"], ["up", "--help"], ["env"], ["env", "--admin"], ["clouds"]):
        done = run(*arguments)
        expect(done.returncode == (0 if arguments else 2), f"{arguments} exits with {done.returncode}")
        expect("\x1b" not in done.stdout + done.stderr, f"{arguments} prints colours into a pipe")
    expect("export OS_USERNAME=admin" in run("env", "--admin").stdout, "env --admin is not for admin")
    for arguments in (
        ["up", "--port", "70000"],
        ["up", "--log-format", "xml"],
        ["up", "--set", "a"],
        ["env", "--url", "a"],
        ["down"],
    ):
        done = run(*arguments)
        expect(
            done.returncode == 2 and done.stderr.startswith("error: "), f"{arguments}: {done.returncode} {done.stderr}"
        )
    done = run("health", "--url", "http://127.0.0.1:1")
    expect((done.returncode, done.stdout) == (1, "") and "does not answer" in done.stderr, done.stderr)


def check_start_errors(folder):
    """Each error is one line that says what to do, and the exit code is 1."""
    document = folder / "document.json"
    cases = [
        (["--manifest", "/nowhere/spin.toml"], None, "cannot read the manifest /nowhere/spin.toml"),
        (["--listen", "nonsense"], None, "--listen nonsense is not an address"),
        (["--listen", "192.0.2.1:0"], None, "does not have the address 192.0.2.1; choose another one with --listen"),
        (["--listen", "0.0.0.0:0"], None, "everybody knows the default passwords"),
        (["--state-dir", "/proc/volume-snapshots"], None, "cannot create the state directory /proc/volume-snapshots: "),
        (["--state-dir", document], "{}", "; choose another directory with --state-dir"),
        (
            ["--set", "max_limit=0"],
            None,
            "the variable max_limit is wrong: '0' is not a whole number above zero; set it with",
        ),
        (
            ["--set", "auth_mode=open"],
            None,
            "the variable auth_mode is wrong: 'open' is none of noauth, headers, keystone",
        ),
        (["--set", "progression=never"], None, "'never' is none of time, immediate, manual"),
        (["--set", "dev_identity=yes"], None, "the variable dev_identity is wrong: 'yes' is none of off, on"),
        (["--set", "max_limt=1"], None, "there is no variable max_limt to set; there are auth_mode, "),
        (["--seed", document], "{", "is not JSON: EOF while parsing an object at line 1"),
        (["--seed", document], "[]", "is not a JSON object"),
        (["--seed", document], '{"volume": []}', "is refused: The document cannot be used: unknown field `volume`"),
        (["--seed", folder / "missing"], None, "cannot read the seed"),
        (["--identity-seed", document], '{"user": []}', "unknown field `user`"),
    ]
    for arguments, content, message in cases:
        if content is not None:
            document.write_text(content)
        done = run("up", "--port", "0", *arguments) if "--listen" not in arguments else run("up", *arguments)
        shown = f"{' '.join(map(str, arguments))}: {done.returncode} {done.stdout}{done.stderr}"
        expect(done.returncode == 1 and done.stdout == "", shown)
        expect(
            message in done.stderr and done.stderr.startswith("volume-snapshots: ") and done.stderr.count("\n") == 1,
            shown,
        )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("up", "--port", taken.getsockname()[1])
        expect(
            "another program listens on" in done.stderr and "--port" in done.stderr and done.returncode == 1,
            done.stderr,
        )
    print(f"  {len(cases) + 1} errors, each one line")


def check_state(folder):
    """The state directory is locked, keeps its rows, and is seeded once."""
    directory, seed = folder / "state", folder / "seed.json"
    seed.write_text('{"volumes": [{"name": "data"}]}')
    options = ["--state-dir", directory, "--seed", seed, "--quiet"]
    with Up(*options, VOLUME_SNAPSHOTS_OPS_TOKEN="secret") as service:
        done = run("up", "--port", "0", "--state-dir", directory)
        expected = f"is locked by another volume-snapshots (process {service.process.pid}); stop it, or choose another"
        expect(done.returncode == 1 and expected in done.stderr, done.stderr)
        names = [own["name"] for own in service.operate("GET", "secret")["volumes"]]
        expect(names == ["data"], f"the seed made {names}")
        document = service.operate("GET", "secret")
        document["volumes"][0]["name"] = "renamed"
        service.operate("PUT", "secret", document)
        expect(service.stop() == "", "--quiet prints more than a line")
    with Up(*options, VOLUME_SNAPSHOTS_OPS_TOKEN="secret") as service:
        names = [own["name"] for own in service.operate("GET", "secret")["volumes"]]
        expect(names == ["renamed"], f"the state became {names}")
        expect("so the seed" in service.log(), "an ignored seed is not mentioned")
    with contextlib.closing(sqlite3.connect(directory / "sqlite_key_value.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = run("up", "--port", "0", "--state-dir", directory)
    expect(done.returncode == 1 and "is locked by another process; stop that process" in done.stderr, done.stderr)


def check_log(_):
    with Up("--log-requests", "--log-format", "json") as service:
        expect(run("health", "--url", service.url).returncode == 0, "the service is not healthy")
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"{service.url}/v3/snapshots?limit=1", timeout=PATIENCE)
        greeting = service.stop(signal.SIGINT)
        lines = [json.loads(line) for line in service.log().splitlines()]
    expect("--state-dir" in greeting and f"volume-snapshots env --url {service.url}" in greeting, greeting)
    requests = [line for line in lines if line["message"] == "request"]
    shown = [(line["method"], line["path"], line["status"]) for line in requests]
    expect(shown == [("GET", "/healthcheck", 200), ("GET", "/v3/snapshots", 401)], shown)
    expect(requests[1]["request_id"].startswith("req-") and requests[1]["milliseconds"] > 0, requests)
    with Up("--log-requests") as service:
        run("health", "--url", service.url)
        service.stop()
        expect(re.search(r"Z GET /healthcheck 200 \d+\.\d ms", service.log()), service.log())
    for variables, expected in (({}, " \x1b[32m200\x1b[0m "), ({"NO_COLOR": "1"}, " 200 ")):
        terminal, end = pty.openpty()
        with Up("--log-requests", errors=open(end, "w"), **variables) as service:
            run("health", "--url", service.url)
            service.stop()
            shown = os.read(terminal, 1 << 16).decode()
        os.close(terminal)
        expect(f"GET /healthcheck{expected}" in shown, f"{variables}: {shown!r}")


def check_first_starts(folder):
    """Several first starts at once: one compiles the components, and the others use its result."""
    cache = folder / "cache"

    def start(_):
        return Up("--quiet", XDG_CACHE_HOME=str(cache))

    for count, name in ((3, "that compile"), (3, "that read the cache"), (1, "that reads the cache")):
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            services = list(pool.map(start, range(count)))
        print(f"  {count} at once {name}: {time.monotonic() - begun:.2f} s")
        for service in services:
            service.stop()
    expect(list(cache.glob("volume-snapshots/modules/*/*")), "nothing is cached")
    cache.joinpath("volume-snapshots").chmod(0o777)
    temporary = folder / "temporary"
    temporary.mkdir()
    with Up("--quiet", XDG_CACHE_HOME=str(cache), HOME="/proc", TMPDIR=str(temporary)):
        pass
    expect(list(temporary.glob("*/modules")), "a cache that others can write is used")


def install_clients(wheel):
    pins = HERE / "requirements.txt"
    constraints = ROOT / "tests/clients/requirements.txt"
    made_from = CLIENTS / "made-from"
    wanted = hashlib.sha256(pins.read_bytes() + constraints.read_bytes()).hexdigest()
    if not made_from.exists() or made_from.read_text() != wanted:
        make_environment(CLIENTS)
        pip(CLIENTS, "--requirement", pins, "--constraint", constraints)
        made_from.write_text(wanted)
    pip(CLIENTS, "--no-index", "--no-deps", "--force-reinstall", wheel)


def check_session(_):
    begun = time.monotonic()
    with Up() as service:
        path = f"{CLIENTS / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", SESSION],
            env=environment(PATH=path, URL=service.url, OS_CLOUD="another", PYTHONWARNINGS="ignore"),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    expect(
        done.returncode == 0 and "| nightly |" in done.stdout and "| available |" in done.stdout,
        done.stdout + done.stderr,
    )
    print("  " + done.stdout.replace("\n", "\n  ").rstrip())
    print(f"  from `up` to a snapshot in the list: {time.monotonic() - begun:.1f} s")


def in_clients(*command, **options):
    command = [CLIENTS / "bin" / command[0], *map(str, command[1:])]
    done = subprocess.run(command, cwd=ROOT, env=environment(), **options, check=False)
    expect(done.returncode == 0, f"{command[0].name} failed with {done.returncode}")


def check_plugin(_):
    # Outside of the repository, so that the plugin that is installed is the one that runs.
    in_clients("pytest", "-n", "4", "-q", "--rootdir", HERE, "-p", "no:cacheprovider", HERE / "test_plugin.py")


def check_types(_):
    in_clients("mypy", "--strict", "--cache-dir", FOLDER / "mypy", "-p", "volume_snapshots")


def check_workflow(_):
    workflow = ROOT / ".github/workflows/release.yml"
    in_clients("check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)
    in_clients("zizmor", "--offline", "--quiet", workflow)


def main():
    wheels = list(pathlib.Path(sys.argv[1]).glob("volume_snapshots-*.whl")) if len(sys.argv) == 2 else []
    if len(wheels) != 1:
        sys.exit("wheel: usage: tests/wheel/check.py <directory with one wheel>")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wheel-") as name:
        folder = pathlib.Path(name)
        steps = [
            ("the wheel in an empty environment", check_install, wheels[0]),
            ("commands and exit codes", check_commands, folder),
            ("first starts", check_first_starts, folder),
            ("errors of a start", check_start_errors, folder),
            ("the state directory", check_state, folder),
            ("the log", check_log, folder),
            ("the clients", lambda wheel: install_clients(wheel), wheels[0]),
            ("a session of openstackclient", check_session, folder),
            ("the pytest plugin, with four workers", check_plugin, folder),
            ("its types", check_types, folder),
            ("the release workflow", check_workflow, folder),
        ]
        for title, step, argument in steps:
            print(f"wheel: {title}", flush=True)
            try:
                step(argument)
            except Failure as failure:
                sys.exit(f"wheel: {title}: {failure}")
    print("wheel: all checks passed")


if __name__ == "__main__":
    main()
