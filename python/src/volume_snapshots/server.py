"""A server: one process that serves the API and a Keystone, with its state in memory."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import queue
import secrets
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from volume_snapshots.program import find_program

# The seconds that a start may take. The first one compiles the components, several of them one after the other.
START = 120.0
# The seconds that one request of an operator may take, and that the process has to stop.
PATIENCE = 60.0
# The lines of the log that an error shows.
TAIL = 20


class ServerError(Exception):
    """The server did not start, or refused a request of an operator."""


@dataclass(frozen=True)
class Credentials:
    """A user with a project of its own, and an administrator of that project."""

    project_id: str
    project_name: str
    user_id: str
    username: str
    password: str
    admin_username: str
    admin_password: str


class Server:
    """A running server on a free port of this machine. It is a context manager, which stops it."""

    url: str

    def __init__(self, *, projects: int = 1, variables: Mapping[str, str] | None = None) -> None:
        """Starts a server that has a number of projects, each with a user, and waits until it serves.

        `variables` are those that `volume-snapshots up --set` takes.
        """
        self._ops_token = secrets.token_hex()
        self._admin = ("admin", secrets.token_hex(8))
        self.credentials = [self._new_credentials(number) for number in range(1, projects + 1)]
        self._directory = tempfile.TemporaryDirectory(prefix="volume-snapshots-")
        self._process: subprocess.Popen[str] | None = None
        try:
            self.url = self._start(variables or {})
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops the process. A second call does nothing."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for stream in (process.stdin, process.stdout) if process is not None else ():
            if stream is not None:
                stream.close()
        with contextlib.suppress(OSError):
            self._directory.cleanup()

    def log(self) -> str:
        """Returns the log of the server so far."""
        try:
            return self._log_path.read_text(errors="replace")
        except OSError:
            return ""

    def operate(self, method: str, path: str, document: object = None) -> dict[str, Any]:
        """Calls an operator's route, such as `GET` of `state`, and returns its answer."""
        body = None if document is None else json.dumps(document).encode()
        headers = {"X-Ops-Token": self._ops_token, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/_ops/{path}", data=body, headers=headers, method=method)
        # A proxy of the environment is not for this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ServerError(f"{method} /_ops/{path}: {_message(error)}") from None
        except OSError as error:
            raise ServerError(f"the server does not answer: {error}{self._tail()}") from error
        answered: dict[str, Any] = json.loads(content) if content else {}
        return answered

    @property
    def _log_path(self) -> pathlib.Path:
        return pathlib.Path(self._directory.name, "log")

    def _new_credentials(self, number: int) -> Credentials:
        name = f"test-{number}"
        return Credentials(uuid.uuid4().hex, name, uuid.uuid4().hex, name, secrets.token_hex(8), *self._admin)

    def _identity_seed(self) -> dict[str, Any]:
        """Returns the users and projects, as the option `--identity-seed` takes them."""
        username, password = self._admin
        roles = {own.project_id: ["admin"] for own in self.credentials}
        users: list[dict[str, Any]] = [
            {"name": username, "password": password, "projects": roles, "domains": {"Default": ["admin"]}}
        ]
        for own in self.credentials:
            projects = {own.project_id: ["member"]}
            users.append({"name": own.username, "id": own.user_id, "password": own.password, "projects": projects})
        return {
            "projects": [{"name": own.project_name, "id": own.project_id} for own in self.credentials],
            "users": users,
        }

    def _start(self, variables: Mapping[str, str]) -> str:
        seed = pathlib.Path(self._directory.name, "identity.json")
        seed.write_text(json.dumps(self._identity_seed()))
        # The end of standard input stops the server if this process is killed.
        command = [find_program(), "up", "--quiet", "--stop-with-stdin", "--port", "0", "--identity-seed", str(seed)]
        for name, value in variables.items():
            command += ["--set", f"{name}={value}"]
        # The variables of the developer who runs the tests are not for this server.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SPIN_VARIABLE_")}
        environment["VOLUME_SNAPSHOTS_OPS_TOKEN"] = self._ops_token
        with open(self._log_path, "wb") as log:
            self._process = process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        line = _first_line(process)
        if not line.startswith("Serving "):
            if process.poll() is None and not line:
                raise ServerError(f"volume-snapshots did not start within {START:.0f} seconds{self._tail()}")
            raise ServerError(f"volume-snapshots did not start{self._tail()}")
        return line.removeprefix("Serving ").strip()

    def _tail(self) -> str:
        """Returns the end of the log for an error message."""
        lines = self.log().splitlines()[-TAIL:]
        return "; its log ends with:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""


def _first_line(process: subprocess.Popen[str]) -> str:
    """Returns the first line of a process, or an empty string if it ends or takes too long."""
    output = process.stdout
    assert output is not None
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: lines.put(output.readline()), daemon=True).start()
    try:
        line = lines.get(timeout=START)
    except queue.Empty:
        return ""
    if not line:
        # The end of the output comes just before that of the process.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
    return line


def _message(error: urllib.error.HTTPError) -> str:
    """Returns the message of a fault."""
    body = error.read().decode(errors="replace")
    with contextlib.suppress(ValueError, AttributeError, StopIteration, KeyError, TypeError):
        return f"{error.code}: {next(iter(json.loads(body).values()))['message']}"
    return f"{error.code} {body}"
