"""Runs the program: `python -m volume_snapshots up`."""

import os
import sys

from volume_snapshots.program import find_program

if __name__ == "__main__":
    program = find_program()
    os.execv(program, [program, *sys.argv[1:]])
