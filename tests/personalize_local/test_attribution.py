"""Reports of metric attributions: their figures, and where the server writes them."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from personalize_local.attribution import COLUMNS, UNDEFINED, as_csv, figures, send_to_cloudwatch

QUARTER = 900
T = 1_700_000_000 - 1_700_000_000 % QUARTER
ROLE = "arn:aws:iam::000000000000:role/PersonalizeRole"
SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        *({"name": name, "type": "string"} for name in ("USER_ID", "ITEM_ID", "EVENT_TYPE")),
        {"name": "EVENT_VALUE", "type": ["null", "float"]},
        {"name": "EVENT_ATTRIBUTION_SOURCE", "type": ["null", "string"]},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}


def metric(name: str, expression: str = "SAMPLECOUNT()", event: str = "buy") -> dict[str, str]:
    return {"metricName": name, "eventType": event, "expression": expression}


def events(*rows: tuple[str, str, float | None, str | None, int]) -> pa.Table:
    names = ("ITEM_ID", "EVENT_TYPE", "EVENT_VALUE", "EVENT_ATTRIBUTION_SOURCE", "TIMESTAMP")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


def test_figures_are_by_metric_source_and_quarter_of_an_hour() -> None:
    table = events(
        ("i1", "buy", 2.0, "mail", T),
        ("i2", "buy", None, "mail", T + QUARTER - 1),
        ("i1", "buy", 5.0, None, T),
        ("i1", "buy", 1.0, "mail", T + QUARTER),
        ("i1", "view", 9.0, "mail", T),
    )
    found = figures(table, [metric("count"), metric("value", "sum(interactions.EVENT_VALUE)")], [])
    assert found == [
        ("count", "buy", 1, "samplecount", "mail", T + QUARTER),
        ("value", "buy", 1.0, "sum", "mail", T + QUARTER),
        ("count", "buy", 1, "samplecount", UNDEFINED, T),
        ("count", "buy", 2, "samplecount", "mail", T),
        ("value", "buy", 5.0, "sum", UNDEFINED, T),
        ("value", "buy", 2.0, "sum", "mail", T),
    ]


def test_columns_of_items_are_summed_over_the_events(tmp_path: Path) -> None:
    part = tmp_path / "items.parquet"
    pq.write_table(pa.table({"ITEM_ID": ["i1", "i2"], "PRICE": [3.0, None]}), part)
    table = events(("i1", "buy", None, None, T), ("i1", "buy", None, None, T), ("i2", "buy", None, None, T))
    (row,) = figures(table, [metric("spent", "SUM(Items.PRICE)")], [str(part)])
    assert row[2] == pytest.approx(6)


def test_cloudwatch_gets_what_is_younger_than_14_days(tmp_path: Path) -> None:
    rows = figures(events(("i", "buy", 1, "a", T), ("i", "buy", 1, "b", T - 14 * 86_400)), [metric("n")], [])
    for _ in range(2):
        send_to_cloudwatch(tmp_path, "shop", rows, T + 60)
    text = (tmp_path / "cloudwatch/shop.csv").read_text()
    assert text == as_csv(rows[:1] * 2)
    send_to_cloudwatch(tmp_path, "other", rows, T + 30 * 86_400)
    assert not (tmp_path / "cloudwatch/other.csv").exists()


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def dataset(world: Any) -> str:
    """Interactions of a group with a metric attribution that writes below `reports/`."""
    group = world.group()
    arn = str(world.dataset(group, SCHEMA))
    created = world.personalize.create_metric_attribution(
        name=world.name("attribution"),
        datasetGroupArn=group,
        metrics=[metric("purchases"), metric("revenue", "SUM(Interactions.EVENT_VALUE)")],
        metricsOutputConfig={
            "roleArn": ROLE,
            "s3DataDestination": {"path": f"s3://{world.bucket}/{group.rsplit('/')[-1]}/reports/"},
        },
    )
    world.wait("MetricAttribution", created["metricAttributionArn"])
    return arn


def imported(world: Any, dataset: str, text: str, *, mode: str = "FULL", publish: bool = True) -> str:
    job = world.personalize.create_dataset_import_job(
        jobName=world.name("import"),
        datasetArn=dataset,
        dataSource={"dataLocation": world.put(f"{world.name('rows')}.csv", text)},
        roleArn=ROLE,
        importMode=mode,
        publishAttributionMetricsToS3=publish,
    )["datasetImportJobArn"]
    found = world.wait("DatasetImportJob", job)
    assert found["status"] == "ACTIVE", found
    return f"{found['creationDateTime'].timestamp():.0f}"


def rows(first: int, count: int, source: str = "mail") -> str:
    lines = [f"u{n},i1,buy,2,{source},{first + n}" for n in range(count)]
    return "\n".join(
        ["USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,EVENT_ATTRIBUTION_SOURCE,TIMESTAMP", *lines, ""]
    )


def test_an_import_writes_its_report_to_s3_where_it_is_asked_to(
    world: Any, dataset: str, fast_server: Any
) -> None:
    folder = f"{dataset.split('/')[1]}/reports/"
    imported(world, dataset, rows(T, 300), publish=False)
    assert world.keys(folder) == []
    imported(world, dataset, rows(T, 300))
    (key,) = world.keys(folder)
    prefix, mode, stamp = key.removeprefix(folder).split(" - ")
    assert (prefix, mode) == ("AggregatedAttributionMetrics", "FULL")
    assert int(stamp.removesuffix(".csv")) <= time.time()
    text = world.read(key)
    assert tuple(text.splitlines()[0].split(",")) == COLUMNS
    found = read(text)
    assert sum(float(row["VALUE"]) for row in found if row["METRIC_NAME"] == "purchases") == 300
    assert sum(float(row["VALUE"]) for row in found if row["METRIC_NAME"] == "revenue") == 600
    assert {row["EVENT_ATTRIBUTION_SOURCE"] for row in found} == {"mail"}
    now = int(time.time())
    imported(world, dataset, rows(now - 2_000, 300), mode="INCREMENTAL")
    (added,) = set(world.keys(folder)) - {key}
    assert " - INCREMENTAL - " in added
    attribution = world.personalize.list_metric_attributions(
        datasetGroupArn=dataset.replace(":dataset/", ":dataset-group/").rpartition("/")[0]
    )["metricAttributions"][0]["name"]
    sent = fast_server.service._storage.root / "cloudwatch" / f"{attribution}.csv"
    assert (
        sum(float(row["VALUE"]) for row in read(sent.read_text()) if row["METRIC_NAME"] == "purchases") == 300
    )


def test_streamed_events_are_sent_to_cloudwatch(world: Any, dataset: str, fast_server: Any) -> None:
    import boto3

    group = dataset.replace(":dataset/", ":dataset-group/").rpartition("/")[0]
    tracker = world.personalize.create_event_tracker(name=world.name("tracker"), datasetGroupArn=group)
    world.wait("EventTracker", tracker["eventTrackerArn"])
    client = boto3.client("personalize-events", endpoint_url=world.url, region_name=world.region)
    event = {"eventType": "buy", "itemId": "i1", "sentAt": int(time.time()), "eventValue": 4.0}
    client.put_events(
        trackingId=tracker["trackingId"],
        userId="u1",
        sessionId="s1",
        eventList=[{**event, "metricAttribution": {"eventAttributionSource": "partner"}}, event],
    )
    name = world.personalize.list_metric_attributions(datasetGroupArn=group)["metricAttributions"][0]["name"]
    sent = read((fast_server.service._storage.root / "cloudwatch" / f"{name}.csv").read_text())
    found = {(row["METRIC_NAME"], row["EVENT_ATTRIBUTION_SOURCE"]): float(row["VALUE"]) for row in sent}
    assert found == {
        ("purchases", "partner"): 1,
        ("purchases", UNDEFINED): 1,
        ("revenue", "partner"): 4,
        ("revenue", UNDEFINED): 4,
    }
