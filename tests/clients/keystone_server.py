"""Serves Keystone on a free port of the loopback; what OS_KEYSTONE_CONFIG_FILES names is its configuration."""

import socket

import waitress
from keystone.wsgi.api import application

listener = socket.create_server(("127.0.0.1", 0))
print(f"Serving http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
# One request after the other: with four threads Keystone once did not find a role that a user had.
waitress.serve(application, sockets=[listener], threads=1)
