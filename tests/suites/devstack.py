"""Starts a cloud as the tests of OpenStack's projects expect it: a Keystone, the app, and a `clouds.yaml` as DevStack writes it."""

import contextlib
import json
import pathlib
import secrets
import tempfile

import openstack

from host import App
from identity import WITH_PROJECT, Keystone

# DevStack's default volume type is named lvmdriver-1, which some tests ask for.
VARIABLES = {
    "create_seconds": "1",
    "delete_seconds": "1",
    "default_volume_type": "lvmdriver-1",
    "keystone_timeout_seconds": "60",
}
# The names of DevStack's clouds, each with its user and project. The bootstrap of Keystone creates the user and project admin.
CLOUDS = {"devstack-admin": ("admin", "admin"), "devstack": ("demo", "demo"), "devstack-alt": ("alt_demo", "alt_demo")}


class DevStack:
    """A running Keystone and app. `directory` has a `clouds.yaml`, so tests run there find them without any variables."""

    def __init__(self, program, **variables):
        self.stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self.keystone = stack.enter_context(Keystone())
            self.app = stack.enter_context(App(program, VARIABLES | self.keystone.variables() | variables))
            self.add_users()
            self.keystone.add_to_catalog({WITH_PROJECT: f"{self.app.base}/v3"})
            self.add_object_store()
            admin = openstack.connect(
                load_yaml_config=False, load_envvars=False, **self.cloud(*CLOUDS["devstack-admin"])
            )
            admin.block_storage.create_type(name=VARIABLES["default_volume_type"])
            self.directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="suites-")))
            clouds = {name: self.cloud(*who) for name, who in CLOUDS.items()}
            clouds["devstack-system-admin"] = self.cloud("admin", None)
            # JSON is YAML, too.
            (self.directory / "clouds.yaml").write_text(json.dumps({"clouds": clouds}))
            self.stack = stack.pop_all()

    def add_users(self):
        """Creates the users of the clouds. Like DevStack, it makes `admin` an administrator in all projects."""
        identity = self.keystone.cloud.identity
        admin, member = (identity.find_role(name, ignore_missing=False) for name in ("admin", "member"))
        for user, project in CLOUDS.values():
            if user != "admin":
                self.keystone.passwords[user] = secrets.token_hex(16)
                created = identity.create_user(name=user, password=self.keystone.passwords[user], domain_id="default")
                self.keystone.projects[project] = identity.create_project(name=project, domain_id="default").id
                identity.assign_project_role_to_user(self.keystone.projects[project], created, member)
                administrator = identity.find_user("admin", ignore_missing=False)
                identity.assign_project_role_to_user(self.keystone.projects[project], administrator, admin)

    def add_object_store(self):
        """Adds an object store to the catalog, since the tests of backups run with one only. None of them calls it."""
        identity = self.keystone.cloud.identity
        service = identity.create_service(name="swift", type="object-store")
        url = f"{self.app.base}/no-object-store"
        identity.create_endpoint(service_id=service.id, interface="public", url=url, region_id=WITH_PROJECT)

    def cloud(self, user, project):
        """Returns the entry of a user in `clouds.yaml`. Without a project, it is an administrator of the whole system."""
        scope = {"project_name": project, "project_domain_id": "default"} if project else {"system_scope": "all"}
        password = self.keystone.passwords[user]
        signs_in = {"auth_url": self.keystone.url, "username": user, "password": password, "user_domain_id": "default"}
        # openstacksdk asks for a service of the old type `volume` in some tests, and then uses the one that there is.
        options = {"region_name": WITH_PROJECT, "identity_api_version": "3", "has_volume": True}
        return options | {"auth": signs_in | scope}

    def variables(self, user, project):
        """Returns the variables with which programs sign in that do not read `clouds.yaml`."""
        return {
            "OS_AUTH_URL": self.keystone.url,
            "OS_USERNAME": user,
            "OS_PASSWORD": self.keystone.passwords[user],
            "OS_PROJECT_NAME": project,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_IDENTITY_API_VERSION": "3",
            "OS_REGION_NAME": WITH_PROJECT,
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()
