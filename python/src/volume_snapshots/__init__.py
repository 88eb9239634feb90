"""The volume snapshots API of OpenStack Block Storage v3, for development and tests.

The program `volume-snapshots` serves it. `Server` starts that program, and the pytest fixture `volume_snapshots` gives a
test a `Project` on a running server.
"""

from importlib.metadata import version

from volume_snapshots.program import find_program
from volume_snapshots.project import Project
from volume_snapshots.server import Credentials, Server, ServerError

__all__ = ["Credentials", "Project", "Server", "ServerError", "__version__", "find_program"]

__version__ = version("volume-snapshots")
