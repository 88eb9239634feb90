#!/usr/bin/env python3
"""Checks docs/openapi.yaml against the running component: tests/openapi/check.py <program of the embedded host>

`make openapi` builds what it needs and runs it. It installs the pinned schemathesis into target/openapi, starts the
host on a free port with its own state, and sends generated requests, valid and invalid: without authentication, as
callers of every role, and to the operator's routes. It fails on any 5xx, on an undocumented status, media type, header,
or shape of a body, on fewer than 2,000 requests, and on an operation without a successful request.

OPENAPI_SEED=<number> changes the generated requests. OPENAPI_SECONDS=<number> sets the duration.
"""

import collections
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DOCUMENT = ROOT / "docs/openapi.yaml"
ENVIRONMENT = ROOT / "target/openapi"
OPS_TOKEN = "openapi"
LEAST_REQUESTS = 2_000
PATIENCE = 60  # seconds to wait for anything but the requests
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
# Operations that never succeed: there are no rows of these resources, and the seeded state has no row that cannot be read.
EMPTY = (
    "os-volume-transfer volume-transfers qos-specs clusters consistencygroups cgsnapshots default-types"
).split()
NEVER_REACHED = {f"GET /v3/{project}{name}/{{row_id}}" for name in EMPTY for project in ("", "{project_id}/")} | {
    "GET /v3/group_types/default",
    "GET /v3/{project_id}/group_types/default",
    "DELETE /_ops/rows/{row_key}",
}


def fail(text):
    sys.exit(f"openapi: {text}")


def install():
    """Creates the virtual environment with the pinned packages, unless it exists and the pins are the same."""
    pins = HERE / "requirements.txt"
    made_from = ENVIRONMENT / "made-from"
    wanted = f"{sys.version_info[:2]} {hashlib.sha256(pins.read_bytes()).hexdigest()}"
    if not made_from.exists() or made_from.read_text() != wanted:
        print("Installing schemathesis into target/openapi", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip = [ENVIRONMENT / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", pins], check=True)
        made_from.write_text(wanted)


class Host:
    """The component on the embedded host, with the defaults of spin.toml except `ops_token` and `auth_mode`."""

    def __init__(self, program, auth_mode):
        self.directory = tempfile.TemporaryDirectory()
        self.errors = open(f"{self.directory.name}/errors", "w+b")
        self.process = None
        variables = {name: value for name, value in os.environ.items() if not name.startswith("SPIN_VARIABLE_")}
        variables |= {"SPIN_VARIABLE_OPS_TOKEN": OPS_TOKEN, "SPIN_VARIABLE_AUTH_MODE": auth_mode}
        command = [program, "--manifest", "spin.toml", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*command, "--state-dir", f"{self.directory.name}/state"],
            cwd=ROOT,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        signal.alarm(PATIENCE)
        line = self.process.stdout.readline()
        signal.alarm(0)
        if not line.startswith("Serving "):
            self.stop()
            fail(f"the host did not start: {self.wrote()}")
        self.base = line.removeprefix("Serving ").strip()

    def wrote(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.errors.close()
        self.directory.cleanup()


def run(program, name, title, auth_mode, selection, seconds):
    """Runs schemathesis against its own host. Returns the counts of hooks.py and the verdict of schemathesis."""
    with Host(program, auth_mode) as host:
        print(f"\n{title}, for {seconds} seconds", flush=True)
        result = pathlib.Path(host.directory.name) / "result.json"
        report = ENVIRONMENT / f"{name}.json"
        report.unlink(missing_ok=True)
        seed = os.environ.get("OPENAPI_SEED", "1")
        environment = os.environ | {
            "SCHEMATHESIS_HOOKS": "hooks",
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENAPI_BASE": host.base,
            "OPENAPI_OPS_TOKEN": OPS_TOKEN,
            "OPENAPI_AUTH_MODE": auth_mode,
            "OPENAPI_RESULT": str(result),
            "OPENAPI_SEED": seed,
        }
        command = [
            *(ENVIRONMENT / "bin/schemathesis", "run", DOCUMENT, "--url", host.base, "--mode", "all"),
            *("--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS)),
            *("--max-time", str(seconds), "--seed", seed, "--request-timeout", str(PATIENCE), "--max-redirects", "0"),
            *("--continue-on-failure", "--warnings", "off", "--generation-database", "none", "--no-color"),
            *("--suppress-health-check", "all", "--report", "json", "--report-json-path", report, *selection),
        ]
        process = subprocess.Popen(
            command,
            cwd=host.directory.name,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds + PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            print(output)
            fail(f"schemathesis was not done {PATIENCE} seconds after its time")
        log = ENVIRONMENT / f"{name}.log"
        log.write_text(output)
        if process.returncode != 0 or not result.exists():
            print(output)
            print(f"The app wrote: {host.wrote()}")
        if not result.exists() or not report.exists():
            fail("schemathesis did not come to its end")
        if host.process.poll() is not None:
            fail(f"the host has ended by itself: {host.wrote()}")
        counted = json.loads(result.read_text())
        found = json.loads(report.read_text())
        counted["content"] = process.returncode == 0
        counted["failures"] = found["test_cases"]["unique_failures"] + len(found["errors"])
        counted["failed"] = sorted({name for failure in found["failures"] for name in failure["operations"]})
        codes = ", ".join(f"{count} × {code}" for code, count in sorted(counted["statuses"].items()))
        print(f"{counted['requests']} requests: {codes}", flush=True)
        return counted


def main():
    if len(sys.argv) != 2:
        fail("usage: tests/openapi/check.py <program of the embedded host>")
    program = pathlib.Path(sys.argv[1]).resolve()
    seconds = int(os.environ.get("OPENAPI_SECONDS", "120"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, lambda *_: fail(f"the host was not ready after {PATIENCE} seconds"))
    started = time.monotonic()
    install()
    subprocess.run([ENVIRONMENT / "bin/openapi-spec-validator", DOCUMENT], check=True)

    operator = "--include-path-regex=^/_ops/"
    everything_else = "--exclude-path-regex=^/_ops/"
    runs = {
        "noauth": run(program, "noauth", "Everybody an administrator", "noauth", [everything_else], seconds * 5 // 10),
        "headers": run(program, "headers", "Callers of every role", "headers", [everything_else], seconds * 4 // 10),
        "operator": run(program, "operator", "The operator's routes", "noauth", [operator], seconds * 1 // 10),
    }

    requests = sum(counted["requests"] for counted in runs.values())
    failures = sum(counted["failures"] for counted in runs.values())
    failed = [f"{name}: {operation}" for name, counted in runs.items() for operation in counted["failed"]]
    checked = sum(len(counted["reached"]) for counted in runs.values())
    reached = collections.Counter()
    for counted in runs.values():
        reached.update(counted["reached"])
    missed = {operation for operation, count in reached.items() if count == 0} - NEVER_REACHED
    problems = [f"{operation}: no request got through" for operation in sorted(missed)]
    problems += [f"{name}: schemathesis found something; see above" for name, one in runs.items() if not one["content"]]
    if requests < LEAST_REQUESTS:
        problems.append(f"{requests} requests are fewer than {LEAST_REQUESTS}")

    print()
    for line in failed + problems:
        print(line)
    elapsed = time.monotonic() - started
    print(f"{elapsed:.0f} seconds; an operation counts once in each of the {len(runs)} runs that have it")
    print(f"{requests} requests, {failures} failures")
    print(f"{checked - len(failed)} passed, {len(failed)} failed")
    sys.exit(1 if failures or problems else 0)


if __name__ == "__main__":
    main()
