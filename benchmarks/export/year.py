"""recsync's hourly intervals, one after another without a scheduler: what a backfill of a year takes by itself."""

from __future__ import annotations

import os
from datetime import timedelta

from benchmarks.export.data import END, write_program
from benchmarks.job import ExportJob


def export(job: ExportJob) -> None:
    """Export and publish so many hours before the end of the data, all checks on."""
    os.environ["AIRFLOW__RECSYNC__INCLUDE_FOLDER"] = str(job.state)
    program = write_program(job.state, job.rows, checked=True, hourly=True)
    from recsync.export.publish import export_past

    hours: int = job.options["hours"]
    with job.clock():
        job.figures["intervals"] = export_past(program, END - timedelta(hours=hours), END)
