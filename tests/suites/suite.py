"""Starts what a suite of others needs and judges its results. As a program, it runs all suites and prints their table.

A suite is a program `tests/suites/NAME.py <program of the embedded host>`. It runs the tests of another project, unchanged,
and gives their results to `judge`. `tests/suites/NAME-left-out.txt` lists the tests that are not expected to pass, each as
`<test> - <reason>`; lines that begin with # are comments. Every test must either pass or be in that list.
A reason that begins with `sometimes` is for a test whose result depends on when it runs.

SUITE_ONLY=<regular expression> runs only the matching tests of a suite that reads it.
"""

import hashlib
import importlib
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CLIENTS = HERE.parent / "clients"
ENVIRONMENTS = ROOT / "target/suites"
# These are no suites, except for Horizon, which needs a browser, so it has a target of its own.
NOT_IN_TABLE = {"suite", "devstack", "dev_identity", "unittests", "horizon"}
# Our modules that start servers. They come last, so that no module there hides one of a suite.
sys.path.append(str(CLIENTS))

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


def with_keystone_packages():
    """Continues this program in the environment of `make clients`, which has the packages that `identity` needs."""
    check = importlib.import_module("check")
    check.install()
    wanted = check.ENVIRONMENT / "bin/python"
    if pathlib.Path(sys.prefix) != check.ENVIRONMENT:
        os.execve(wanted, [str(wanted), *sys.argv], os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})


def install(name, *packages):
    """Returns the Python of `target/suites/NAME`, an environment with `NAME-requirements.txt` and the given packages."""
    directory = ENVIRONMENTS / name
    pins = HERE / f"{name}-requirements.txt"
    arguments = [*packages, *(["--requirement", str(pins)] if pins.exists() else [])]
    content = pins.read_bytes() if pins.exists() else b""
    wanted = f"{sys.version_info[:2]} {' '.join(packages)} {hashlib.sha256(content).hexdigest()}"
    made_from = directory / "made-from"
    if not made_from.exists() or made_from.read_text() != wanted:
        print(f"Installing {name} into target/suites/{name}", flush=True)
        # The interpreter of an environment cannot make another one with pip in it on every system.
        base = pathlib.Path(sys.base_prefix) / "bin/python3"
        subprocess.run([base if base.exists() else sys.executable, "-m", "venv", "--clear", directory], check=True)
        pip = [directory / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, *arguments], check=True)
        made_from.write_text(wanted)
    return directory / "bin/python"


def program():
    """Returns the program of the embedded host, the only argument of a suite."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} <program of the embedded host>")
    return pathlib.Path(sys.argv[1]).resolve()


def left_out(name):
    """Returns the tests that are not expected to pass, each with its reason."""
    path = HERE / f"{name}-left-out.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    tests = {}
    for line in filter(None, (line.strip() for line in lines)):
        if line.startswith("#"):
            continue
        test, separator, reason = line.partition(" - ")
        if not separator or not reason:
            sys.exit(f"{path.name}: no reason in the line: {line}")
        if test in tests:
            sys.exit(f"{path.name}: listed twice: {test}")
        tests[test] = reason
    return tests


def judge(name, version, results):
    """Prints the row of a suite, with a line for each surprise before it, and ends the program.

    `results` has a pair for each test of the suite: PASSED, FAILED, or SKIPPED, and what the suite says of it. A test that
    does not pass must be listed, and a listed test must neither pass nor be missing.
    """
    listed = left_out(name)
    if "SUITE_ONLY" in os.environ:
        listed = {test: reason for test, reason in listed.items() if test in results}
    surprises = []
    for test, (how, said) in sorted(results.items()):
        if how == PASSED and test in listed and not listed[test].startswith("sometimes "):
            surprises.append(f"{test} passed, but it is left out: {listed[test]}")
        elif how != PASSED and test not in listed:
            surprises.append(f"{test} {how}: {said}")
    surprises += [f"{test} is left out, but the suite has no such test" for test in sorted(listed.keys() - results.keys())]
    for surprise in surprises:
        print(surprise)
    passed = sum(how == PASSED for how, _ in results.values())
    ran = sum(how != SKIPPED for how, _ in results.values())
    print(f"| {name} {version} | {ran} | {passed} | {len(listed)} |", flush=True)
    sys.exit(1 if surprises or not passed else 0)


def main():
    """Runs all suites one after the other. One that fails does not stop the others."""
    host = program()
    rows, failed = [], []
    for path in sorted(HERE.glob("*.py")):
        if path.stem in NOT_IN_TABLE:
            continue
        print(f"Running {path.stem}", flush=True)
        with subprocess.Popen([sys.executable, path, host], stdout=subprocess.PIPE, text=True) as suite:
            for line in suite.stdout:
                print(line, end="", flush=True)
                if line.startswith("| "):
                    rows.append(line)
        if suite.returncode != 0:
            failed.append(path.stem)
    print("\n| Suite | Run | Passed | Left out |\n| --- | --- | --- | --- |")
    print("".join(rows), end="")
    sys.exit(f"These suites failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
