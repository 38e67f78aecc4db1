"""Bad input of the warehouse and of the program files: a clear error, before anything is paid for."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from dag_runs import load_dag, states
from services import BUCKET
from shop import CUSTOMERS, FULL_UNTIL, SQL, Shop

from recsync.errors import FatalError, RetriableError
from recsync.export.manifest import ExportedObject
from recsync.program import DatasetType
from recsync.program.intervals import Interval


def export(shop: Shop, **sql: str) -> ExportedObject:
    from recsync.context import StageContext
    from recsync.export.dataset import export_dataset

    shop.write_files(sql=sql)
    kind = DatasetType.ITEMS if "items" in sql else DatasetType.INTERACTIONS
    key = f"{shop.name}/full/x/{kind.folder}.csv"
    return export_dataset(StageContext.of(shop.name), kind, Interval.until(FULL_UNTIL), key)


def objects(shop: Shop) -> list[str]:
    listed = shop.services.boto3("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{shop.name}/")
    return [entry["Key"].removeprefix(f"{shop.name}/full/x/") for entry in listed.get("Contents", [])]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (SQL["interactions"].replace("shop.orders", "shop.sales"), r'relation "shop.sales" does not exist'),
        (SQL["interactions"].replace("customer", "client"), r'column "client" does not exist'),
        (
            SQL["interactions"].replace("AS user_id", "AS who"),
            r"does not return the column\(s\) USER_ID; it returns who",
        ),
        ("SELECT * FROM {{ nonsense }}", r"interactions\.sql:1: unknown variable nonsense\."),
        ("SELEC 1", "syntax error"),
    ],
    ids=["table", "column", "alias", "template", "syntax"],
)
def test_a_broken_query_is_explained_and_nothing_is_written(shop: Shop, query: str, message: str) -> None:
    with pytest.raises(FatalError, match=message) as caught:
        export(shop, interactions=query)
    assert f"{shop.name}/interactions.sql" in str(caught.value)
    assert objects(shop) == []


@pytest.mark.parametrize(
    ("query", "message", "rule"),
    [
        (
            SQL["interactions"].replace("floor(extract(epoch", "floor(1000 * extract(epoch"),
            "milliseconds",
            "timestamp_unit",
        ),
        (SQL["interactions"] + " LIMIT 999", "999 interactions", "min_interactions"),
        (SQL["interactions"] + " AND customer < 'c 2'", "(11|12) users with at least 2", "min_users"),
    ],
    ids=["milliseconds", "interactions", "users"],
)
def test_rows_that_cannot_be_trained_on_stop_the_export_and_leave_a_report(
    shop: Shop, query: str, message: str, rule: str
) -> None:
    with pytest.raises(FatalError, match=message) as caught:
        export(shop, interactions=query)
    assert f"{shop.name}/interactions.sql" in str(caught.value)
    assert "interactions.csv" not in objects(shop)
    report_uri = f"s3://{BUCKET}/{shop.name}/full/x/reports/interactions.json"
    assert report_uri in str(caught.value), "the error says where the report lies"
    body = shop.services.boto3("s3").get_object(Bucket=BUCKET, Key=report_uri.split("/", 3)[3])["Body"].read()
    report = json.loads(body)
    assert report["verdict"] == "stopped"
    assert rule in [finding["rule"] for finding in report["findings"] if finding["level"] == "stop"]


def test_a_few_bad_rows_are_left_out_and_kept_aside(shop: Shop) -> None:
    shop.add_orders(
        [("", "p-1", FULL_UNTIL - timedelta(hours=2)), ('a"b\nc', "p-2", FULL_UNTIL - timedelta(hours=2))]
    )
    exported = export(shop, interactions=SQL["interactions"])
    assert (exported.rows, exported.quarantined) == (CUSTOMERS * 25, 2)
    assert sorted(objects(shop)) == [
        "ids/interactions.users.u64",
        "interactions.csv",
        "quarantine/interactions.jsonl",
        "reports/interactions.html",
        "reports/interactions.json",
    ]
    s3 = shop.services.boto3("s3")
    lines = s3.get_object(Bucket=BUCKET, Key=f"{shop.name}/full/x/quarantine/interactions.jsonl")[
        "Body"
    ].read()
    kept = [json.loads(line) for line in lines.splitlines()]
    assert sorted((row["rule"], row["values"]["USER_ID"]) for row in kept) == [
        ("id_characters", 'a"b\nc'),
        ("id_empty", ""),
    ]
    shop.services.execute("DELETE FROM shop.orders WHERE customer NOT LIKE 'c %'")
    assert export(shop, interactions=SQL["interactions"]).quarantined == 0
    assert "quarantine/interactions.jsonl" not in objects(shop), (
        "a rerun without bad rows leaves none of the former"
    )


# More than one part of an upload: whatever breaks late has something to leave behind.
MANY = """
    SELECT 'c ' || n % 60 AS user_id, repeat('p', 150) || n AS item_id,
        {{ epoch("timestamptz '" ~ data_interval_end ~ "' - n * interval '1 second'") }} AS timestamp
    FROM generate_series(1, 100000) AS n
"""


def test_a_query_that_fails_at_a_late_row_leaves_the_former_object(shop: Shop) -> None:
    former = export(shop, interactions=SQL["interactions"])
    with pytest.raises(FatalError, match=r"division by zero.*SQLSTATE 22012"):
        export(shop, interactions=MANY + "WHERE 1 / (90000 - n) < 5")
    s3 = shop.services.boto3("s3")
    assert s3.head_object(Bucket=BUCKET, Key=former.key)["ETag"] == former.etag
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{shop.name}/")


def test_s3_refusing_in_the_middle_of_an_upload_is_tried_again_and_leaves_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsync.storage.object_writer import ObjectWriter

    real, s3 = ObjectWriter._upload, shop.services.boto3("s3")

    def after_somebody_aborted(self: ObjectWriter, number: int, body: bytearray) -> str:
        if number == 2:
            s3.abort_multipart_upload(Bucket=BUCKET, Key=self.key, UploadId=self._upload_id)
        return real(self, number, body)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(ObjectWriter, "_upload", after_somebody_aborted)
        with pytest.raises(RetriableError, match=r"S3 failed on s3://.*interactions\.csv"):
            export(shop, interactions=MANY)
    assert "interactions.csv" not in objects(shop)
    assert export(shop, interactions=MANY).rows == 100_000


def test_a_column_that_becomes_another_type_stops_the_export_and_says_which(shop: Shop) -> None:
    with pytest.raises(FatalError, match=r"does not allow in PRICE \(float\)"):
        export(shop, items=SQL["items"].replace("price,", "'cheap' AS price,"))
    assert "items.csv" not in objects(shop)


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


def test_programs_that_write_to_the_same_attribute_write_nothing_and_go_on_otherwise(shop: Shop) -> None:
    folder = shop.include / "programs"
    (folder / "rival.yaml").write_text((folder / f"{shop.name}.yaml").read_text())
    for kind in ("sql", "schemas"):
        (shop.include / kind / "rival").symlink_to(shop.include / kind / shop.name)
    for name, other in (("rival", shop.name), (shop.name, "rival")):
        broken = load_dag(f"{name}_push")
        assert "broken" in broken.tags
        assert f"braze.attribute: {other}.yaml writes to the same Braze attribute" in broken.doc_md
        assert "broken" not in load_dag(f"{name}_export").tags
