"""The check that goes before everything a run does."""

from __future__ import annotations

from airflow.sdk import DAG

from recsync.airflow_tasks import task
from recsync.program import Program


def check_first(dag: DAG, program: Program) -> None:
    """Put the preflight before every other task of a DAG, whose tasks are all made already."""
    others = dag.roots
    checked = preflight(program.name)
    for other in others:
        checked >> other


@task
def preflight(program: str) -> str:
    """Check what the run needs, before anything is billed: the same as ``make preflight``."""
    from recsync.preflight.run import preflight as check

    return check(program)
