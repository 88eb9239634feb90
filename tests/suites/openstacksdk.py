#!/usr/bin/env python3
"""Runs openstacksdk's own functional tests of block storage, which its package contains, with a Keystone."""

import suite

VERSION = "4.22.0"
FUNCTIONAL = "openstack.tests.functional"
TESTS = [f"{FUNCTIONAL}.block_storage.v3", f"{FUNCTIONAL}.cloud.test_block_storage"]


def main():
    suite.with_keystone_packages()
    python = suite.install("clients")
    import devstack
    import unittests

    with devstack.DevStack(suite.program()) as cloud:
        # The timeout of each test in seconds, as in the tox.ini of openstacksdk.
        results = unittests.run(python, TESTS, cloud.directory, {"OS_TEST_TIMEOUT": "600"})
    prefix = f"{FUNCTIONAL}."
    suite.judge("openstacksdk", VERSION, {test.removeprefix(prefix): result for test, result in results.items()})


if __name__ == "__main__":
    main()
