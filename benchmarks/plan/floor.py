"""The floor: read the lines of the output and do nothing with them."""

from __future__ import annotations

from benchmarks.job import OutputJob


def read(job: OutputJob) -> None:
    """Count the lines."""
    with job.clock(), job.output.open("rb", buffering=1 << 20) as file:
        users = sum(1 for _ in file)
    job.read(users)
