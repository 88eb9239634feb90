#!/usr/bin/env python3
"""Runs cinderclient's own functional tests, and every command of its shell, with a Keystone.

The commands are those of `cinder help`, at the newest version, each at least once, and with its plain purpose. A command is one
test, named `cinder <command>`: it passes if all its calls succeed and show what they should.
"""

import os
import re
import time
import uuid

import suite

VERSION = "9.10.0"
TESTS = ["cinderclient.tests.functional"]
API_VERSION = "3.71"
PATIENCE = 60  # seconds to wait for a status


class Shell:
    """Calls commands, and keeps the first failure of each."""

    def __init__(self, terminal, cloud):
        self.terminal = terminal
        self.cloud = cloud
        self.variables = cloud.variables("admin", "alpha")
        self.project = cloud.keystone.projects["alpha"]
        self.results = {}

    def call(self, command, *arguments):
        """Calls a command, which must succeed."""
        self.results.setdefault(command, (suite.PASSED, ""))
        done = self.terminal.run(
            "cinder", ["--os-volume-api-version", API_VERSION, command, *arguments], self.variables
        )
        # Some commands print that a request has failed, and succeed.
        if done.code != 0 or re.search("^(Failed|[A-Z].* failed: )", done.output, re.MULTILINE):
            self.fail(command, f"{' '.join(arguments)}: {done.errors.strip() or done.output.strip()}")
        return done

    def fail(self, command, said):
        if self.results[command][0] == suite.PASSED:
            self.results[command] = (suite.FAILED, said)

    def properties(self, command, *arguments, **wanted):
        """Calls a command that shows one resource, and compares some of its properties. Returns them all."""
        done = self.call(command, *arguments)
        found = done.properties() if done.code == 0 else {}
        for name, value in wanted.items():
            if found.get(name) != str(value):
                self.fail(command, f"{' '.join(arguments)}: {name} is {found.get(name)!r}, not {str(value)!r}")
        return found

    def rows(self, command, *arguments, wanted=None):
        """Calls a command that lists resources, and looks for one with some values. Returns all rows."""
        done = self.call(command, *arguments)
        rows = done.rows() if done.code == 0 else []
        if wanted is not None and not any(wanted.items() <= row.items() for row in rows):
            self.fail(command, f"{' '.join(arguments)}: {wanted} is not in {rows[:3]}")
        return rows

    def gone(self, command, identifier, *arguments):
        """Waits until a list has no row with the id."""
        end = time.monotonic() + PATIENCE
        while any(row["ID"] == identifier for row in self.rows(command, *arguments)):
            if time.monotonic() > end:
                return self.fail(command, f"{identifier} is still there")
            time.sleep(0.2)

    def becomes(self, command, identifier, status):
        """Waits until a resource has a status."""
        end = time.monotonic() + PATIENCE
        while (now := self.properties(command, identifier).get("status")) != status:
            if time.monotonic() > end:
                return self.fail(command, f"{identifier} is {now}, not {status}")
            time.sleep(0.2)

    def becomes_available_if(self, command, identifier, created_by):
        """Waits until a resource is available, if the command that should have created it works."""
        if self.passes(created_by):
            self.becomes(command, identifier, "available")
        else:
            self.call(command, identifier)

    def passes(self, command):
        return self.results[command][0] == suite.PASSED

    def volume(self, *arguments, **wanted):
        """Creates a volume and returns its id when it is available."""
        identifier = self.properties("create", *arguments, **wanted).get("id", "")
        self.becomes("show", identifier, "available")
        return identifier

    def snapshot(self, volume, *arguments, **wanted):
        identifier = self.properties("snapshot-create", volume, *arguments, **wanted).get("id", "")
        self.becomes("snapshot-show", identifier, "available")
        return identifier


