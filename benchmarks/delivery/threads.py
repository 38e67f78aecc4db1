"""Share the prepared bodies among threads, each with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from benchmarks.job import DeliveryJob

Post = Callable[[bytes], int]


def post_from_threads(job: DeliveryJob, open_connection: Callable[[], Post]) -> None:
    """Call ``open_connection`` once per thread and the function it returns, which gives a status, per body."""
    bodies = job.bodies()

    def sender() -> None:
        post = open_connection()
        for number, body in work:
            if post(body) == 201:
                job.claim_call(number)
            else:
                job.fail("status")

    with job.clock():
        work = job.work(bodies)
        threads = [threading.Thread(target=sender) for _ in range(job.connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
