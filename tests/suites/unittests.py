"""Runs the unit tests that an installed package contains, in the environment of the suite, and returns their results.

As a program, `unittests.py <module or package>...`, it runs in that environment, and prints a line of JSON for each test.
"""

import json
import os
import pathlib
import subprocess
import sys
import unittest

MARK = "suites: "


def run(python, modules, directory, variables):
    """Runs the tests of the modules in `directory`, and returns the result of each as `suite.judge` wants it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PYTHON"))}
    # The tests call the programs of the suite's environment by their names.
    path = f"{pathlib.Path(python).parent}{os.pathsep}{kept['PATH']}"
    environment = kept | {"PATH": path, "PYTHONWARNINGS": "ignore"} | variables
    command = [python, __file__, *modules]
    results = {}
    with (
        open(directory / "errors", "w+b") as errors,
        subprocess.Popen(
            command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as runner,
    ):
        for line in runner.stdout:
            if line.startswith(MARK):
                test, how, said = json.loads(line.removeprefix(MARK))
                print(f"{how:7} {test}", flush=True)
                results[test] = (how, said)
    if runner.returncode != 0:
        said = (directory / "errors").read_text(errors="replace").strip()
        raise RuntimeError(f"the tests of {' '.join(modules)} ended with {runner.returncode}: {said[-2000:]}")
    return results


class Results(unittest.TestResult):
    """Prints the result of each test when it is known, and what failed before a class of tests or after a test."""

    def __init__(self, report):
        super().__init__()
        self.report = report

    def addSuccess(self, test):
        self.report(test, "passed", "")

    def addError(self, test, err):
        self.report(test, "failed", self._exc_info_to_string(err, test))

    addFailure = addError

    def addSkip(self, test, reason):
        self.report(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self.report(test, "passed", "")

    def addUnexpectedSuccess(self, test):
        self.report(test, "failed", "it should fail")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addError(test, err)


def tests_of(suite):
    for each in suite:
        yield from tests_of(each) if isinstance(each, unittest.TestSuite) else [each]


def main():
    # The suites here have the names of the packages that they test.
    here = pathlib.Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if pathlib.Path(path).resolve() != here]
    loader = unittest.TestLoader()
    suites = unittest.TestSuite()
    for name in sys.argv[1:]:
        module = __import__(name, fromlist=["__path__"])
        if hasattr(module, "__path__"):
            top = pathlib.Path(module.__path__[0]).parents[name.count(".")]
            suites.addTests(loader.discover(module.__path__[0], top_level_dir=str(top)))
        else:
            suites.addTests(loader.loadTestsFromModule(module))
    if loader.errors:
        sys.exit("\n".join(loader.errors))
    known = {test.id(): type(test) for test in tests_of(suites)}
    output = os.fdopen(os.dup(1), "w")
    # What the tests print would be mixed with the results.
    os.dup2(2, 1)
    ended = {}

    def report(test, how, said):
        # Not a test, if setUpClass or tearDownClass of its class failed: `setUpClass (module.Class)`.
        name = test.id()
        named = (
            [name]
            if name in known
            else [each for each, kind in known.items() if f"({kind.__module__}.{kind.__qualname__})" in name]
        )
        for each in named or [name]:
            # A test that failed has failed, though its cleanup may be reported later.
            if ended.get(each) != "failed":
                ended[each] = how
                lines = [line for line in said.strip().splitlines() if line.strip()]
                output.write(f"{MARK}{json.dumps([each, how, ' | '.join(lines[-12:])])}\n")
                output.flush()

    suites.run(Results(report))
    for name in known:
        if name not in ended:
            output.write(f"{MARK}{json.dumps([name, 'failed', 'it gave no result'])}\n")
    output.flush()


if __name__ == "__main__":
    main()
