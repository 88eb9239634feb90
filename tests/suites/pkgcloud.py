#!/usr/bin/env python3
"""Calls all functions of pkgcloud for block storage, with dev-identity. Its own tests run against recorded answers only."""

import json
import os
import shutil
import subprocess
import sys

import suite

VERSION = "2.2.0"


def install():
    """Returns the directory with pkgcloud and what it needs."""
    directory = suite.ENVIRONMENTS / "pkgcloud"
    packages = directory / "node_modules"
    installed = packages / "pkgcloud/package.json"
    if not installed.exists() or json.loads(installed.read_text())["version"] != VERSION:
        print("Installing pkgcloud into target/suites/pkgcloud", flush=True)
        directory.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", directory]
        subprocess.run([*npm, f"pkgcloud@{VERSION}"], check=True)
    return packages


def main():
    if not shutil.which("node") or not shutil.which("npm"):
        sys.exit("pkgcloud: needs node and npm, for example from `apt-get install nodejs npm`")
    packages = install()
    import dev_identity

    with dev_identity.start(suite.program()) as origin:
        command = ["node", suite.HERE / "pkgcloud.js", packages, origin]
        # The AWS part of pkgcloud prints that it is old.
        environment = os.environ | {"AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE": "1"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    results = {}
    for test, how, said in map(json.loads, done.stdout.splitlines()):
        print(f"{how:7} {test}", flush=True)
        results[test] = (how, said)
    suite.judge("pkgcloud", VERSION, results)


if __name__ == "__main__":
    main()
