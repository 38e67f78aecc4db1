"""PyPI's braze-client, as its README shows it: ``if r['success']``."""

from __future__ import annotations

from braze.client import BrazeClient

from benchmarks.job import DeliveryJob


def deliver(job: DeliveryJob) -> None:
    """Call ``user_track`` per 75 users (it has no batching); count an exception as reported and go on."""
    client = BrazeClient(api_key="benchmark", api_url=job.url, use_auth_header=True)
    batches = job.batches()
    with job.clock():
        for _, batch in job.work(batches):
            try:
                answer = client.user_track(attributes=batch)
            except Exception as error:  # ruff: ignore[blind-except]  # whatever the peer raises counts as reported
                job.fail(error)
                continue
            if answer["success"]:
                job.claim(batch)
            else:
                job.fail("not a success")
