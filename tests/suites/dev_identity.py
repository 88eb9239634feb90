"""Starts the app with dev-identity in place of a Keystone."""

import contextlib

from host import App

VARIABLES = {
    "create_seconds": "1",
    "delete_seconds": "1",
    "dev_identity": "on",
    "auth_mode": "keystone",
    "keystone_url": "http://dev-identity.spin.internal/identity/v3",
    "keystone_password": "of-the-service-user",
}


@contextlib.contextmanager
def start(program):
    """Yields the origin of an app. Its Keystone is at `/identity`, with the default users."""
    with App(program, VARIABLES) as app:
        yield app.base
