#!/usr/bin/env python3
"""Runs openstackclient's own functional tests of block storage, which its package contains, with a Keystone."""

import suite

VERSION = "10.5.0"
TESTS = ["openstackclient.tests.functional.volume.v3"]


def main():
    suite.with_keystone_packages()
    python = suite.install("clients")
    import devstack
    import unittests

    with devstack.DevStack(suite.program()) as cloud:
        results = unittests.run(python, TESTS, cloud.directory, {})
    prefix = f"{TESTS[0]}."
    suite.judge("openstackclient", VERSION, {test.removeprefix(prefix): result for test, result in results.items()})


if __name__ == "__main__":
    main()