def volumes(shell):
    volume = shell.volume("1", "--name", "v", "--metadata", "a=1", size=1, name="v", metadata="{'a': '1'}")
    shell.rows("list", wanted={"ID": volume, "Name": "v", "Status": "available", "Size": "1"})
    shell.call("rename", "v", "w", "--description", "renamed")
    shell.properties("show", "w", id=volume, description="renamed")
    shell.call("metadata", volume, "set", "b=2")
    shell.rows("metadata-show", volume, wanted={"Metadata-property": "b", "Value": "2"})
    shell.call("metadata", volume, "unset", "b")
    shell.rows("metadata-update-all", volume, "c=3", wanted={"Metadata-property": "c", "Value": "3"})
    shell.properties("show", volume, metadata="c : 3")
    shell.call("set-bootable", volume, "True")
    shell.properties("show", volume, bootable="true")
    shell.call("readonly-mode-update", volume, "True")
    shell.properties("show", volume, readonly="True", metadata="c : 3\nreadonly : True")
    shell.call("readonly-mode-update", volume, "False")
    shell.call("image-metadata", volume, "set", "os=linux", "disk=ide")
    shell.call("image-metadata", volume, "unset", "disk")
    if shell.rows("image-metadata-show", volume) != [{"Metadata-property": "os", "Value": "linux"}]:
        shell.fail("image-metadata-show", "it shows other items")
    shell.call("extend", volume, "2")
    shell.becomes("show", volume, "available")
    shell.properties("show", volume, size=2)
    shell.call("reset-state", "--state", "error", volume)
    shell.properties("show", volume, status="error")
    shell.call("reset-state", "--state", "available", "--reset-migration-status", volume)
    clone = shell.volume("--source-volid", volume, "--name", "clone", size=2, source_volid=volume)
    shell.rows("summary", wanted={"Property": "total_count", "Value": "2"})
    shell.call("force-delete", clone)
    shell.gone("list", clone)
    shell.call("delete", volume)
    shell.gone("list", volume)


def snapshots(shell):
    volume = shell.volume("1", "--name", "v")
    snapshot = shell.snapshot(
        volume, "--name", "s", "--description", "d", "--metadata", "a=1", volume_id=volume, description="d"
    )
    shell.rows(
        "snapshot-list", wanted={"ID": snapshot, "Volume ID": volume, "Status": "available", "Name": "s", "Size": "1"}
    )
    shell.call("snapshot-rename", "s", "t", "--description", "renamed")
    shell.properties("snapshot-show", "t", id=snapshot, description="renamed")
    shell.call("snapshot-metadata", snapshot, "set", "b=2")
    shell.rows("snapshot-metadata-show", snapshot, wanted={"Metadata-property": "b", "Value": "2"})
    shell.call("snapshot-metadata", snapshot, "unset", "b")
    shell.properties("snapshot-metadata-update-all", snapshot, "c=3", metadata="{'c': '3'}")
    shell.call("snapshot-reset-state", "--state", "error", snapshot)
    shell.properties("snapshot-show", snapshot, status="error")
    shell.call("reset-state", "--type", "snapshot", "--state", "available", snapshot)
    shell.properties("snapshot-show", snapshot, status="available")
    copy = shell.volume("--snapshot-id", snapshot, snapshot_id=snapshot)
    shell.call("revert-to-snapshot", snapshot)
    shell.becomes("show", volume, "available")
    managed = shell.properties("snapshot-manage", volume, "source-name", "--name", "managed").get("id", "")
    shell.becomes("snapshot-show", managed, "available")
    host = shell.properties("show", volume).get("os-vol-host-attr:host", "")
    shell.rows("snapshot-manageable-list", host)
    shell.call("snapshot-unmanage", managed)
    shell.gone("snapshot-list", managed)
    shell.call("snapshot-delete", snapshot)
    shell.gone("snapshot-list", snapshot)
    shell.call("delete", volume, copy)


def attachments(shell):
    volume = shell.volume("1", "--name", "v")
    server = str(uuid.uuid4())
    shell.properties("attachment-create", volume, server)
    rows = shell.rows("attachment-list", wanted={"Volume ID": volume, "Status": "reserved", "Server ID": server})
    shell.call("attachment-delete", rows[0]["ID"])
    shell.becomes("show", volume, "available")
    # Not for a server: Cinder asks Nova before it deletes a connection of one.
    shell.call("attachment-create", volume)
    [row] = shell.rows("attachment-list", wanted={"Volume ID": volume, "Status": "reserved"})
    attachment = row["ID"]
    shell.call("attachment-update", attachment, "--host", "node", "--initiator", "iqn.2026-11.node", "--ip", "10.0.0.1")
    shell.call("attachment-complete", attachment)
    shell.properties("attachment-show", attachment, volume_id=volume, status="attached")
    shell.properties("show", volume, status="in-use")
    shell.call("attachment-delete", attachment)
    shell.becomes("show", volume, "available")
    shell.call("delete", volume)
    shell.gone("list", volume)


