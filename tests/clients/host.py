"""Starts and stops the app, and other servers that print their address."""

import json
import os
import pathlib
import selectors
import subprocess
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PATIENCE = 60  # seconds to wait for anything that should take about one second
OPS_TOKEN = "clients"


class Server:
    """A process that prints `Serving <address>` when it is ready. Its standard error is kept in a file."""

    def __init__(self, command, environment, errors_path):
        self.errors_path = errors_path
        with open(errors_path, "wb") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(PATIENCE) else ""
        if not line.startswith("Serving "):
            self.stop()
            raise RuntimeError(f"{command[0]} did not start: {self.wrote()}")
        self.base = line.removeprefix("Serving ").strip()

    def wrote(self):
        return self.errors_path.read_text(errors="replace").strip()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class App(Server):
    """The component on the embedded host, with its own state and the given variables."""

    def __init__(self, program, variables):
        self.directory = tempfile.TemporaryDirectory(prefix="clients-app-")
        directory = pathlib.Path(self.directory.name)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SPIN_VARIABLE_")}
        environment["SPIN_VARIABLE_OPS_TOKEN"] = OPS_TOKEN
        environment |= {f"SPIN_VARIABLE_{name.upper()}": value for name, value in variables.items()}
        command = [program, "--manifest", "spin.toml", "--listen", "127.0.0.1:0", "--probe", "/healthcheck"]
        try:
            super().__init__([*command, "--state-dir", directory / "state"], environment, directory / "errors")
        except BaseException:
            self.directory.cleanup()
            raise

    def state(self, method, document=None):
        """Reads, replaces, or deletes the whole state of the app."""
        body = None if document is None else json.dumps(document).encode()
        headers = {"X-Ops-Token": OPS_TOKEN, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.base}/_ops/state", method=method, headers=headers, data=body)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read()

    def empty(self):
        """Deletes the whole state, so that scenarios do not depend on each other."""
        self.state("DELETE")

    def set_volume_status(self, volume_id, status):
        """Sets the status of a volume in the operator's document, since no client can attach a volume without Nova."""
        document = json.loads(self.state("GET"))
        for volume in document["volumes"]:
            if volume["id"] == volume_id:
                volume["status"] = status
        self.state("PUT", document)

    def __exit__(self, *_):
        self.stop()
        self.directory.cleanup()
