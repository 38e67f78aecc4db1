"""A door in front of moto's S3, through which a test sees, refuses or survives single writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

Key = str


@dataclass(frozen=True)
class Refusal:
    """What S3 answers instead of writing."""

    status: str
    code: str

    @property
    def body(self) -> bytes:
        """Write S3's error document."""
        text = "The local S3 refuses this write."
        return (
            f"<?xml version='1.0'?><Error><Code>{self.code}</Code><Message>{text}</Message></Error>".encode()
        )


# MinIO's own words for a full disk: https://min.io/docs/minio/linux/operations/troubleshooting.html
DISK_FULL = Refusal("507 Insufficient Storage", "XMinioStorageFull")
INTERNAL_ERROR = Refusal("500 Internal Server Error", "InternalError")
# Another conditional write of the object is under way: it decides nothing, the same write is made again.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
CONFLICT = Refusal("409 Conflict", "ConditionalRequestConflict")


class Door:
    """A WSGI application that serves what moto holds.

    :ivar before: called with the key of every write; what it returns is answered instead.
    :ivar after: called with the key of every write that took place, before its answer leaves.
    """

    def __init__(self) -> None:
        self._moto: Any = DomainDispatcherApplication(create_backend_app)
        self.open()

    def open(self) -> None:
        """Let everything pass again."""
        self.before: Callable[[Key], Refusal | None] = lambda key: None
        self.after: Callable[[Key], None] = lambda key: None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        if environ["REQUEST_METHOD"] not in {"PUT", "POST"}:
            answer: Iterable[bytes] = self._moto(environ, start_response)
            return answer
        key = environ["PATH_INFO"]
        if refusal := self.before(key):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(refusal.status, [("Content-Type", "application/xml"), ("Connection", "close")])
            return [refusal.body]
        body = list(self._moto(environ, start_response))
        self.after(key)
        return body


@contextmanager
def served(door: Door) -> Generator[str]:
    """Serve the door on a free port; yield its address."""
    server = make_server("127.0.0.1", 0, door, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
