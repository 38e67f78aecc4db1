"""Run DAGs of dags/ in process, without a scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DAGS = Path(__file__).resolve().parents[2] / "dags"


def load_dag(dag_id: str) -> Any:
    """Parse the file of a DAG anew, as a change of the program files needs."""
    from airflow.dag_processing.dagbag import DagBag

    file = next(path for path in DAGS.glob("*.py") if dag_id.endswith(f"_{path.stem}"))
    bag = DagBag(file, bundle_name="testing", bundle_path=DAGS)
    assert not bag.import_errors, bag.import_errors
    return bag.dags[dag_id]


def serialise(dag: Any) -> None:
    """Write a DAG to the metadata database, as the dag processor would."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        session.merge(DagBundleModel(name="testing"))
    lazy = LazyDeserializedDAG.from_dag(dag)
    SerializedDAG.bulk_write_to_db("testing", None, [lazy])
    SerializedDagModel.write_dag(lazy, bundle_name="testing")


def run_dag(dag_id: str, **kwargs: Any) -> Any:
    """Run a DAG with ``dag.test()``.

    :param kwargs: of ``dag.test``: run_conf, logical_date, …
    """
    dag = load_dag(dag_id)
    for task in dag.tasks:
        task.retries = 0
    serialise(dag)
    return dag.test(**kwargs)


def states(dag_run: Any) -> dict[str, str]:
    """Give each task's state."""
    found: dict[str, str] = {}
    for ti in dag_run.get_task_instances():
        found[ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"] = str(ti.state)
    return found


def xcoms() -> list[str]:
    """Give every XCom of the runs so far as text; none where no run began."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import inspect, select

    with create_session() as session:
        if not inspect(session.get_bind()).has_table(XComModel.__tablename__):
            return []
        rows = session.execute(select(XComModel.dag_id, XComModel.task_id, XComModel.key, XComModel.value))
        return [f"XCom {row.key} of {row.dag_id}.{row.task_id}: {row.value}" for row in rows]