def types(shell):
    created = shell.rows(
        "type-create",
        "fast",
        "--description",
        "d",
        "--is-public",
        "false",
        wanted={"Name": "fast", "Is_Public": "False"},
    )
    identifier = created[0]["ID"]
    shell.rows("type-list", wanted={"ID": identifier, "Name": "fast"})
    shell.rows("type-update", identifier, "--name", "faster", wanted={"Name": "faster"})
    shell.call("type-key", "faster", "set", "volume_backend_name=b")
    shell.rows("extra-specs-list", wanted={"Name": "faster", "extra_specs": "{'volume_backend_name': 'b'}"})
    shell.properties("type-show", "faster", extra_specs="volume_backend_name : b")
    shell.call("type-key", "faster", "unset", "volume_backend_name")
    shell.call("type-access-add", "--volume-type", "faster", "--project-id", shell.project)
    shell.rows(
        "type-access-list",
        "--volume-type",
        "faster",
        wanted={"Volume_type_ID": identifier, "Project_ID": shell.project},
    )
    volume = shell.volume("1", "--volume-type", "faster", volume_type="faster")
    shell.call("retype", volume, "lvmdriver-1")
    shell.call("delete", volume)
    shell.gone("list", volume)
    shell.call("type-access-remove", "--volume-type", "faster", "--project-id", shell.project)
    shell.rows("type-default", wanted={"Name": "lvmdriver-1"})
    shell.call("default-type-set", "lvmdriver-1", shell.project)
    shell.rows("default-type-list")
    shell.call("default-type-unset", shell.project)
    shell.rows("encryption-type-create", "faster", "luks", wanted={"Provider": "luks"})
    shell.rows("encryption-type-list")
    shell.rows("encryption-type-show", "faster")
    shell.call("encryption-type-update", "faster", "--cipher", "aes")
    shell.call("encryption-type-delete", "faster")
    shell.rows("qos-list")
    qos = shell.properties("qos-create", "q", "a=1", name="q").get("id", str(uuid.uuid4()))
    shell.properties("qos-show", qos)
    shell.call("qos-key", qos, "set", "b=2")
    shell.call("qos-associate", qos, identifier)
    shell.call("qos-get-association", qos)
    shell.call("qos-disassociate", qos, identifier)
    shell.call("qos-disassociate-all", qos)
    shell.call("qos-delete", qos)
    shell.call("type-delete", "faster")


def services(shell):
    [service] = shell.rows("service-list", "--binary", "cinder-volume", wanted={"Status": "enabled", "State": "up"})
    host = service["Host"]
    shell.rows("availability-zone-list", wanted={"Name": service["Zone"], "Status": "available"})
    shell.rows(
        "service-disable", host, "cinder-volume", "--reason", "test", wanted={"Host": host, "Status": "disabled"}
    )
    shell.rows("service-list", "--binary", "cinder-volume", "--withreplication", wanted={"Status": "disabled"})
    shell.rows("service-enable", host, "cinder-volume", wanted={"Host": host, "Status": "enabled"})
    shell.call("freeze-host", host)
    shell.call("thaw-host", host)
    pools = shell.properties("get-pools", "--detail")
    if not pools.get("name", "").startswith(host):
        shell.fail("get-pools", f"{host} has no pool: {pools}")
    shell.rows("get-capabilities", host)
    shell.call("failover-host", host, "--backend_id", "other")
    shell.rows("service-get-log", "--binary", "cinder-volume")
    shell.call("service-set-log", "DEBUG")
    shell.call("work-cleanup", "--host", host)
    shell.rows("list-filters", wanted={"Resource": "volume"})
    shell.rows("list-extensions", wanted={"Alias": "os-types-manage"})
    shell.rows("cluster-list")
    shell.rows("cluster-show", "c")
    shell.rows("cluster-enable", "c")
    shell.rows("cluster-disable", "c")
    shell.rows("api-version", wanted={"ID": "v3.0", "Status": "CURRENT", "Version": "3.71", "Min_version": "3.0"})
    shell.rows("version-list", wanted={"Version": "3.71"})
    volume = shell.volume("1")
    shell.rows("manageable-list", host)
    shell.properties("manage", host, "source-name")
    shell.call("unmanage", volume)
    shell.call("migrate", volume, f"{host}-other")
    shell.call("reimage", volume, str(uuid.uuid4()))
    shell.properties("upload-to-image", volume, "image")
    shell.call("delete", volume)


