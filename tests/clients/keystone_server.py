"""Serves Keystone on a free port of the loopback interface. OS_KEYSTONE_CONFIG_FILES names its configuration."""

import socket

import waitress
from keystone.wsgi.api import application

listener = socket.create_server(("127.0.0.1", 0))
print(f"Serving http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
# One request at a time: with four threads, Keystone once did not find a role of a user.
waitress.serve(application, sockets=[listener], threads=1)
