"""Serves Horizon with its static files, and prints `Serving <address>` when it is ready."""

import socketserver
import wsgiref.simple_server

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    """A handler that logs no requests."""

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """A server with a thread for each connection, since a page loads many files at once."""

    daemon_threads = True
    request_queue_size = 128


class Static(StaticFilesHandler):
    """The handler of static files, which Django otherwise refuses to use with `DEBUG = False`."""

    def serve(self, request):
        from django.contrib.staticfiles.views import serve

        return serve(request, self.file_path(request.path), insecure=True)


server = Server(("127.0.0.1", 0), Handler)
server.set_app(Static(get_wsgi_application()))
print(f"Serving http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
