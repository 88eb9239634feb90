#!/usr/bin/env python3
"""Drives the running component with real OpenStack clients: tests/clients/check.py <program of the embedded host> [<checkout>]

`make clients` builds what it needs and runs it. It installs the pinned clients and a Keystone into target/clients, starts
that Keystone on SQLite and the app with auth_mode=noauth and with auth_mode=keystone, and compares the results of
openstackclient, cinderclient, and openstacksdk with the expected ones. It fails if a result differs, or with fewer than
90 checks.

CLIENTS_ONLY=<part of a scenario's name> runs only the matching scenarios.

With a checkout of gophercloud it runs gophercloud's acceptance tests instead, as `make gophercloud` does.
"""

import hashlib
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ENVIRONMENT = ROOT / "target/clients"


def install():
    """Creates the virtual environment with the pinned packages, unless it exists and the pins are the same."""
    pins = HERE / "requirements.txt"
    made_from = ENVIRONMENT / "made-from"
    wanted = f"{sys.version_info[:2]} {hashlib.sha256(pins.read_bytes()).hexdigest()}"
    if not made_from.exists() or made_from.read_text() != wanted:
        print("Installing the clients and Keystone into target/clients", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip = [ENVIRONMENT / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", pins], check=True)
        made_from.write_text(wanted)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit("clients: usage: tests/clients/check.py <program of the embedded host> [<checkout of gophercloud>]")
    program, *checkout = (str(pathlib.Path(argument).resolve()) for argument in sys.argv[1:])
    install()
    # The checks import the installed packages, so they run in that environment.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    checks = HERE / ("gophercloud.py" if checkout else "suite.py")
    command = [str(ENVIRONMENT / "bin/python"), str(checks), program, *checkout]
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main()
