#!/usr/bin/env python3
"""Drives the running component with real OpenStack clients: tests/clients/check.py <program of the embedded host> [<checkout>]

`make clients` builds what it needs and runs it. It installs the pinned clients and a Keystone into target/clients, starts
that Keystone on SQLite and the app with auth_mode=noauth, with auth_mode=keystone, and with dev-identity, and compares the
results of openstackclient, cinderclient, openstacksdk, and Ansible with the expected ones. It fails if a result differs, or
with fewer than 90 checks.

CLIENTS_ONLY=<part of a scenario's name> runs only the matching scenarios.

With a checkout of gophercloud it runs gophercloud's acceptance tests instead, as `make gophercloud` does.
"""

import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ENVIRONMENT = ROOT / "target/clients"

# The package whose wheel has the collection openstack.cloud. It needs a newer Python than the collection does.
COLLECTIONS = "ansible==14.5.0"


def install():
    """Creates the virtual environment with the pinned packages, unless it exists and the pins are the same."""
    pins = HERE / "requirements.txt"
    made_from = ENVIRONMENT / "made-from"
    wanted = f"{sys.version_info[:2]} {COLLECTIONS} {hashlib.sha256(pins.read_bytes()).hexdigest()}"
    if not made_from.exists() or made_from.read_text() != wanted:
        print("Installing the clients and Keystone into target/clients", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip = [ENVIRONMENT / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--requirement", pins], check=True)
        install_collection(pip)
        made_from.write_text(wanted)


def install_collection(pip):
    """Installs Ansible's collection for OpenStack. The wheel has 200 MB of other collections, which are left out."""
    with tempfile.TemporaryDirectory(prefix="clients-ansible-") as directory:
        download = [*pip, "download", "--no-deps", "--ignore-requires-python", "--dest", directory, COLLECTIONS]
        subprocess.run(download, check=True)
        [wheel] = pathlib.Path(directory).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            wanted = [name for name in archive.namelist() if name.startswith("ansible_collections/openstack/cloud/")]
            archive.extractall(ENVIRONMENT / "collections", wanted)


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
