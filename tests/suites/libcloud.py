#!/usr/bin/env python3
"""Calls the functions of apache-libcloud for volumes and snapshots of OpenStack, with dev-identity."""

import json
import subprocess
import sys
import time

import suite

VERSION = "3.9.1"
PATIENCE = 60  # seconds to wait for a state


class Calls:
    """The tests, in their order. Each is one function of libcloud, and uses what those before it made."""

    def __init__(self, origin):
        from libcloud.compute.providers import get_driver
        from libcloud.compute.types import Provider

        self.driver = get_driver(Provider.OPENSTACK)(
            "demo",
            "demo",
            ex_force_auth_url=f"{origin}/identity",
            ex_force_auth_version="3.x_password",
            ex_tenant_name="demo",
            ex_domain_name="Default",
            ex_force_service_region="RegionOne",
            api_version="2.2",
        )

    def until(self, look, done):
        end = time.monotonic() + PATIENCE
        while not done(found := look()):
            assert time.monotonic() < end, f"it is still {found}"
            time.sleep(0.2)
        return found

    def available(self, volume):
        return self.until(
            lambda: self.driver.ex_get_volume(volume.id), lambda found: found.extra["state"] == "available"
        )

    def snapshots(self):
        return {snapshot.id: snapshot for snapshot in self.driver.list_volume_snapshots(self.volume)}

    def create_volume(self):
        self.volume = self.driver.create_volume(1, "v", ex_volume_type="__DEFAULT__")
        assert (self.volume.name, self.volume.size) == ("v", 1), self.volume
        self.volume = self.available(self.volume)
        assert self.volume.extra["metadata"] == {"contents": "v"}, self.volume.extra

    def list_volumes(self):
        assert [volume.id for volume in self.driver.list_volumes()] == [self.volume.id]

    def ex_get_volume(self):
        found = self.driver.ex_get_volume(self.volume.id)
        assert (found.id, found.name, str(found.state)) == (self.volume.id, "v", "available"), found

    def create_volume_snapshot(self):
        self.snapshot = self.driver.create_volume_snapshot(self.volume, name="s", ex_description="d", ex_force=True)
        assert (self.snapshot.name, str(self.snapshot.state)) == ("s", "creating"), self.snapshot
        assert self.snapshot.created, self.snapshot
        self.until(lambda: self.snapshots()[self.snapshot.id].state, lambda state: state == "available")

    def list_volume_snapshots(self):
        [found] = self.driver.list_volume_snapshots(self.volume)
        assert (found.id, found.name, found.size, found.extra["description"]) == (self.snapshot.id, "s", 1, "d"), found

    def ex_list_snapshots(self):
        assert [snapshot.id for snapshot in self.driver.ex_list_snapshots()] == [self.snapshot.id]

    def ex_get_snapshot(self):
        assert self.driver.ex_get_snapshot(self.snapshot.id).id == self.snapshot.id

    def create_volume_from_a_snapshot(self):
        copy = self.available(self.driver.create_volume(2, "copy", snapshot=self.snapshot))
        assert (copy.size, copy.extra["snapshot_id"]) == (2, self.snapshot.id), copy
        assert self.driver.destroy_volume(copy)
        self.until(self.driver.list_volumes, lambda volumes: len(volumes) == 1)

    def ex_create_snapshot(self):
        made = self.driver.ex_create_snapshot(self.volume, "old name", description="d", force=True)
        self.until(lambda: self.snapshots()[made.id].state, lambda state: state == "available")
        assert self.driver.ex_delete_snapshot(made)
        self.until(self.snapshots, lambda found: len(found) == 1)

    def destroy_volume_snapshot(self):
        assert self.driver.destroy_volume_snapshot(self.snapshot)
        self.until(self.snapshots, lambda found: not found)

    def destroy_volume(self):
        assert self.driver.destroy_volume(self.volume)
        self.until(self.driver.list_volumes, lambda volumes: not volumes)

    def ex_get_volume_quotas(self):
        # The address in the catalog ends with the id of the project.
        project = self.driver._get_volume_connection().get_endpoint().rpartition("/")[2]
        quotas = self.driver.ex_get_volume_quotas(project)
        assert quotas.snapshots.limit == 10, quotas


TESTS = [name for name in vars(Calls) if name.startswith(("create_", "list_", "ex_", "destroy_"))]


def call_all(origin):
    """Runs in the environment with libcloud, and prints a line of JSON for each test."""
    # This program has the name of the package, and its directory would hide it.
    sys.path.pop(0)
    calls = Calls(origin)
    for name in TESTS:
        try:
            getattr(calls, name)()
        except Exception as error:
            print(json.dumps([name, suite.FAILED, f"{type(error).__name__}: {error}"]), flush=True)
        else:
            print(json.dumps([name, suite.PASSED, ""]), flush=True)


def main():
    if sys.argv[1:2] == ["--call"]:
        return call_all(sys.argv[2])
    python = suite.install("libcloud", f"apache-libcloud=={VERSION}")
    import dev_identity

    results = {}
    with dev_identity.start(suite.program()) as origin:
        done = subprocess.run([python, __file__, "--call", origin], stdout=subprocess.PIPE, text=True, check=True)
    for test, how, said in map(json.loads, done.stdout.splitlines()):
        print(f"{how:7} {test}", flush=True)
        results[test] = (how, said)
    suite.judge("libcloud", VERSION, results)


if __name__ == "__main__":
    main()
