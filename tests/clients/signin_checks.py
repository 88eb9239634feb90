"""Checks of clients that sign in at dev-identity with a password, as they would at any cloud.

Nothing but `clouds.yaml`, or the variables `OS_*`, says where the cloud is and who signs in.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import openstack_checks
from caller import column, eventually, pick
from terminal import Terminal, environment_of_command

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 180  # seconds for a playbook, which starts a Python for each task

# Debian's packages for Go. gophercloud runs only where golang-go and golang-github-gophercloud-gophercloud-dev are there.
GO_PACKAGES = pathlib.Path("/usr/share/gocode")

# The variables of an app whose clients sign in at dev-identity.
VARIABLES = {
    "dev_identity": "on",
    "auth_mode": "keystone",
    "keystone_url": "http://dev-identity.spin.internal/identity/v3",
    "keystone_password": "of-the-service-user",
}


class Cloud:
    """A `clouds.yaml` with a cloud for each user, and the environment that selects one."""

    def __init__(self, app, directory):
        self.auth_url = f"{app.base}/identity/v3"
        self.path = pathlib.Path(directory) / "clouds.yaml"
        clouds = {name: {"auth": self.auth(user), "region_name": "RegionOne"} for name, user in CLOUDS.items()}
        # JSON is YAML.
        self.path.write_text(json.dumps({"clouds": clouds}))

    def auth(self, user):
        return {
            "auth_url": self.auth_url,
            "username": user,
            "password": user,
            "project_name": user,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }

    def environment(self, name="local"):
        return {"OS_CLOUD": name, "OS_CLIENT_CONFIG_FILE": str(self.path)}

    def variables(self, user):
        """Returns the variables `OS_*` of clients that read no `clouds.yaml`."""
        own = {f"OS_{name.upper()}": value for name, value in self.auth(user).items()}
        return own | {"OS_IDENTITY_API_VERSION": "3", "OS_REGION_NAME": "RegionOne"}


CLOUDS = {"local": "demo", "local-admin": "admin"}


def with_cloud(scenario):
    def run(section, app, terminal):
        with tempfile.TemporaryDirectory(prefix="clients-cloud-") as directory:
            scenario(section, app, terminal, Cloud(app, directory))

    run.__name__ = scenario.__name__
    return run


class Commands:
    """openstackclient with a cloud. It has the functions of a caller that `openstack_checks` uses."""

    def __init__(self, terminal, cloud, name="local"):
        self.terminal = terminal
        self.environment = cloud.environment(name)

    def openstack(self, *arguments):
        return self.terminal.run("openstack", list(arguments), self.environment)

    def shown(self, *arguments):
        return self.openstack(*arguments, "-f", "json").json()


@with_cloud
def openstackclient(section, app, terminal, cloud):
    listed = Terminal.real("openstack", ["volume", "snapshot", "list", "-f", "json"], cloud.environment())
    section.equal("OS_CLOUD=local openstack volume snapshot list", listed.json(), [])
    demo = Commands(terminal, cloud)
    openstack_checks.new_volume(demo, "vol")
    openstack_checks.new_snapshot(demo, "vol", "s")
    token = demo.shown("token", "issue")
    project = token["project_id"]
    section.matches("token issue names the project", project, "[0-9a-f]{32}")
    listed = demo.shown("catalog", "list")
    section.equal(
        "catalog list has the services",
        sorted((row["Name"], row["Type"], row["Endpoints"][0]["url"]) for row in listed),
        [
            ("cinder", "block-storage", f"{app.base}/v3/{project}"),
            ("cinderv3", "volumev3", f"{app.base}/v3/{project}"),
            ("glance", "image", f"{app.base}/identity/image"),
            ("keystone", "identity", f"{app.base}/identity/v3"),
            ("nova", "compute", f"{app.base}/identity/compute/v2.1"),
        ],
    )
    section.equal("project list has the own project", column(demo.shown("project", "list"), "Name"), ["demo"])
    versions = {row["Service Type"]: row["Max Microversion"] for row in demo.shown("versions", "show")}
    found = {"identity": None, "block-storage": "3.71", "compute": "2.1", "image": None}
    section.equal("versions show finds all services", versions, found)
    refused = demo.openstack("user", "list")
    forbidden = "1 ForbiddenException: 403: .*"
    section.matches("user list is for administrators", f"{refused.code} {refused.errors}", forbidden)

    admin = Commands(terminal, cloud, "local-admin")
    projects = column(admin.shown("project", "list"), "Name")
    section.equal("an administrator sees all projects", projects, ["admin", "demo", "service"])
    section.equal("and all users", column(admin.shown("user", "list"), "Name"), ["admin", "demo", "cinder"])
    section.equal("and no snapshot of another project", openstack_checks.names(admin), [])
    section.equal("unless with --all-projects", openstack_checks.names(admin, "--all-projects"), ["s"])

    section.equal("snapshot delete works", demo.openstack("volume", "snapshot", "delete", "s").code, 0)
    section.equal("after which it is gone", eventually(lambda: openstack_checks.names(demo), []), [])
    section.equal("token revoke works", demo.openstack("token", "revoke", token["id"]).code, 0)
    of_project = {"OS_PROJECT_NAME": "demo", "OS_PROJECT_DOMAIN_NAME": "Default", "OS_AUTH_URL": cloud.auth_url}
    with_token = of_project | {"OS_AUTH_TYPE": "token", "OS_TOKEN": token["id"]}
    revoked = terminal.run("openstack", ["volume", "snapshot", "list"], with_token)
    invalid = r"1 Failed to validate token \(HTTP 404\).*"
    section.matches("after which the token opens nothing", f"{revoked.code} {revoked.errors}", invalid)
    with_wrong_password = cloud.variables("demo") | {"OS_PASSWORD": "wrong"}
    wrong = terminal.run("openstack", ["volume", "snapshot", "list"], with_wrong_password)
    section.matches(
        "a wrong password is refused",
        f"{wrong.code} {wrong.errors}",
        r"1 The request you have made requires authentication\. \(HTTP 401\) \(Request-ID: req-[0-9a-f-]+\)",
    )


@with_cloud
def openstacksdk(section, app, terminal, cloud):
    done = subprocess.run(
        [sys.executable, HERE / "signin_sdk.py"],
        env=environment_of_command(cloud.environment()),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    section.equal(
        "openstack.connect(cloud='local')",
        json.loads(done.stdout),
        {
            "project": "demo",
            "created": ["proxy", "available"],
            "found": "proxy",
            "deleted": [],
            "cloud layer": ["cloud", "available", True, []],
        },
    )


@with_cloud
def cinderclient(section, app, terminal, cloud):
    def cinder(*arguments):
        return terminal.run("cinder", ["--os-volume-api-version", "3.71", *arguments], cloud.variables("demo"))

    cinder("create", "1", "--name", "vol").properties()
    eventually(lambda: column(cinder("list").rows(), "Status"), ["available"])
    made = cinder("snapshot-create", "--name", "s", "vol").properties()
    section.equal("snapshot-create with a password", pick(made, "name", "status"), {"name": "s", "status": "creating"})
    listed = eventually(lambda: column(cinder("snapshot-list").rows(), "Status"), ["available"])
    section.equal("snapshot-list shows it", listed, ["available"])
    section.equal("snapshot-delete works", cinder("snapshot-delete", "s").code, 0)
    section.equal("after which it is gone", eventually(lambda: cinder("snapshot-list").rows(), []), [])


@with_cloud
def ansible(section, app, terminal, cloud):
    with tempfile.TemporaryDirectory(prefix="clients-ansible-") as home:
        own = {
            "ANSIBLE_COLLECTIONS_PATH": str(pathlib.Path(sys.prefix) / "collections"),
            "ANSIBLE_HOME": home,
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_NOCOLOR": "true",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            [pathlib.Path(sys.executable).with_name("ansible-playbook"), HERE / "signin_playbook.yaml"],
            env=environment_of_command(cloud.environment() | own) | {"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    recap = [line for line in done.stdout.splitlines() if line.startswith("localhost ") and "ok=" in line]
    outcome = " ".join(recap) if done.returncode == 0 else f"{done.stdout[-3000:]} {done.stderr[-3000:]}"
    section.matches(
        "the playbook with the modules of openstack.cloud",
        outcome,
        "localhost : ok=21 changed=6 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0",
    )


@with_cloud
def gophercloud(section, app, terminal, cloud):
    # It knows one variable for the domains of the user and of the project.
    own = {"OS_DOMAIN_NAME": "Default", "GO111MODULE": "off", "GOPATH": str(GO_PACKAGES)}
    done = subprocess.run(
        ["go", "run", HERE / "signin_gophercloud.go"],
        env=environment_of_command(cloud.variables("demo") | own),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    section.equal("AuthOptionsFromEnv", json.loads(done.stdout), {"created": "creating", "listed": ["snap available"]})


SCENARIOS = [openstackclient, openstacksdk, cinderclient, ansible]
if shutil.which("go") and (GO_PACKAGES / "src/github.com/gophercloud/gophercloud").is_dir():
    SCENARIOS.append(gophercloud)
