"""The floor: read the lines of the output and do nothing with them."""

from __future__ import annotations

from benchmarks.job import PlanJob


def plan(job: PlanJob) -> None:
    """Count the lines."""
    with job.clock(), job.second.open("rb", buffering=1 << 20) as file:
        users = sum(1 for _ in file)
    job.read(users)
