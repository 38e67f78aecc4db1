"""Run operators inside an Airflow task: the task runner, templates and XComs included, but no scheduler."""

from __future__ import annotations

import itertools
import os
import resource
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.job import ExportJob, own_peak_rss_bytes


def run_tasks(job: ExportJob, make_operators: Callable[[], Sequence[Any]]) -> None:
    """Run operators one after another in a DAG; the last one is timed, from the begin of ``execute`` to its end.

    Memory is the process's peak during that time: what the imports and the task runner hold is in it, as in the
    idle task that it is compared with. What they held only for a moment before is not.
    """
    _prepare_airflow()
    from airflow.sdk import DAG

    with DAG(f"bench-{os.getpid()}", schedule=None, start_date=datetime(2020, 1, 1, tzinfo=UTC)) as dag:
        operators = list(make_operators())
        for before, after in itertools.pairwise(operators):
            before >> after
    _measure(job, operators[-1])
    _serialise(dag)
    state = str(dag.test().state)
    if state != "success":
        raise RuntimeError(f"the DAG ended as {state}")


def _measure(job: ExportJob, operator: Any) -> None:
    kind = type(operator)
    # Airflow wraps execute so that it warns of a call that is not the task runner's; it wraps ours as well.
    execute = getattr(kind.execute, "__wrapped__", kind.execute)

    def measured(self: Any, context: Any) -> Any:
        children = _children_peak_bytes()
        _forget_peak()
        job.figures["task_start_bytes"] = own_peak_rss_bytes()
        with job.clock():
            result = execute(self, context)
        grown = _children_peak_bytes()
        job.figures["task_peak_bytes"] = own_peak_rss_bytes() + (grown if grown > children else 0)
        return result

    # The task runner looks execute up on the class; a subclass leaves all other operators of this kind unmeasured.
    operator.__class__ = type(kind.__name__, (kind,), {"execute": measured, "__module__": kind.__module__})


def _forget_peak() -> None:
    # Linux: 5 resets VmHWM to the present size. https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html
    if (file := Path("/proc/self/clear_refs")).exists():
        file.write_text("5")


def _children_peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1_024


def _prepare_airflow() -> None:
    home = Path(os.environ["AIRFLOW_HOME"])
    (home / "dags").mkdir(parents=True, exist_ok=True)
    if not (home / "ready").exists():
        from airflow.utils.db import initdb

        initdb()
        (home / "ready").touch()


def _serialise(dag: Any) -> None:
    """Write the DAG to the metadata database, as the dag processor would."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        session.merge(DagBundleModel(name="bench"))
    lazy = LazyDeserializedDAG.from_dag(dag)
    SerializedDAG.bulk_write_to_db("bench", None, [lazy])
    SerializedDagModel.write_dag(lazy, bundle_name="bench")
