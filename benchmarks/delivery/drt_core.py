"""drt-core, a reverse ETL program: it has no Braze destination, so its REST API destination in batch mode.

The engine is left out; it is the destination's ``load`` that posts. Pacing is switched off (the default is 10
requests per second), and ``on_error: skip`` keeps it going (the default stops at the first failed call).
"""

from __future__ import annotations

from drt.config.models import RestApiDestinationConfig, SyncOptions
from drt.destinations.rest_api import RestApiDestination

from benchmarks.job import OBJECTS_PER_CALL, DeliveryJob

_CALLS_AT_ONCE = 10  # its engine hands over sync.batch_size records at a time; each load opens a new client


def deliver(job: DeliveryJob) -> None:
    """Hand over 750 users at a time; claim those it counts as success."""
    config = RestApiDestinationConfig.model_validate(
        {
            "type": "rest_api",
            "url": f"{job.url}/users/track",
            "headers": {"Authorization": "Bearer benchmark", "Content-Type": "application/json"},
            "body_mode": "batch",
            "batch_template": '{"attributes": {{ rows | tojson_safe }} }',
            "max_records_per_request": OBJECTS_PER_CALL,
            "rate_limit": {"requests_per_second": 0},
        }
    )
    options = SyncOptions.model_validate(
        {"on_error": "skip", "batch_size": OBJECTS_PER_CALL * _CALLS_AT_ONCE}
    )
    destination = RestApiDestination()
    batches = job.batches(OBJECTS_PER_CALL * _CALLS_AT_ONCE)
    with job.clock():
        for _, batch in job.work(batches):
            result = destination.load(batch, config, options)
            failed = {error.batch_index for error in result.row_errors}
            job.claim(entry for index, entry in enumerate(batch) if index not in failed)
            for error in result.row_errors:
                job.fail(f"row error, status {error.http_status}")
