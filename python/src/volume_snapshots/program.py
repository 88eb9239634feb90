"""Finds the program that the wheel installs beside Python."""

import os
import shutil
import sys
import sysconfig

NAME = "volume-snapshots"


def find_program() -> str:
    """Returns the path of the program.

    It is where the scripts of this environment are, or of the user, or on the PATH.
    """
    directories = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable)]
    user = sysconfig.get_preferred_scheme("user")
    directories.append(sysconfig.get_path("scripts", scheme=user))
    for directory in directories:
        path = os.path.join(directory, NAME)
        if os.access(path, os.X_OK):
            return path
    found = shutil.which(NAME)
    if found is None:
        raise FileNotFoundError(f"{NAME} is in none of {', '.join(directories)}, and not on the PATH")
    return found
