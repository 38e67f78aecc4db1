"""http.client in threads, as a transport: one connection per thread."""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit

from benchmarks.delivery.threads import Post, post_from_threads
from benchmarks.job import DeliveryJob

_HEADERS = {"Authorization": "Bearer benchmark", "Content-Type": "application/json"}


def deliver(job: DeliveryJob) -> None:
    """Post every body."""
    address = urlsplit(job.url)
    assert address.hostname is not None
    tls = ssl.create_default_context(cafile=job.certificate) if address.scheme == "https" else None

    def open_connection() -> Post:
        connection = (
            http.client.HTTPSConnection(str(address.hostname), address.port, context=tls)
            if tls
            else http.client.HTTPConnection(str(address.hostname), address.port)
        )

        def post(body: bytes) -> int:
            connection.request("POST", "/users/track", body, _HEADERS)
            response = connection.getresponse()
            response.read()
            return response.status

        return post

    post_from_threads(job, open_connection)
