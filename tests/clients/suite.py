"""Runs all checks: suite.py <program of the embedded host>. `check.py` runs it in an environment that has the clients.

Scenarios run one after the other in a lane; a lane has an app and a terminal of its own, and lanes run at the same time.
"""

import contextlib
import os
import pathlib
import signal
import sys
import threading
import time

import cinder_checks
import openstack_checks
import sdk_checks
from caller import without_keystone
from host import App
from report import Report, Section
from terminal import Terminal

LEAST_CHECKS = 90
# How long anything takes, so that a status that changes by itself is seen, but not waited for long.
DELAYS = {"create_seconds": "1", "delete_seconds": "1"}
CLIENTS = [("openstack", openstack_checks), ("cinder", cinder_checks), ("sdk", sdk_checks)]
PROJECT = "a1000000000000000000000000000001"


def run_lane(report, app, scenarios):
    """Each scenario begins with an empty app. One that cannot go on does not keep the others from running."""
    only = os.environ.get("CLIENTS_ONLY", "")
    for name, scenario, callers in scenarios:
        if only not in name:
            continue
        section = Section(report, name)
        try:
            app.empty()
            scenario(section, app, *callers)
        except Exception:
            section.broken()


def scenarios_without_keystone(app, terminal):
    caller = without_keystone(terminal, app.base, PROJECT)
    return [
        (f"noauth, {client}, {scenario.__name__}", scenario, [caller])
        for client, module in CLIENTS
        for scenario in module.SCENARIOS
    ]


def main():
    program = pathlib.Path(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    report = Report()
    with contextlib.ExitStack() as stack:
        # Pages of three, so that clients have to follow links where nobody asked for pages.
        app = stack.enter_context(App(program, DELAYS | {"max_limit": "3"}))
        lanes = [(app, scenarios_without_keystone(app, stack.enter_context(Terminal())))]
        threads = [threading.Thread(target=run_lane, args=(report, *lane)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if report.failures:
            for app, _ in lanes:
                print(f"\nThe app at {app.base} wrote: {app.wrote()[-4000:]}")

    print()
    for failure in report.failures:
        print(failure)
    few = report.passed + len(report.failures) < LEAST_CHECKS and "CLIENTS_ONLY" not in os.environ
    if few:
        print(f"these are fewer than {LEAST_CHECKS} checks")
    print(f"{time.monotonic() - started:.0f} seconds")
    print(f"{report.passed} passed, {len(report.failures)} failed")
    sys.exit(1 if report.failures or few else 0)


if __name__ == "__main__":
    main()
