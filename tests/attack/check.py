#!/usr/bin/env python3
"""Attacks the running component: tests/attack/check.py <program of the embedded host> [--long]

`make attack` builds what it needs and runs the long form. CI runs the short one, which takes less than two minutes and
leaves out the scenarios that need minutes or root. Each scenario starts its own host. The command fails if anything is
not as expected. What this machine cannot run is named.

ATTACK_ONLY=<part of a scenario's name> runs only the matching scenarios.
"""

import os
import pathlib
import signal
import sys
import time

sys.dont_write_bytecode = True

import clocks
import disk
import documents
import growth
import load
import peers
import tenants
import tokens
import wire
from host import Host
from report import Report

SUBJECTS = [tenants, tokens, wire, documents, peers, load, disk, clocks, growth]


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--long"]):
        sys.exit("attack: usage: tests/attack/check.py <program of the embedded host> [--long]")
    Host.program = pathlib.Path(sys.argv[1]).resolve()
    is_long, only = sys.argv[2:] == ["--long"], os.environ.get("ATTACK_ONLY", "")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started, report = time.monotonic(), Report()
    for subject in SUBJECTS:
        for scenario in subject.SCENARIOS + (subject.LONG_SCENARIOS if is_long else []):
            report.scenario = f"{subject.__name__}, {scenario.__name__.replace('_', ' ')}"
            if only not in report.scenario:
                continue
            begin = time.monotonic()
            try:
                scenario(report, is_long)
            except Exception:
                report.broken()
            print(f"          {report.scenario}: {time.monotonic() - begin:.0f} seconds", flush=True)

    print()
    for failure in report.failures:
        print(f"FAILED    {failure}")
    print(f"{time.monotonic() - started:.0f} seconds, {len(report.left_out)} left out")
    print(f"{report.passed} passed, {len(report.failures)} failed")
    sys.exit(1 if report.failures or not report.passed else 0)


if __name__ == "__main__":
    main()
