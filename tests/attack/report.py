"""Counts checks and prints the result of each."""

import traceback


class Report:
    """All checks of a run."""

    def __init__(self):
        self.passed = 0
        self.failures = []
        self.left_out = []
        self.scenario = ""

    def check(self, name, passed, explanation=""):
        name = f"{self.scenario}: {name}"
        if passed:
            self.passed += 1
            print(f"ok        {name}", flush=True)
        else:
            self.failures.append(name)
            print(f"FAILED    {name}\n            {explanation}", flush=True)

    def equal(self, name, actual, expected):
        self.check(name, actual == expected, f"expected {expected!r}, came {actual!r}")

    def one_of(self, name, actual, expected):
        self.check(name, actual in expected, f"expected one of {expected!r}, came {actual!r}")

    def at_most(self, name, actual, bound):
        self.check(name, actual <= bound, f"expected at most {bound}, came {actual}")

    def none(self, name, found):
        """Checks that a list of surprises is empty."""
        shown = "\n            ".join(str(one) for one in list(found)[:8])
        self.check(name, not found, f"{len(found)} surprises:\n            {shown}")

    def leave_out(self, name, reason):
        """Reports a check that this machine cannot run."""
        self.left_out.append(f"{self.scenario}: {name}")
        print(f"left out  {self.scenario}: {name}: {reason}", flush=True)

    def broken(self):
        """Reports that an exception ended the scenario. Must be called while the exception is handled."""
        lines = traceback.format_exc().strip().splitlines()
        self.check("comes to its end", False, "\n            ".join(lines))
