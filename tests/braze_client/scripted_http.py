"""An HTTP server that answers from a script and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One scripted answer; ``drop`` closes the connection instead."""

    status: int = 201
    body: Any = field(default_factory=lambda: {"message": "success"})
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


@dataclass
class Script:
    """Answers still to give (the last one repeats), and the requests seen."""

    replies: list[Reply]
    requests: list[tuple[str, str, Any, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def next(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class _PatientServer(ThreadingHTTPServer):
    # The default of 5 turns connections away on a busy machine.
    request_queue_size = 256


@contextmanager
def scripted(*replies: Reply) -> Generator[Script]:
    """Serve the replies on a free port of the loopback address."""
    script = Script(list(replies))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            script.requests.append(
                (self.command, self.path, json.loads(raw) if raw else None, dict(self.headers))
            )
            reply = script.next()
            if reply.drop:
                self.connection.close()
                self.close_connection = True
                return
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # ruff: ignore[mixed-case-variable-in-class-scope]

        def log_message(self, *args: Any) -> None:
            """Keep test output clean."""

    server = _PatientServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
