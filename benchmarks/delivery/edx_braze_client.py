"""PyPI's edx-braze-client: ``track_user`` cuts a list into calls of 75 by itself."""

from __future__ import annotations

from braze.client import BrazeClient

from benchmarks.job import OBJECTS_PER_CALL, DeliveryJob

_CALLS_AT_ONCE = 10


def deliver(job: DeliveryJob) -> None:
    """Hand over 750 users at a time; after an error nobody can say which of them were sent."""
    _deliver(job, OBJECTS_PER_CALL * _CALLS_AT_ONCE)


def deliver_by_call(job: DeliveryJob) -> None:
    """Hand over 75 users at a time, so that an error concerns one call only."""
    _deliver(job, OBJECTS_PER_CALL)


def _deliver(job: DeliveryJob, users_at_once: int) -> None:
    client = BrazeClient(api_key="benchmark", api_url=job.url, app_id="benchmark")
    batches = job.batches(users_at_once)
    with job.clock():
        for _, batch in job.work(batches):
            try:
                client.track_user(attributes=batch)
            except Exception as error:  # ruff: ignore[blind-except]  # whatever the peer raises counts as reported
                job.fail(error)
            else:
                job.claim(batch)
