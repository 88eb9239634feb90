"""Somebody who calls the app with each of the clients, in one way of authenticating."""

import time

import openstack

PATIENCE = 30  # seconds that anything here may take which takes about one


class Caller:
    """How one user reaches the app: what each client has to be told, and the terminal that its commands run in."""

    def __init__(self, terminal, project_id, openstack_variables, cinder_variables, connection_options):
        self.terminal = terminal
        self.project_id = project_id
        self.openstack_variables = openstack_variables
        self.cinder_variables = cinder_variables
        self.connection_options = connection_options

    def openstack(self, *arguments, **variables):
        """A command of openstackclient. Commands that show something are to be asked for JSON, see `shown`."""
        return self.terminal.run("openstack", list(arguments), self.openstack_variables | variables)

    def shown(self, *arguments, **variables):
        """What a command of openstackclient shows, parsed."""
        return self.openstack(*arguments, "-f", "json", **variables).json()

    def cinder(self, *arguments, version="3.71"):
        """A command of cinderclient."""
        return self.terminal.run("cinder", ["--os-volume-api-version", version, *arguments], self.cinder_variables)

    def connect(self, **options):
        """openstacksdk's block storage, of a connection that nothing on this machine configures."""
        connection = openstack.connect(
            load_yaml_config=False, load_envvars=False, **(self.connection_options | options)
        )
        return connection.block_storage


def without_keystone(terminal, base, project_id, user="demo"):
    """The words that clients have for a service without Keystone; they differ."""
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
            # cinderclient adds no project to it.
            "CINDER_ENDPOINT": f"{base}/v3",
        },
        {"auth_type": "admin_token", "auth": {"endpoint": endpoint, "token": token}},
    )


def with_keystone(terminal, keystone, region, user, project):
    """A user of Keystone, with a password; the address of the app is in the catalog."""
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
    """What `look` gives at last: what is wanted, or something else when that does not come."""
    end = time.monotonic() + PATIENCE
    while True:
        seen = look()
        if seen == wanted or time.monotonic() > end:
            return seen
        time.sleep(0.2)


def pick(row, *names):
    """Some columns of a row; a column that is not there is an error, since no check could see it."""
    return {name: row[name] for name in names}


def column(rows, name):
    return [row[name] for row in rows]
