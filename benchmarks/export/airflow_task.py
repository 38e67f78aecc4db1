"""Run operators inside an Airflow task: the task runner, templates and XComs included, but no scheduler."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.job import ExportJob, own_peak_rss_bytes

_SAMPLE_SECONDS = 0.02


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
        _forget_peak()
        job.figures["task_start_bytes"] = own_peak_rss_bytes()
        with _children_peaks() as children, job.clock():
            result = execute(self, context)
        job.figures["task_peak_bytes"] = own_peak_rss_bytes() + max(children.values(), default=0)
        return result

    # The task runner looks execute up on the class; a subclass leaves all other operators of this kind unmeasured.
    operator.__class__ = type(kind.__name__, (kind,), {"execute": measured, "__module__": kind.__module__})


def _forget_peak() -> None:
    # Linux: 5 resets VmHWM to the present size. https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html
    if (file := Path("/proc/self/clear_refs")).exists():
        file.write_text("5")


@contextmanager
def _children_peaks() -> Generator[dict[int, int], None, None]:
    """Sample what child processes add to the memory at their peak, in bytes by process id.

    ``ru_maxrss`` of a child counts what its parent held when it was started: the task itself.
    """
    peaks: dict[int, int] = {}
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            for child in _children():
                # Of a child that has just begun, this is the parent's; the last sample is right.
                peaks[child] = _peak_bytes(child) or peaks.get(child, 0)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


def _children() -> list[int]:
    listed = (path for path in Path("/proc/self/task").glob("*/children"))
    return [int(child) for path in listed for child in _text(path).split()]


def _peak_bytes(process: int) -> int | None:
    """Return the most memory a process added to its parent's; None when it has ended.

    Pages that it shares, such as those of Python and libpq, are in the parent's peak already.
    """
    texts = (_text(Path(f"/proc/{process}") / name) for name in ("status", "smaps_rollup"))
    fields = dict(line.split(":", 1) for text in texts for line in text.splitlines() if ":" in line)
    if not {"VmHWM", "Shared_Clean", "Shared_Dirty"} <= fields.keys():
        return None
    peak, *shared = (int(fields[name].split()[0]) for name in ("VmHWM", "Shared_Clean", "Shared_Dirty"))
    return (peak - sum(shared)) * 1_024


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


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
