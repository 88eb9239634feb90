"""The pytest plugin: the fixtures `volume_snapshots` and `volume_snapshots_server`.

Each worker of pytest-xdist has a server of its own, on a free port, with its state in memory. A session that uses no
fixture starts none.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from volume_snapshots.project import Project
from volume_snapshots.server import Server, ServerError

# The projects for tests that ask for the fixture while they run, which nobody can count beforehand.
SPARE = 8

_used = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    explanation = "a variable of the service, such as create_seconds=0"
    group = parser.getgroup("volume-snapshots")
    group.addoption(
        "--volume-snapshots-set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"Set {explanation}; may be repeated.",
    )
    parser.addini("volume_snapshots_set", f"Lines that each set {explanation}.", type="linelist", default=[])


def _variables(config: pytest.Config) -> dict[str, str]:
    """Returns the variables of the options. Those of the command line win over those of the ini file."""
    variables: dict[str, str] = {}
    for setting in [*config.getini("volume_snapshots_set"), *config.getoption("--volume-snapshots-set")]:
        name, separator, value = setting.partition("=")
        if not separator:
            raise pytest.UsageError(f"--volume-snapshots-set {setting} is not NAME=VALUE, such as create_seconds=0")
        variables[name.strip()] = value.strip()
    return variables


@pytest.fixture(scope="session")
def volume_snapshots_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server of this session, or of this worker of pytest-xdist."""
    tests = sum("volume_snapshots" in getattr(item, "fixturenames", ()) for item in request.session.items)
    try:
        server = Server(projects=tests + SPARE, variables=_variables(request.config))
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)
    with server:
        yield server


@pytest.fixture
def volume_snapshots(volume_snapshots_server: Server, request: pytest.FixtureRequest) -> Project:
    """A running service, with a project and a user that only this test has."""
    used = request.session.stash.get(_used, 0)
    request.session.stash[_used] = used + 1
    credentials = volume_snapshots_server.credentials
    project = Project(volume_snapshots_server, credentials[used % len(credentials)])
    if used >= len(credentials):
        project.forget()
    return project
