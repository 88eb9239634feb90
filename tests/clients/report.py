"""Counts checks and prints the result of each."""

import re
import threading
import traceback


class Report:
    """All checks of a run. Threads share it."""

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


# The first words of a name that continues the sentence of an earlier check.
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
    """The checks of one scenario. Each name starts with that of the scenario, since lanes print at the same time."""

    def __init__(self, report, name):
        self.report = report
        self.name = name
        self.sentence = ""

    def full(self, name):
        """Returns the name with the sentence that it continues, so that it can be understood on its own."""
        if name.startswith(tuple(f"{word} " for word in CONTINUATIONS)):
            return f"{self.name}: {self.sentence}, {name}"
        self.sentence = name
        return f"{self.name}: {name}"

    def equal(self, name, actual, expected):
        explanation = f"        expected: {expected!r}\n        came:     {actual!r}"
        self.report.add(self.full(name), actual == expected, explanation)

    def matches(self, name, actual, pattern):
        """Checks a string that contains ids. The pattern must match the whole string, with its whitespace collapsed."""
        text = " ".join(str(actual).split())
        explanation = f"        expected: a text like {pattern!r}\n        came:     {text!r}"
        self.report.add(self.full(name), re.fullmatch(pattern, text) is not None, explanation)

    def broken(self):
        """Reports that an exception ended the scenario. Must be called while the exception is handled."""
        lines = traceback.format_exc().strip().splitlines()
        explanation = "\n".join(f"        {line}" for line in lines)
        self.report.add(f"{self.name}: comes to its end", False, explanation)
