"""Run one contender in a process of its own: ``python -m benchmarks.worker MODULE FUNCTION JOB.json``."""

from __future__ import annotations

import importlib
import json
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from benchmarks.job import DeliveryJob, ExportJob, Job, ListsJob, PlanJob


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("recsync does not need pandas", name=name)


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
    if module.endswith(".recsync"):
        # pyarrow imports pandas if it is there. A deployment has none; this environment has it for two contenders.
        sys.meta_path.insert(0, _NoPandas())
    getattr(importlib.import_module(module), function)(job)
    Path(options["result"]).write_text(json.dumps(job.result()))


if __name__ == "__main__":
    main(*sys.argv[1:])