def quotas(shell):
    shell.rows("absolute-limits", wanted={"Name": "maxTotalSnapshots", "Value": "10"})
    shell.rows("rate-limits")
    shell.properties("quota-defaults", shell.project, snapshots=10)
    shell.properties("quota-update", shell.project, "--snapshots", "7", snapshots=7)
    shell.properties("quota-show", shell.project, snapshots=7)
    shell.rows("quota-usage", shell.project, wanted={"Type": "snapshots", "In_use": "0", "Limit": "7"})
    shell.call("quota-delete", shell.project)
    shell.properties("quota-show", shell.project, snapshots=10)
    shell.properties("quota-class-show", "default")
    shell.properties("quota-class-update", "default", "--snapshots", "9")


def messages(shell):
    # Without an enabled service no backend can hold a volume, and a message says so.
    [service] = shell.rows("service-list", "--binary", "cinder-volume")
    shell.call("service-disable", service["Host"], "cinder-volume")
    volume = shell.properties("create", "1").get("id", "")
    shell.becomes("show", volume, "error")
    shell.call("service-enable", service["Host"], "cinder-volume")
    # The next tick writes the message.
    end = time.monotonic() + PATIENCE
    while not shell.rows("message-list") and time.monotonic() < end:
        time.sleep(0.2)
    rows = shell.rows("message-list", wanted={"Resource Type": "VOLUME", "Resource UUID": volume})
    message = rows[0]["ID"] if rows else str(uuid.uuid4())
    shell.properties("message-show", message, resource_uuid=volume)
    shell.call("message-delete", message)
    shell.gone("message-list", message)
    shell.call("force-delete", volume)


def transfers(shell):
    volume = shell.volume("1")
    created = shell.properties("transfer-create", volume, "--name", "t", name="t", volume_id=volume)
    transfer = created.get("id", str(uuid.uuid4()))
    shell.rows("transfer-list")
    shell.properties("transfer-show", transfer)
    shell.properties("transfer-accept", transfer, created.get("auth_key", "k"))
    again = shell.properties("transfer-create", volume).get("id", str(uuid.uuid4()))
    shell.call("transfer-delete", again)
    shell.call("delete", volume)


