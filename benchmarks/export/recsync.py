"""recsync's WarehouseToS3Operator: a FULL snapshot, by streaming COPY, with and without its checks."""

from __future__ import annotations

import importlib
import os
from typing import Any

from benchmarks.export.airflow_task import run_tasks
from benchmarks.export.data import END, EPOCH, write_program
from benchmarks.job import ExportJob


def prepare(job: ExportJob) -> None:
    """Export users and items, so that the interactions can be checked against their ids."""
    _export(job, ("users", "items"), checked=True)


def without_checks(job: ExportJob) -> None:
    """Export whatever the query returns."""
    _export(job, ("interactions",), checked=False)


def with_checks(job: ExportJob) -> None:
    """Export the interactions with every check of the program on."""
    _export(job, ("interactions",), checked=True)


def _export(job: ExportJob, kinds: tuple[str, ...], *, checked: bool) -> None:
    os.environ["AIRFLOW__RECSYNC__INCLUDE_FOLDER"] = str(job.state)
    program = write_program(job.state, job.rows, checked=checked)
    # Imported here so that it is not timed.
    for module in ("context", "export.dataset", "export.publish"):
        importlib.import_module(f"recsync.{module}")
    from recsync.export.tasks import WarehouseToS3Operator

    def operators() -> list[Any]:
        return [
            WarehouseToS3Operator(
                task_id=kind,
                program=program,
                dataset_type=kind.upper(),
                interval_start=EPOCH.isoformat(),
                interval_end=END.isoformat(),
                s3_key=job.key.replace("interactions.csv", f"{kind}.csv"),
            )
            for kind in kinds
        ]

    run_tasks(job, operators)
