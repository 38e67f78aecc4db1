"""urllib3.PoolManager shared by threads, as a transport."""

from __future__ import annotations

import urllib3

from benchmarks.delivery.threads import Post, post_from_threads
from benchmarks.job import DeliveryJob

_HEADERS = {"Authorization": "Bearer benchmark", "Content-Type": "application/json"}


def deliver(job: DeliveryJob) -> None:
    """Post every body."""
    pool = urllib3.PoolManager(maxsize=job.connections, block=True, retries=False, ca_certs=job.certificate)

    def open_connection() -> Post:
        return lambda body: pool.request("POST", f"{job.url}/users/track", body=body, headers=_HEADERS).status

    post_from_threads(job, open_connection)