def groups(shell):
    rows = shell.rows("group-type-create", "gt")
    shell.rows("group-type-list")
    shell.rows("group-type-default")
    kind = rows[0]["ID"] if rows else str(uuid.uuid4())
    shell.call("group-type-key", kind, "set", "consistent_group_snapshot_enabled=<is> True")
    shell.properties("group-type-show", kind, name="gt")
    shell.rows("group-type-update", kind, "--name", "gu", wanted={"Name": "gu"})
    shell.rows("group-specs-list")
    group = shell.properties("group-create", kind, "lvmdriver-1", "--name", "g", name="g").get("id", str(uuid.uuid4()))
    shell.rows("group-list")
    shell.becomes_available_if("group-show", group, "group-create")
    shell.call("group-update", group, "--name", "h")
    volume = shell.volume(
        "1", "--volume-type", "lvmdriver-1", *(["--group-id", group] if shell.passes("group-create") else [])
    )
    made = shell.properties("group-snapshot-create", group, "--name", "gs").get("id", str(uuid.uuid4()))
    shell.rows("group-snapshot-list")
    shell.becomes_available_if("group-snapshot-show", made, "group-snapshot-create")
    copy = shell.properties("group-create-from-src", "--group-snapshot", made, "--name", "copy").get(
        "id", str(uuid.uuid4())
    )
    for command in (
        "group-enable-replication",
        "group-list-replication-targets",
        "group-failover-replication",
        "group-disable-replication",
    ):
        shell.call(command, group)
    if shell.passes("group-create-from-src"):
        shell.becomes("group-show", copy, "available")
        shell.call("group-delete", "--delete-volumes", copy)
    shell.call("group-snapshot-delete", made)
    if shell.passes("group-snapshot-delete"):
        shell.gone("group-snapshot-list", made)
    shell.call("group-delete", "--delete-volumes", group)
    if shell.passes("group-delete"):
        shell.gone("group-list", group)
        shell.gone("group-list", copy)
    else:
        shell.call("delete", volume)
    shell.call("group-type-delete", kind)
    shell.rows("consisgroup-list")
    shell.rows("cgsnapshot-list")
    absent = str(uuid.uuid4())
    shell.properties("consisgroup-create", "lvmdriver-1")
    shell.properties("consisgroup-create-from-src", "--cgsnapshot", absent)
    for command in (
        "consisgroup-show",
        "consisgroup-delete",
        "cgsnapshot-create",
        "cgsnapshot-show",
        "cgsnapshot-delete",
    ):
        shell.call(command, absent)
    shell.call("consisgroup-update", absent, "--name", "n")


def backups(shell):
    volume = shell.volume("1")
    backup = shell.properties("backup-create", volume, "--name", "b", volume_id=volume).get("id", str(uuid.uuid4()))
    shell.rows("backup-list")
    shell.becomes_available_if("backup-show", backup, "backup-create")
    shell.properties("backup-update", backup, "--name", "c")
    shell.call("backup-reset-state", "--state", "available", backup)
    shell.properties("backup-restore", backup, "--volume", volume)
    shell.becomes("show", volume, "available")
    shell.becomes_available_if("backup-show", backup, "backup-create")
    record = shell.properties("backup-export", backup)
    shell.call("backup-delete", backup)
    if shell.passes("backup-delete"):
        shell.gone("backup-list", backup)
    imported = shell.properties("backup-import", record.get("backup_service", "s"), record.get("backup_url", "u"))
    shell.becomes_available_if("backup-show", imported.get("id", ""), "backup-import")
    shell.call("delete", volume)


SCENARIOS = [volumes, snapshots, attachments, types, services, quotas, messages, transfers, groups, backups]


def shell_results(cloud):
    """Returns the result of each command that `cinder help` lists."""
    # It needs the packages of the environment, in which the program runs only now.
    from terminal import Terminal

    with Terminal() as terminal:
        shell = Shell(terminal, cloud)
        for scenario in SCENARIOS:
            ran = set(shell.results)
            print(f"Calling the commands of {scenario.__name__}", flush=True)
            try:
                scenario(shell)
            except Exception as error:
                # The commands after a failed step are missing in the results, or wrong, so they count as failed.
                for command in set(shell.results) - ran:
                    shell.fail(command, f"{scenario.__name__} ended early: {error!r}")
        text = shell.call("help").output
        shell.call("bash-completion")
    commands = re.findall(r"^    ([a-z][a-z-]+)(?: |$)", text, re.MULTILINE)
    return {
        command: shell.results.get(command, (suite.SKIPPED, "never called")) for command in [*commands, *shell.results]
    }


def main():
    suite.with_keystone_packages()
    python = suite.install("clients")
    import devstack
    import unittests

    with devstack.DevStack(suite.program()) as cloud:
        results = {f"cinder {command}": result for command, result in shell_results(cloud).items()}
        for test, (how, said) in results.items():
            print(f"{how:7} {test} {said}", flush=True)
        programs = {"OS_CINDERCLIENT_EXEC_DIR": os.path.dirname(python)}
        variables = cloud.variables("admin", "admin") | programs
        ran = unittests.run(python, TESTS, cloud.directory, variables)
    prefix = f"{TESTS[0]}."
    suite.judge("cinderclient", VERSION, results | {test.removeprefix(prefix): result for test, result in ran.items()})


if __name__ == "__main__":
    main()
