"""Runs gophercloud's own acceptance tests against the component: gophercloud.py <program of the embedded host> <checkout>

These are the tests that gophercloud's developers run against a real OpenStack, unchanged. `LEFT_OUT` lists those that
need more than this service has. `make gophercloud` runs this program in the environment of the other clients,
because it needs their Keystone. Go downloads the dependencies of the checkout by itself.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

from host import App
from identity import WITH_PROJECT, Keystone

PACKAGE = "./internal/acceptance/openstack/blockstorage"
# Each test is named, so that a test that gophercloud renames or removes is reported as missing.
WITHOUT_KEYSTONE = {
    "noauth": ["TestSnapshotsCreateDelete", "TestSnapshotsList", "TestVolumesCreateDestroy", "TestVolumesList"],
}
BY_KEYSTONE = {
    "": ["TestAPIVersionsGet", "TestAPIVersionsList"],
    "v3": [
        "TestBackupsCRUD",
        "TestBackupsResetStatus",
        "TestLimits",
        "TestQuotasetDelete",
        "TestQuotasetGet",
        "TestQuotasetGetDefaults",
        "TestQuotasetGetUsage",
        "TestQuotasetUpdate",
        "TestSchedulerHints",
        "TestSchedulerStatsList",
        "TestServicesList",
        "TestSnapshots",
        "TestSnapshotsForceDelete",
        "TestSnapshotsResetStatus",
        "TestSnapshotsUpdateStatus",
        "TestVolumeActionsExtendSize",
        "TestVolumeActionsImageMetadata",
        "TestVolumeActionsReserveUnreserve",
        "TestVolumeActionsResetStatus",
        "TestVolumeActionsSetBootable",
        "TestVolumeTenants",
        "TestVolumeTypesAccess",
        "TestVolumeTypesCRUD",
        "TestVolumeTypesExtraSpecs",
        "TestVolumes",
        "TestVolumesCascadeDelete",
        "TestVolumesMultiAttach",
    ],
}
# The other tests of the package, which are run too: one that passes belongs above.
LEFT_OUT = {
    "TestBackupsForceDelete": "expects a driver that can; the recorded one, like ours, answers 405",
    "TestEncryptionVolumeTypes": "needs encryption, which is not offered",
    "TestManageableVolumes": "needs volumes that can be managed, which are not offered",
    "TestQoS": "needs QoS, which is not offered",
    "TestQoSAssociations": "needs QoS, which is not offered",
    "TestVolumeActionsAttachCreateDestroy": "needs Nova",
    "TestVolumeActionsChangeType": "needs retyping, which is not offered",
    "TestVolumeActionsReImage": "needs Glance",
    "TestVolumeActionsUploadImageDestroy": "needs Glance",
    "TestVolumeAttachments": "needs Nova",
}


def failures(checkout, title, packages, environment):
    """Runs the packages one after the other, prints a line for each test, and returns the output of failed tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    wrong = []
    for package, tests in packages.items():
        tests = [*tests, *LEFT_OUT] if package == "v3" else tests
        pattern = f"^({'|'.join(tests)})$"
        command = ["go", "test", "-json", "-count=1", "-tags=acceptance", "-run", pattern, f"{PACKAGE}/{package}"]
        done = subprocess.run(
            command, cwd=checkout, env=kept | environment, capture_output=True, text=True, check=False
        )
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        for test in tests:
            of_it = [event for event in events if event.get("Test") == test]
            ended = [event["Action"] for event in of_it if event["Action"] in ("pass", "fail", "skip")]
            how = ended[0] if ended else "missing"
            reason = LEFT_OUT.get(test)
            print(f"{how:7} {title}: {test}{f', which {reason}' if reason else ''}", flush=True)
            if how != ("fail" if reason else "pass"):
                wrong += [f"{title}: {test}: {how}\n", *(event.get("Output", "") for event in of_it)]
        if any("missing" in line for line in wrong):
            # Output that belongs to no test says why the build or a download failed.
            wrong += [event.get("Output", "") for event in events if "Test" not in event]
            wrong.append(f"{done.stderr}{title}: `{' '.join(command)}` ended with {done.returncode}\n")
    return wrong


def main():
    program, checkout = (pathlib.Path(argument) for argument in sys.argv[1:])
    delays = {"create_seconds": "1", "delete_seconds": "1"}
    with contextlib.ExitStack() as stack:
        open_app = stack.enter_context(App(program, delays))
        nobody = {
            "CINDER_ENDPOINT": f"{open_app.base}/v3",
            "OS_USERNAME": "admin",
            "OS_TENANT_NAME": "a1000000000000000000000000000001",
        }
        wrong = failures(checkout, "noauth", WITHOUT_KEYSTONE, nobody)
        keystone = stack.enter_context(Keystone())
        app = stack.enter_context(App(program, delays | keystone.variables()))
        keystone.add_to_catalog({WITH_PROJECT: f"{app.base}/v3/%(project_id)s"})
        admin = {
            "OS_AUTH_URL": keystone.url,
            "OS_USERNAME": "admin",
            "OS_PASSWORD": keystone.passwords["admin"],
            "OS_PROJECT_NAME": "alpha",
            "OS_DOMAIN_ID": "default",
            "OS_REGION_NAME": WITH_PROJECT,
        }
        wrong += failures(checkout, "keystone", BY_KEYSTONE, admin)
        if wrong:
            print("".join(wrong))
            print(
                f"Without Keystone the app wrote: {open_app.wrote()}\nWith Keystone: {app.wrote()}\n{keystone.wrote()[-4000:]}"
            )
    number = sum(len(tests) for packages in (WITHOUT_KEYSTONE, BY_KEYSTONE) for tests in packages.values())
    outcome = "some did not pass" if wrong else "all passed"
    print(f"{number} of {number + len(LEFT_OUT)} tests of gophercloud, {outcome}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
