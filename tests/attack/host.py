"""Starts the embedded host, calls it, kills it, and reads what it wrote."""

import contextlib
import http.client
import json
import os
import pathlib
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PATIENCE = 60  # seconds to wait for anything that should take about one second
START = 300  # seconds to wait for a host that compiles the component first
OPS_TOKEN = "a-secret-of-the-operator"
ALPHA = "a1000000000000000000000000000001"
BETA = "b2000000000000000000000000000002"
LATEST = {"OpenStack-API-Version": "volume latest"}
FILE = "sqlite_key_value.db"


def member(project, roles="member,reader", user="u1"):
    """Returns the identity headers that a front end adds with auth_mode=headers."""
    return {"X-Identity-Status": "Confirmed", "X-User-Id": user, "X-Project-Id": project, "X-Roles": roles}


class Answer:
    """A status, headers, and a body, parsed if it is JSON."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.bytes = body
        try:
            self.body = json.loads(body) if body else None
        except ValueError:
            self.body = body.decode(errors="replace")

    def __repr__(self):
        return f"{self.status} {self.bytes[:200]!r}"


class Client:
    """One connection, which is opened again after an error. Not for several threads."""

    def __init__(self, address, headers=None, timeout=PATIENCE):
        self.connection = http.client.HTTPConnection(*address, timeout=timeout)
        self.headers = headers or {}

    def call(self, method, path, body=None, headers=None):
        headers = self.headers | (headers or {})
        data = body
        if body is not None:
            headers = {"Content-Type": "application/json"} | headers
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.connection.request(method, path, data, headers)
            answer = self.connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        except BaseException:
            self.connection.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


class Host:
    """The component on the embedded host, with its own state directory and the given variables.

    `directory` is a directory that outlives the host. `wrapper` is put before the command, `environment` is added to that
    of the process, and `files` is the limit on open files.
    """

    program = None  # set by check.py

    def __init__(self, variables=None, directory=None, wrapper=(), environment=None, files=None):
        self.variables = {"ops_token": OPS_TOKEN, "auth_mode": "headers"} | (variables or {})
        self.own = tempfile.mkdtemp(prefix="attack-")
        self.directory = pathlib.Path(directory or self.own)
        self.errors = pathlib.Path(self.own) / "errors"
        self.wrapper = list(wrapper)
        self.environment = environment or {}
        self.files = files
        self.process = None

    def start(self):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SPIN_VARIABLE_")}
        environment |= {f"SPIN_VARIABLE_{name.upper()}": str(value) for name, value in self.variables.items()}
        command = [*self.wrapper, self.program, "--manifest", "spin.toml", "--listen", "127.0.0.1:0"]
        limit = (self.files, self.files) if self.files else resource.getrlimit(resource.RLIMIT_NOFILE)
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(
                [*command, "--state-dir", self.directory, "--probe", "/healthcheck"],
                cwd=ROOT,
                env=environment | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
            )
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(START) else ""
        if not line.startswith("Serving "):
            self.stop()
            raise RuntimeError(f"the host did not start: {self.wrote()[-800:]}")
        name, _, port = line.removeprefix("Serving http://").strip().rpartition(":")
        self.address = (name, int(port))
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process:
            self.process.stdout.close()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            shutil.rmtree(self.own, ignore_errors=True)
            raise

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.own, ignore_errors=True)

    def wrote(self):
        return self.errors.read_text(errors="replace").strip()

    def database(self):
        return self.directory / FILE

    def peak(self):
        """Returns the largest resident size of the process so far, in MiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024

    def client(self, headers=None, timeout=PATIENCE):
        return Client(self.address, headers, timeout)

    def call(self, method, path, body=None, headers=None, timeout=PATIENCE):
        """Makes one call over a connection of its own."""
        with self.client(timeout=timeout) as client:
            return client.call(method, path, body, headers)

    def operate(self, method, path, body=None):
        return self.call(method, f"/_ops/{path}", body, {"X-Ops-Token": OPS_TOKEN}, timeout=5 * PATIENCE)

    def raw(self, data, wait=5, quiet=0.5, half_close=False):
        """Sends bytes and returns all bytes that come back, and whether the host closed the connection.

        Stops reading after `wait` seconds without any answer, or `quiet` seconds after a part of one. `data` may be a list
        of parts, with a pause before each but the first.
        """
        parts = data if isinstance(data, list) else [data]
        received = b""
        with contextlib.closing(socket.create_connection(self.address, PATIENCE)) as peer:
            try:
                for number, part in enumerate(parts):
                    time.sleep(0.2 if number else 0)
                    peer.sendall(part)
                if half_close:
                    peer.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # The host has refused the rest. It may have answered before.
            while True:
                peer.settimeout(quiet if received else wait)
                try:
                    more = peer.recv(1 << 16)
                except TimeoutError:
                    return received, False
                except OSError:
                    return received, True
                if not more:
                    return received, True
                received += more

    def new_volume(self, project=ALPHA, **fields):
        headers = self.identity(project)
        answer = self.call("POST", f"/v3/{project}/volumes", {"volume": {"size": 1} | fields}, headers)
        assert answer.status == 202, answer
        return answer.body["volume"]["id"]

    def new_snapshot(self, volume, project=ALPHA, **fields):
        headers = self.identity(project)
        answer = self.call("POST", f"/v3/{project}/snapshots", {"snapshot": {"volume_id": volume} | fields}, headers)
        assert answer.status == 202, answer
        return answer.body["snapshot"]["id"]

    def identity(self, project, roles="member,reader"):
        """Returns the headers of a member in the authentication mode of this host."""
        if self.variables["auth_mode"] == "headers":
            return member(project, roles)
        return {"X-Auth-Token": f"u1:{project}"} if self.variables["auth_mode"] == "noauth" else {}


def wait_until(condition, seconds=PATIENCE):
    """Returns whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
