"""A real Keystone on SQLite, set up as in a deployment of Cinder: a service user, a catalog, projects, and users."""

import contextlib
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile

import openstack
from keystoneauth1 import session
from keystoneauth1.identity import v3

from host import Server

HERE = pathlib.Path(__file__).resolve().parent

# A catalog may have the address of the app in two forms. Clients choose between them by the region.
WITH_PROJECT = "WithProject"
WITHOUT_PROJECT = "WithoutProject"

SHORT = 6  # lifetime in seconds of a token that should expire soon
LOGS = {"keystone.log", "server-errors", "short-errors"}

CONFIGURATION = """
[DEFAULT]
log_file = {directory}/keystone.log
use_stderr = false
# Keystone warns of every secret of more than 72 bytes, even of those that it generates itself.
default_log_levels = keystone.common.password_hashing=ERROR
[database]
connection = sqlite:///{directory}/keystone.db
[fernet_tokens]
key_repository = {directory}/fernet-keys
[fernet_receipts]
key_repository = {directory}/receipt-keys
[credential]
key_repository = {directory}/credential-keys
[identity]
# The minimum of bcrypt: nobody attacks these passwords, and each command of a client has one verified.
password_hash_rounds = 4
"""

# User, project, roles. The role service suffices to validate tokens.
SERVICE_USERS = [("cinder", "service", ["service"]), ("other-service", "service", ["service"])]
# User, project, roles. Keystone adds implied roles: admin implies member, and member implies reader.
USERS = [
    ("admin", "alpha", ["admin"]),
    # Has reader explicitly, because a credential can be limited only to roles that were assigned to its user.
    ("member", "alpha", ["member", "reader"]),
    ("reader", "alpha", ["reader"]),
    ("other-role", "alpha", ["auditor"]),
    ("stranger", "beta", ["member"]),
]


class Keystone:
    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="clients-keystone-")
        self.directory = pathlib.Path(self.temporary.name)
        self.server = None
        self.projects = {}
        self.passwords = {}
        try:
            self.start()
        except BaseException:
            print(self.wrote())
            self.stop()
            raise

    def start(self):
        configuration = self.directory / "keystone.conf"
        configuration.write_text(CONFIGURATION.format(directory=self.directory))
        self.environment = os.environ | {
            "OS_KEYSTONE_CONFIG_FILES": str(configuration),
            # The libraries of Keystone print warnings about each other.
            "PYTHONWARNINGS": "ignore",
        }
        # Without these options the keys would belong to a user named keystone.
        owner = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
        self.manage("db_sync")
        self.manage("fernet_setup", *owner)
        self.manage("receipt_setup", *owner)
        self.manage("credential_setup", *owner)
        self.server = Server(
            [sys.executable, HERE / "keystone_server.py"], self.environment, self.directory / "server-errors"
        )
        self.url = f"{self.server.base}/v3"
        password = secrets.token_hex(16)
        urls = [f"--bootstrap-{interface}-url={self.url}" for interface in ("public", "internal", "admin")]
        self.manage("bootstrap", f"--bootstrap-password={password}", "--bootstrap-region-id", WITH_PROJECT, *urls)
        self.cloud = openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth_url=self.url,
            username="admin",
            password=password,
            project_name="admin",
            user_domain_id="default",
            project_domain_id="default",
            region_name=WITH_PROJECT,
        )
        self.fill()

    def manage(self, *arguments):
        """Runs keystone-manage from the environment of this program."""
        program = pathlib.Path(sys.executable).with_name("keystone-manage")
        configuration = ["--config-file", self.environment["OS_KEYSTONE_CONFIG_FILES"]]
        done = subprocess.run(
            [program, *configuration, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"keystone-manage {arguments[0]} failed: {done.stdout}{done.stderr}")

    def fill(self):
        identity = self.cloud.identity
        roles = {role.name: role for role in identity.roles()}
        roles["auditor"] = identity.create_role(name="auditor")
        for name in ("service", "alpha", "beta"):
            self.projects[name] = identity.create_project(name=name, domain_id="default").id
        for name, project, granted in [*SERVICE_USERS, *USERS]:
            if name == "admin":
                # The bootstrap created this user, in a project of its own.
                user = identity.find_user("admin", ignore_missing=False)
                self.passwords[name] = self.cloud.config.config["auth"]["password"]
            else:
                self.passwords[name] = secrets.token_hex(16)
                user = identity.create_user(name=name, password=self.passwords[name], domain_id="default")
            for role in granted:
                identity.assign_project_role_to_user(self.projects[project], user, roles[role])

    def enable(self, user, enabled):
        identity = self.cloud.identity
        identity.update_user(identity.find_user(user, ignore_missing=False), is_enabled=enabled)

    def add_to_catalog(self, addresses):
        """Adds the app to the catalog, with one address for each region."""
        identity = self.cloud.identity
        service = identity.create_service(name="cinder", type="block-storage")
        keystone = identity.find_service("keystone", ignore_missing=False)
        for region, url in addresses.items():
            if region != WITH_PROJECT:
                # The bootstrap created the region WITH_PROJECT.
                identity.create_region(id=region)
                identity.create_endpoint(service_id=keystone.id, interface="public", url=self.url, region_id=region)
            identity.create_endpoint(service_id=service.id, interface="public", url=url, region_id=region)

    def token(self, user, url=None, **scope):
        """Returns a token for a user, issued by the Keystone at `url` (default: this one) for the user's password."""
        password = v3.Password(
            auth_url=url or self.url,
            username=user,
            password=self.passwords[user],
            user_domain_name="Default",
            **scope,
        )
        return password.get_token(session.Session())

    @contextlib.contextmanager
    def with_short_tokens(self):
        """Yields the URL of a Keystone with the same database and keys, whose tokens expire after SHORT seconds."""
        shorter = self.directory / "short-tokens.conf"
        shorter.write_text(f"[token]\nexpiration = {SHORT}\n")
        files = f"{self.environment['OS_KEYSTONE_CONFIG_FILES']};{shorter}"
        environment = self.environment | {"OS_KEYSTONE_CONFIG_FILES": files}
        with Server(
            [sys.executable, HERE / "keystone_server.py"], environment, self.directory / "short-errors"
        ) as server:
            yield f"{server.base}/v3"

    def variables(self):
        """Returns the variables with which the app uses this Keystone."""
        return {"auth_mode": "keystone", "keystone_url": self.url, "keystone_password": self.passwords["cinder"]}

    def wrote(self):
        texts = [path.read_text(errors="replace") for path in self.directory.glob("*") if path.name in LOGS]
        return "\n".join(texts)

    def stop(self):
        if self.server is not None:
            self.server.stop()
        self.temporary.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
