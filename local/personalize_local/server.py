"""Serve HTTP/1.1 with keep-alive, one thread per connection."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from personalize_local.protocol import Reply
from personalize_local.service import Service, Settings

# Close an idle keep-alive connection after this time; botocore reconnects automatically.
_IDLE_SECONDS = 120


class Server:
    """Run the service on a port until closed; port 0 takes a free one."""

    def __init__(self, settings: Settings, host: str = "127.0.0.1", port: int = 0) -> None:
        self.service = Service(settings)
        try:
            self._http = _HttpServer((host, port), self.service)
        except OSError:
            self.service.close()
            raise
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self.url = f"http://{host}:{self._http.server_address[1]}"

    def start(self) -> Server:
        """Start to serve, and resume unfinished jobs."""
        self.service.start()
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop to serve, then stop all jobs."""
        self._http.shutdown()
        self._http.server_close()
        self.service.close()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    # Sensors of many tasks may connect at the same moment.
    request_queue_size = 128
    # Do not wait for idle keep-alive connections when closing.
    block_on_close = False

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        super().__init__(address, _Handler)
        self.service = service


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "personalize_local"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    # Headers and body leave in one segment.
    wbufsize = -1
    server: _HttpServer

    def do_GET(self) -> None:
        """Answer `/health` and `/_local/meter`."""
        self._send(self.server.service.get(self._path()))

    def do_POST(self) -> None:
        """Answer an operation."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(self.server.service.post(self._path(), self.headers, body))

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: polling sensors would fill the log."""

    def _path(self) -> str:
        return self.path.split("?", 1)[0]

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.http_status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)
