"""Counts checks and prints what each came to."""

import re
import threading
import traceback


class Report:
    """All checks of a run; threads share it."""

    def __init__(self):
        self.passed = 0
        self.failures = []
        self.lock = threading.Lock()

    def add(self, name, passed, explanation=""):
        with self.lock:
            if passed:
                self.passed += 1
                print(f"ok      {name}", flush=True)
            else:
                text = f"FAILED  {name}\n{explanation}"
                self.failures.append(text)
                print(text, flush=True)


# How the name of a check begins that goes on with the sentence of an earlier one.
CONTINUATIONS = (
    "and",
    "after",
    "but",
    "for",
    "nor",
    "not",
    "or",
    "so",
    "unless",
    "which",
    "with",
    "without",
    "the known",
)


class Section:
    """The checks of one scenario. Its name begins the name of each of them, since lanes print at the same time."""

    def __init__(self, report, name):
        self.report = report
        self.name = name
        self.sentence = ""

    def full(self, name):
        """The name with what it goes on from, so that it can be understood alone."""
        if name.startswith(tuple(f"{word} " for word in CONTINUATIONS)):
            return f"{self.name}: {self.sentence}, {name}"
        self.sentence = name
        return f"{self.name}: {name}"

    def equal(self, name, actual, expected):
        explanation = f"        expected: {expected!r}\n        came:     {actual!r}"
        self.report.add(self.full(name), actual == expected, explanation)

    def matches(self, name, actual, pattern):
        """For texts with ids in them; a pattern matches the whole text, whatever its line breaks."""
        text = " ".join(str(actual).split())
        explanation = f"        expected: a text like {pattern!r}\n        came:     {text!r}"
        self.report.add(self.full(name), re.fullmatch(pattern, text) is not None, explanation)

    def broken(self):
        """Called while an exception is handled: the scenario could not go on, which is a failure of its own."""
        lines = traceback.format_exc().strip().splitlines()
        explanation = "\n".join(f"        {line}" for line in lines)
        self.report.add(f"{self.name}: comes to its end", False, explanation)
