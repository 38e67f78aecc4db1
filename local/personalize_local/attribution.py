"""Compute what a metric attribution reports, and write it where the service does.

https://docs.aws.amazon.com/personalize/latest/dg/metric-attribution-results.html documents:

- Import jobs with `publishAttributionMetricsToS3` write `AggregatedAttributionMetrics - ImportMethod - Timestamp.csv`,
  with the columns of `COLUMNS` and a row per metric, source and window of 15 minutes.
- PutEvents and INCREMENTAL imports send the same figures to CloudWatch, for records of less than 14 days. There is no
  CloudWatch here: they are appended to `cloudwatch/<metric attribution>.csv` of the data folder, in the same columns.
- A row without a source counts as `SOURCE_NAME_UNDEFINED`.

Not documented, so ours: `ImportMethod` is the import mode, `Timestamp` the creation of the job in epoch seconds; a
report names the begin of each window, which is a full quarter of an hour, newest first; event types are compared
exactly; a recommendation id alone names no campaign, because the local server does not keep them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.resources import ACTIVE, METRIC_ATTRIBUTION, Resource
from personalize_local.store import Store

COLUMNS = ("METRIC_NAME", "EVENT_TYPE", "VALUE", "MATH_FUNCTION", "EVENT_ATTRIBUTION_SOURCE", "TIMESTAMP")
UNDEFINED = "SOURCE_NAME_UNDEFINED"
SUM = re.compile(r"SUM\(\s*(Items|Interactions)\.(\w+)\s*\)", re.IGNORECASE)
_WINDOW_SECONDS = 15 * 60
_CLOUDWATCH_SECONDS = 14 * 86_400
Row = tuple[str, str, float, str, str, int]


def attribution_of(store: Store, group_arn: str) -> Resource | None:
    """Return the ACTIVE metric attribution of a dataset group; None without one."""
    found = store.select(METRIC_ATTRIBUTION.noun, parent_arn=group_arn, statuses=[ACTIVE])
    return next(iter(found), None)


def items_for(store: Store, group_arn: str, metrics: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the files of the Items dataset when a metric sums one of its columns."""
    sums = [SUM.fullmatch(metric["expression"]) for metric in metrics]
    if not any(found and found[1].lower() == "items" for found in sums):
        return []
    items = dataset_parts(store, group_arn).get("ITEMS")
    return list(items.parts) if items else []


def figures(
    interactions: pa.Table, metrics: Sequence[Mapping[str, str]], item_parts: Sequence[str]
) -> list[Row]:
    """Compute the rows of a report over interactions, newest window first."""
    rows: list[Row] = []
    for metric in metrics:
        if "EVENT_TYPE" in interactions.column_names:
            table = interactions.filter(pc.equal(interactions["EVENT_TYPE"], metric["eventType"]))
            rows += _of_metric(table, metric, item_parts)
    return sorted(rows, key=lambda row: (-row[5], row[0], row[4]))


def _of_metric(table: pa.Table, metric: Mapping[str, str], item_parts: Sequence[str]) -> list[Row]:
    times = table["TIMESTAMP"].cast(pa.int64()).to_numpy()
    sources = pa.nulls(table.num_rows, pa.string())
    if "EVENT_ATTRIBUTION_SOURCE" in table.column_names:
        sources = table["EVENT_ATTRIBUTION_SOURCE"]
    summed = SUM.fullmatch(metric["expression"])
    grouped = pa.table(
        {
            "source": pc.fill_null(sources.cast(pa.string()), UNDEFINED),
            "window": times - times % _WINDOW_SECONDS,
            "value": _values(table, summed, item_parts) if summed else np.ones(table.num_rows),
        }
    ).group_by(["source", "window"])
    function = "sum" if summed else "samplecount"
    return [
        (metric["metricName"], metric["eventType"], row["value_sum"], function, row["source"], row["window"])
        for row in grouped.aggregate([("value", "sum")]).to_pylist()
    ]


def _values(table: pa.Table, summed: re.Match[str], item_parts: Sequence[str]) -> Any:
    column = summed[2]
    if summed[1].lower() == "interactions":
        return pc.fill_null(table[column].cast(pa.float64()), 0.0)
    if not item_parts:
        return np.zeros(table.num_rows)
    items = pa.concat_tables([pq.read_table(part, columns=["ITEM_ID", column]) for part in item_parts])
    ids, last = items["ITEM_ID"].to_pylist(), items[column].cast(pa.float64()).to_pylist()
    by_id = dict(zip(ids, last, strict=True))
    return np.array([by_id.get(item) or 0.0 for item in table["ITEM_ID"].to_pylist()])


def as_csv(rows: Sequence[Row]) -> str:
    """Write a report."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def report_name(import_mode: str, created_seconds: float) -> str:
    """Name the report of an import job; a job that is repeated after a kill replaces its report."""
    return f"AggregatedAttributionMetrics - {import_mode} - {int(created_seconds)}.csv"


def send_to_cloudwatch(folder: Path, attribution: str, rows: Sequence[Row], now_seconds: float) -> None:
    """Append figures to the file that replaces CloudWatch.

    :param folder: of the server's data.
    """
    recent = [row for row in rows if row[5] > now_seconds - _CLOUDWATCH_SECONDS]
    if not recent:
        return
    path = folder / "cloudwatch" / f"{attribution}.csv"
    path.parent.mkdir(exist_ok=True)
    text = as_csv(recent)
    with path.open("a", encoding="utf-8") as file:
        file.write(text if file.tell() == 0 else text.split("\n", 1)[1])
