"""Run one contender in a process of its own: ``python -m benchmarks.worker MODULE FUNCTION JOB.json``."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from benchmarks.job import DeliveryJob, ExportJob, Job, ListsJob, PlanJob


def main(module: str, function: str, job_file: str) -> None:
    """Write the contender's result where the job says."""
    options = json.loads(Path(job_file).read_text())
    kinds: dict[str, type[Job]] = {
        "delivery": DeliveryJob,
        "plan": PlanJob,
        "lists": ListsJob,
        "export": ExportJob,
        "engine": Job,
    }
    job = kinds[options["kind"]](options)
    getattr(importlib.import_module(module), function)(job)
    Path(options["result"]).write_text(json.dumps(job.result()))


if __name__ == "__main__":
    main(*sys.argv[1:])
