"""Bad input of the warehouse and of the program files: a clear error, before anything is paid for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dag_runs import load_dag, states
from shop import FULL_UNTIL, SQL, Shop

from recsync.core.intervals import Interval
from recsync.core.program import DatasetType
from recsync.errors import FatalError


def export(shop: Shop, **sql: str) -> None:
    from recsync.stages.context import StageContext
    from recsync.stages.export.dataset import export_dataset

    shop.write_files(sql=sql)
    stage = StageContext.of(shop.name)
    kind = DatasetType.ITEMS if "items" in sql else DatasetType.INTERACTIONS
    export_dataset(
        stage.program, stage.bucket, kind, Interval.until(FULL_UNTIL), f"{shop.name}/full/x/rows.csv"
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (SQL["interactions"].replace("shop.orders", "shop.sales"), r'relation "shop.sales" does not exist'),
        (SQL["interactions"].replace("customer", "client"), r'column "client" does not exist'),
        (
            SQL["interactions"].replace("AS user_id", "AS who"),
            r"does not return the column\(s\) USER_ID; it returns who",
        ),
        (
            SQL["interactions"].replace(
                "floor(extract(epoch FROM at))", "floor(1000 * extract(epoch FROM at))"
            ),
            "milliseconds",
        ),
        (SQL["interactions"] + " LIMIT 999", "999 interactions"),
        (
            SQL["interactions"] + " AND customer < 'c 2'",
            r"(11|12) users with at least 2|interactions; Amazon",
        ),
        ("SELECT * FROM {{ nonsense }}", "is not a valid template"),
        ("SELEC 1", "syntax error"),
    ],
    ids=["table", "column", "alias", "milliseconds", "interactions", "users", "template", "syntax"],
)
def test_a_broken_query_is_explained_and_nothing_is_written(shop: Shop, query: str, message: str) -> None:
    with pytest.raises(FatalError, match=message) as caught:
        export(shop, interactions=query)
    assert f"{shop.name}/interactions.sql" in str(caught.value)
    assert "Contents" not in shop.services.boto3("s3").list_objects_v2(
        Bucket="recsync-test", Prefix=f"{shop.name}/"
    )


def test_a_full_export_of_a_dataset_without_rows_is_refused(shop: Shop) -> None:
    with pytest.raises(FatalError, match=r"items\.sql returned no row"):
        export(shop, items=SQL["items"] + " AND false")


def test_a_failed_check_stops_the_run_before_anything_is_paid_for(
    shop: Shop, run: Callable[..., Any]
) -> None:
    shop.write_files(sql={"interactions": SQL["interactions"] + " LIMIT 999"})
    found = states(run(f"{shop.name}_train_full"))
    assert found["export_interactions"] == "failed"
    assert found["solution_version"] == "upstream_failed"
    jobs = shop.services.boto3("personalize").list_dataset_import_jobs()["datasetImportJobs"]
    assert not [job for job in jobs if job["jobName"].startswith(shop.name)]


def test_a_broken_program_breaks_its_own_dags_only(shop: Shop, run: Callable[..., Any]) -> None:
    (shop.include / "programs" / "sick.yaml").write_text("braze: {attribute: $}\n")
    broken = load_dag("sick_push")
    assert "broken" in broken.tags
    assert "sick.yaml:1: braze.attribute" in broken.doc_md
    assert run("sick_push").state == "failed"
    assert "broken" not in load_dag(f"{shop.name}_push").tags
