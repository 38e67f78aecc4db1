"""Addresses of report pages, and the link of a task to its report, whether it succeeds or fails."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from recsync.export.link import REPORTS, report_key, report_link, report_route
from recsync.program import DatasetType
from recsync.storage.keys import Keys

KEY = "shop/exports/reports/items/2025-11-22T0500Z.json"
ADDRESS = "recsync/reports/shop/exports/reports/items/2025-11-22T0500Z"


@pytest.mark.parametrize(
    ("ending", "state"), [("return", "success"), ("raise", "failed"), ("nothing", "success")]
)
def test_link_of_a_task_that_ends(airflow_db, ending, state):
    from airflow.sdk import DAG, BaseOperator

    from recsync.export.link import ExportReportLink

    class Exporting(BaseOperator):
        operator_extra_links = (ExportReportLink(),)

        def execute(self, context: Any) -> None:
            if ending != "nothing":
                ExportReportLink.persist(context, KEY)
            if ending == "raise":
                raise ValueError("a check stopped the export")

    with DAG(f"links_{ending}", schedule=None, default_args={"retries": 0}) as dag:
        Exporting.partial(task_id="export").expand(doc=["of a mapped task"])
    run = run_once(dag)
    (instance,) = run.get_task_instances()
    assert str(instance.state) == state
    assert shown(instance) == (ADDRESS if ending != "nothing" else "")


def shown(instance: Any) -> str:
    """Give the link as the API server reads it, from the serialized DAG and XCom."""
    from airflow.models.serialized_dag import SerializedDagModel

    task = SerializedDagModel.get(instance.dag_id).dag.get_task(instance.task_id)
    return str(task.get_extra_links(instance, "Export report"))


def run_once(dag: Any) -> Any:
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
    return dag.test(logical_date=datetime(2026, 1, 1, tzinfo=UTC))


KEYS = Keys("shop")


@pytest.mark.parametrize("kind", DatasetType)
@pytest.mark.parametrize("full", [False, True])
def test_report_addresses_round_trip(kind, full):
    exported = KEYS.full("20251122T050000-0a1b2c3d", kind) if full else KEYS.export(kind, "2025-11-22T0500Z")
    key = KEYS.companion(exported, "reports", ".json")
    route = report_route(key)
    assert report_key("shop", route.removeprefix(f"{REPORTS}/shop/")) == key
    assert report_link(key) == f"recsync{route}"


@pytest.mark.parametrize(
    "path",
    [
        "state/champion",
        "exports/manifests/2025-11-22T0500Z",
        "exports/quarantine/interactions/2025-11-22T0500Z",
        "exports/reports/interactions/../../../state/champion",
        "exports/reports/audience/2025-11-22T0500Z",
        "exports/reports/items/2025-11-22T0500Z\n",
        "full/../reports/items",
        "full/run/manifest",
        "../other/exports/reports/items/2025-11-22T0500Z",
        "",
    ],
)
def test_an_address_names_only_reports(path):
    assert report_key("shop", path) is None
