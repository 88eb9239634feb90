"""A gateway in front of the app that keeps a record of each request and its answer."""

import dataclasses
import http.client
import http.server
import threading
import urllib.parse

# Headers of one connection only.
OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclasses.dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    method: str
    path: str
    version: str
    status: int
    answer: bytes

    def __str__(self):
        version = f" ({self.version})" if self.version else ""
        return f"{self.method} {self.path}{version}: {self.status}"


class Gateway:
    """Forwards all requests to the app, with the `Host` of the client, so that the catalog leads here too."""

    def __init__(self, app):
        self.exchanges = []
        address = urllib.parse.urlsplit(app).netloc
        exchanges = self.exchanges

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_THE_CONNECTION}
                connection = http.client.HTTPConnection(address, timeout=60)
                try:
                    connection.request(self.command, self.path, body or None, headers)
                    answer = connection.getresponse()
                    content = answer.read()
                finally:
                    connection.close()
                version = self.headers.get("OpenStack-API-Version", "")
                exchanges.append(Exchange(self.command, self.path, version, answer.status, content))
                self.send_response_only(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in OF_THE_CONNECTION:
                        self.send_header(name, value)
                if answer.status != http.HTTPStatus.NO_CONTENT:
                    length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else len(content)
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = forward

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
