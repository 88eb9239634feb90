"""A user who calls the app with each of the clients, with one kind of authentication."""

import time

import openstack

PATIENCE = 30  # seconds to wait for a change that takes about one second


class Caller:
    """The settings with which one user reaches the app in each client, and the terminal that runs the commands."""

    def __init__(self, terminal, project_id, openstack_variables, cinder_variables, connection_options):
        self.terminal = terminal
        self.project_id = project_id
        self.openstack_variables = openstack_variables
        self.cinder_variables = cinder_variables
        self.connection_options = connection_options

    def openstack(self, *arguments, **variables):
        """Runs a command of openstackclient. For commands with output use `shown`, which asks for JSON."""
        return self.terminal.run("openstack", list(arguments), self.openstack_variables | variables)

    def shown(self, *arguments, **variables):
        """Returns the parsed output of a command of openstackclient."""
        return self.openstack(*arguments, "-f", "json", **variables).json()

    def cinder(self, *arguments, version="3.71"):
        """Runs a command of cinderclient."""
        return self.terminal.run("cinder", ["--os-volume-api-version", version, *arguments], self.cinder_variables)

    def connect(self, **options):
        """Returns the block storage proxy of openstacksdk. Nothing on this machine configures the connection."""
        connection = openstack.connect(
            load_yaml_config=False, load_envvars=False, **(self.connection_options | options)
        )
        return connection.block_storage


def without_keystone(terminal, base, project_id, user="demo"):
    """Returns a caller of an app without Keystone. Each client has its own settings for that."""
    endpoint = f"{base}/v3/{project_id}"
    token = f"{user}:{project_id}"
    return Caller(
        terminal,
        project_id,
        {"OS_AUTH_TYPE": "admin_token", "OS_TOKEN": token, "OS_ENDPOINT": endpoint},
        {
            "OS_AUTH_TYPE": "noauth",
            "OS_USER_ID": user,
            "OS_PROJECT_ID": project_id,
            # cinderclient does not append the project id.
            "CINDER_ENDPOINT": f"{base}/v3",
        },
        {"auth_type": "admin_token", "auth": {"endpoint": endpoint, "token": token}},
    )


def with_keystone(terminal, keystone, region, user, project):
    """Returns a caller who logs in to Keystone with a password and finds the app in the catalog."""
    variables = {
        "OS_AUTH_URL": keystone.url,
        "OS_USERNAME": user,
        "OS_PASSWORD": keystone.passwords[user],
        "OS_PROJECT_NAME": project,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": region,
    }
    options = {
        "auth_url": keystone.url,
        "username": user,
        "password": keystone.passwords[user],
        "project_name": project,
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "region_name": region,
    }
    return Caller(terminal, keystone.projects[project], variables, variables, options)


def eventually(look, wanted):
    """Calls `look` until it returns `wanted` or the time is up, and returns its last result."""
    end = time.monotonic() + PATIENCE
    while True:
        seen = look()
        if seen == wanted or time.monotonic() > end:
            return seen
        time.sleep(0.2)


def pick(row, *names):
    """Returns some columns of a row. A missing column is an error, so that no check overlooks it."""
    return {name: row[name] for name in names}


def column(rows, name):
    return [row[name] for row in rows]
