"""A project of a running server, for one test."""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Mapping
from typing import Any

from volume_snapshots.server import Credentials, Server

# The lists of a state document whose rows belong to a project.
_ROWS = ("volumes", "snapshots")


class Project:
    """A project with a user, and the means to prepare and to look at the state of the whole server."""

    def __init__(self, server: Server, credentials: Credentials) -> None:
        self.server = server
        self.credentials = credentials
        self._ahead = datetime.timedelta()

    @property
    def url(self) -> str:
        """The URL of the server, without a path."""
        return self.server.url

    @property
    def auth_url(self) -> str:
        """The URL of Keystone."""
        return f"{self.url}/identity/v3"

    @property
    def project_id(self) -> str:
        return self.credentials.project_id

    @property
    def project_name(self) -> str:
        return self.credentials.project_name

    @property
    def user_id(self) -> str:
        return self.credentials.user_id

    @property
    def username(self) -> str:
        return self.credentials.username

    @property
    def password(self) -> str:
        return self.credentials.password

    @property
    def env(self) -> dict[str, str]:
        """The variables `OS_*` with which clients sign in as the project's user."""
        auth = self.cloud()["auth"]
        names = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
        return {
            "OS_AUTH_TYPE": "password",
            **{f"OS_{name.upper()}": auth[name] for name in names},
            "OS_REGION_NAME": "RegionOne",
            "OS_IDENTITY_API_VERSION": "3",
            "OS_VOLUME_API_VERSION": "3",
        }

    def cloud(self, *, admin: bool = False) -> dict[str, Any]:
        """Returns the arguments of `openstack.connect`, for the project's user or for an administrator."""
        own = self.credentials
        return {
            "auth_type": "password",
            "auth": {
                "auth_url": self.auth_url,
                "username": own.admin_username if admin else own.username,
                "password": own.admin_password if admin else own.password,
                "project_name": own.project_name,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": "RegionOne",
            "identity_api_version": "3",
            "volume_api_version": "3",
        }

    def clouds_yaml(self) -> str:
        """Returns a `clouds.yaml` with the clouds `local` and `local-admin`. It is JSON, which is YAML too."""
        clouds = {"local": self.cloud(), "local-admin": self.cloud(admin=True)}
        return json.dumps({"clouds": clouds}, indent=2) + "\n"

    def reset(self) -> None:
        """Empties the server, the rows of other projects included, and forgets the time of `advance`."""
        self.server.operate("DELETE", "state")
        self._ahead = datetime.timedelta()

    def seed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Replaces the state of the server with a state document. Rows without a project belong to this one."""
        document = copy.deepcopy(dict(document))
        for name in _ROWS:
            for row in document.get(name, ()):
                row.setdefault("project_id", self.project_id)
                row.setdefault("user_id", self.user_id)
        return self.server.operate("PUT", "state", document)

    def state(self) -> dict[str, Any]:
        """Returns the state of the server as one document."""
        return self.server.operate("GET", "state")

    def tick(self) -> dict[str, Any]:
        """Runs the scheduled step until nothing is left to do, and returns the last report.

        It works with the time that `advance` has reached.
        """
        document = None
        if self._ahead:
            now = datetime.datetime.now(datetime.timezone.utc) + self._ahead
            document = {"now": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        while True:
            report = self.server.operate("POST", "tick", document)
            if not report.get("more"):
                return report

    def advance(self, seconds: float) -> dict[str, Any]:
        """Ends all work that is due within a number of seconds, without a wait, and returns the report.

        Further ticks of this test are as much later. Requests still use the clock of the machine.
        """
        self._ahead += datetime.timedelta(seconds=seconds)
        return self.tick()

    def forget(self) -> None:
        """Removes the rows and the quotas of this project alone."""
        state = self.state()
        for name in _ROWS:
            state[name] = [row for row in state.get(name, ()) if row["project_id"] != self.project_id]
        for name in ("project_quotas", "quota_usage"):
            state.get(name, {}).pop(self.project_id, None)
        self.server.operate("PUT", "state", state)
