#!/usr/bin/env python3
"""Runs Tempest's tests of the volume API, and those of cinder-tempest-plugin: tempest.py <program of the embedded host>

Tempest creates the projects and users that it needs in a real Keystone. There is no Nova, no Glance, and no Swift, so the
tests that need them fail or are skipped; `tempest-left-out.txt` lists these too.
"""

import contextlib
import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import suite

TESTS = r"^(tempest\.api\.volume|cinder_tempest_plugin)\."
OUTPUT = suite.ENVIRONMENTS / "tempest.log"
# Tests mostly wait for a volume. More of them at once would wait for the same Keystone.
WORKERS = 4
DELAYS = {"create_seconds": "1", "delete_seconds": "1"}

CONFIGURATION = """
[DEFAULT]
log_dir = {directory}
[auth]
use_dynamic_credentials = true
create_isolated_networks = false
admin_username = admin
admin_password = {password}
admin_project_name = admin
admin_domain_name = Default
[identity]
auth_version = v3
uri_v3 = {keystone}
region = {region}
[identity-feature-enabled]
api_v3 = true
[service_available]
cinder = true
nova = false
swift = false
horizon = false
# Tempest skips whole classes of tests without these two, though few of their tests need them. Those of this catalog have
# nothing.
glance = true
neutron = true
[enforce_scope]
cinder = true
[volume]
region = {region}
min_microversion = 3.0
max_microversion = 3.71
# Volumes and snapshots take a second to create.
build_timeout = 30
# What the pool of the app says.
vendor_name = Open Source
storage_protocol = none
[volume-feature-enabled]
backup = true
snapshot = true
clone = true
manage_snapshot = true
volume_revert = true
concurrency_tests = true
extend_volume_with_snapshot = true
extend_attached_volume = true
# Those would migrate, retype, or manage volumes.
multi_backend = false
replication = false
manage_volume = false
consistency_group = false
"""


def results_of(listed, output):
    """Returns the results of all listed tests from the lines that Tempest printed."""
    results, classes = {}, {}
    ends = {"ok": suite.PASSED, "FAILED": suite.FAILED}
    for line in output.splitlines():
        match = re.match(r"\{\d+\} (\S+)(?: \((\S+)\)| \[[0-9.]+s\])* \.\.\. (ok|FAILED|SKIPPED)(?:: (.*))?$", line)
        if not match:
            continue
        test, of_class, how, said = match.groups()
        result = ends.get(how, suite.SKIPPED), said or f"see {OUTPUT.relative_to(suite.ROOT)}"
        # A class whose setup fails or is skipped has no lines for its tests, which then did not run.
        if test == "setUpClass":
            classes[of_class] = suite.SKIPPED, said or f"the setup of its class failed, {result[1]}"
        elif test == "tearDownClass":
            results[f"{of_class}.tearDownClass"] = result
        else:
            results[plain(test)] = result
    for test in listed:
        if test not in results:
            results[test] = classes.get(test.rpartition(".")[0], (suite.FAILED, "Tempest printed no result"))
    return results


def plain(test):
    """Returns the name of a test without its identifiers and tags."""
    return test.partition("[")[0]


def main():
    suite.with_keystone_packages()
    program = suite.program()
    python = suite.install("tempest")
    from host import App
    from identity import WITH_PROJECT, Keystone

    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="suites-tempest-")))
        keystone = stack.enter_context(Keystone())
        app = stack.enter_context(App(program, DELAYS | keystone.variables()))
        keystone.add_to_catalog({WITH_PROJECT: f"{app.base}/v3/%(project_id)s"})
        identity = keystone.cloud.identity
        for name, kind in (("neutron", "network"), ("glance", "image")):
            service = identity.create_service(name=name, type=kind)
            # The app answers 404 there.
            address = {"interface": "public", "url": f"{app.base}/no-{kind}", "region_id": WITH_PROJECT}
            identity.create_endpoint(service_id=service.id, **address)
        tempest = [python, python.with_name("tempest")]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        environment |= {"PATH": f"{python.parent}:{environment['PATH']}", "HOME": str(directory), "PYTHONWARNINGS": "ignore"}
        workspace = directory / "workspace"
        subprocess.run([*tempest, "init", workspace], env=environment, check=True, stdout=subprocess.DEVNULL)
        configuration = CONFIGURATION.format(
            directory=directory, password=keystone.passwords["admin"], keystone=keystone.url, region=WITH_PROJECT
        )
        (workspace / "etc/tempest.conf").write_text(configuration)

        run = [*tempest, "run", "--regex", f"{TESTS}.*({os.environ.get('SUITE_ONLY', '')})"]
        options = {"cwd": workspace, "env": environment, "text": True, "stdout": subprocess.PIPE, "check": False}
        listing = subprocess.run([*run, "--list-tests"], **options)
        listed = [plain(line) for line in listing.stdout.splitlines() if re.match(TESTS, line)]
        print(f"{len(listed)} tests; the output of Tempest goes to {OUTPUT.relative_to(suite.ROOT)}", flush=True)
        done = subprocess.run([*run, "--concurrency", str(WORKERS)], stderr=subprocess.STDOUT, **options)
        OUTPUT.write_text(f"{done.stdout}\nThe app wrote: {app.wrote()}\nKeystone wrote: {keystone.wrote()}\n")

    def version(package):
        [path] = (python.parent.parent / "lib").glob("python*/site-packages")
        [found] = importlib.metadata.distributions(name=package, path=[str(path)])
        return found.version

    versions = f"{version('tempest')}, cinder-tempest-plugin {version('cinder-tempest-plugin')}"
    suite.judge("tempest", versions, results_of(listed, done.stdout))


if __name__ == "__main__":
    main()
