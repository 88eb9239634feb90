"""Runs all checks: suite.py <program of the embedded host>. `check.py` runs it in an environment that has the clients.

Scenarios run one after the other in a lane. Each lane has its own app and terminal, and all lanes run at the same time.
"""

import contextlib
import os
import pathlib
import signal
import sys
import threading
import time

import cinder_checks
import door_checks
import keystone_checks
import openstack_checks
import sdk_checks
import signin_checks
from caller import with_keystone, without_keystone
from host import App
from identity import USERS, WITH_PROJECT, WITHOUT_PROJECT, Keystone
from report import Report, Section
from terminal import Terminal

LEAST_CHECKS = 90
# Long enough to see the transient status, and short enough not to wait long for its end.
DELAYS = {"create_seconds": "1", "delete_seconds": "1"}
CLIENTS = [("openstack", openstack_checks), ("cinder", cinder_checks), ("sdk", sdk_checks)]
PROJECT = "a1000000000000000000000000000001"


def run_lane(report, app, scenarios):
    """Runs scenarios, each with an empty app. A scenario that fails does not stop the others."""
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


def scenarios_of_clients(title, caller):
    return [
        (f"{title}, {client}, {scenario.__name__}", scenario, [caller])
        for client, module in CLIENTS
        for scenario in module.SCENARIOS
    ]


def scenarios_of_people(people, keystone, start):
    """Returns the scenarios on permissions, catalogs without a project in the URL, and an unavailable Keystone."""
    scenarios = [
        (f"keystone, {scenario.__name__}", scenario, [people, keystone]) for scenario in keystone_checks.SCENARIOS
    ]
    scenarios += [
        (f"keystone without a project in the URL, {client}, life", module.life, [people["admin"]])
        for client, module in CLIENTS
    ]
    lonely = keystone_checks.without_a_keystone
    return [*scenarios, ("keystone, without a Keystone", lonely, [people, keystone, start])]


def main():
    program = pathlib.Path(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    report = Report()
    with contextlib.ExitStack() as stack:
        keystone = stack.enter_context(Keystone())
        variables = DELAYS | keystone.variables() | {"keystone_cache_seconds": "1"}
        # Pages of three, so that clients must follow links even if they did not ask for pages.
        open_app = stack.enter_context(App(program, DELAYS | {"max_limit": "3"}))
        app = stack.enter_context(App(program, variables))
        other_app = stack.enter_context(App(program, variables))
        signin_app = stack.enter_context(App(program, DELAYS | signin_checks.VARIABLES))
        keystone.add_to_catalog(
            {WITH_PROJECT: f"{app.base}/v3/%(project_id)s", WITHOUT_PROJECT: f"{other_app.base}/v3"}
        )
        terminals = [stack.enter_context(Terminal()) for _ in range(4)]
        nobody = without_keystone(terminals[0], open_app.base, PROJECT)
        admin = with_keystone(terminals[1], keystone, WITH_PROJECT, "admin", "alpha")
        people = {
            user: with_keystone(terminals[2], keystone, WITHOUT_PROJECT, user, project) for user, project, _ in USERS
        }
        doors = [(f"noauth, {scenario.__name__}", scenario, [nobody]) for scenario in door_checks.SCENARIOS]
        signin = [(f"signing in, {scenario.__name__}", scenario, [terminals[3]]) for scenario in signin_checks.SCENARIOS]
        lanes = [
            (open_app, [*scenarios_of_clients("noauth", nobody), *doors]),
            (app, scenarios_of_clients("keystone", admin)),
            (other_app, scenarios_of_people(people, keystone, lambda more: App(program, variables | more))),
            (signin_app, signin),
        ]
        threads = [threading.Thread(target=run_lane, args=(report, *lane), daemon=True) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if report.failures:
            for each, _ in lanes:
                print(f"\nThe app at {each.base} wrote: {each.wrote()[-4000:]}")
            print(f"\nKeystone wrote: {keystone.wrote()[-4000:]}")

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
