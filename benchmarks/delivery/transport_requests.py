"""requests.Session in threads, as a transport: prepared bodies, one Session per thread."""

from __future__ import annotations

import requests

from benchmarks.delivery.threads import Post, post_from_threads
from benchmarks.job import DeliveryJob

_HEADERS = {"Authorization": "Bearer benchmark", "Content-Type": "application/json"}


def deliver(job: DeliveryJob) -> None:
    """Post every body."""

    def open_connection() -> Post:
        session = requests.Session()
        session.trust_env = False  # a lookup of proxies per call: the fastest use of requests leaves it out
        session.verify = job.certificate or True
        session.headers.update(_HEADERS)
        return lambda body: session.post(f"{job.url}/users/track", data=body).status_code

    post_from_threads(job, open_connection)
