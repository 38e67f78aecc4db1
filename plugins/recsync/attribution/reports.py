"""The metric attribution of a dataset group: what to create or change, and the reports that imports wrote to S3.

https://docs.aws.amazon.com/personalize/latest/dg/metric-attribution-results-s3.html
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resource import State, state_of
from airflow_personalize.resources import METRIC_ATTRIBUTION
from recsync import settings
from recsync.context import StageContext
from recsync.program import names

log = logging.getLogger(__name__)

WITHOUT_SOURCE = "SOURCE_NAME_UNDEFINED"
"""The source of events that follow no mail."""

# "AggregatedAttributionMetrics - ImportMethod - Timestamp.csv"; the guide does not say what the last two look like.
_NAME = re.compile(r"AggregatedAttributionMetrics\s*-\s*(?P<method>.*?)\s*-\s*(?P<time>[^-]*)\.csv")


@dataclass(frozen=True)
class AttributedValue:
    """The value of one metric for one source.

    :param function: ``sum`` or ``samplecount``.
    :param source: the program, or program and arm; ``WITHOUT_SOURCE`` for events that follow no mail.
    :param since: the first window of 15 minutes with such an event; ``until``: the last one.
    """

    metric: str
    event: str
    function: str
    source: str
    value: float
    since: datetime
    until: datetime


@dataclass(frozen=True)
class _Row:
    metric: str
    event: str
    function: str
    source: str
    value: float
    window: int


def attribution_reports(context: StageContext) -> list[AttributedValue]:
    """Return the figures of a program's metric attribution by metric and source, the highest value first.

    A FULL import replaces the rows of the dataset, so its report replaces the earlier ones; later reports add to it.
    For a program over the data of another one, these are the owner's reports.

    :returns: nothing where no import has written a report.
    """
    owner = context.data
    folder = owner.keys.attribution_reports
    reports = [
        # The form of the time in a name is not documented; it only orders reports of one second.
        (entry["LastModified"], name["time"], "full" in name["method"].casefold(), entry["Key"])
        for entry in owner.bucket.listed(folder, first_level=True)
        if (name := _NAME.fullmatch(entry["Key"].removeprefix(folder)))
    ]
    found: list[str] = []
    for _, _, is_full, key in sorted(reports):
        found = [key] if is_full else [*found, key]
    return add_up(row for key in found for row in _rows(owner.bucket.get(key) or b"", key))


def _rows(body: bytes, key: str) -> Iterator[_Row]:
    unreadable = 0
    for row in csv.DictReader(io.StringIO(body.decode(errors="replace"))):
        try:
            yield _Row(
                row["METRIC_NAME"],
                row["EVENT_TYPE"],
                row["MATH_FUNCTION"],
                row["EVENT_ATTRIBUTION_SOURCE"],
                float(row["VALUE"]),
                int(float(row["TIMESTAMP"])),
            )
        except (KeyError, TypeError, ValueError):
            unreadable += 1
    if unreadable:
        log.warning(
            "%d rows of the report %s are not in the documented form and do not count", unreadable, key
        )


def add_up(rows: Iterable[_Row]) -> list[AttributedValue]:
    """Add up the windows of each metric and source."""
    grouped: dict[tuple[str, str, str, str], list[_Row]] = defaultdict(list)
    for row in rows:
        grouped[row.metric, row.event, row.function, row.source].append(row)
    values = [
        AttributedValue(
            *key,
            sum(row.value for row in of_key),
            _time(min(row.window for row in of_key)),
            _time(max(row.window for row in of_key)),
        )
        for key, of_key in grouped.items()
    ]
    return sorted(values, key=lambda each: (each.metric, each.event, -each.value, each.source))


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def summary_lines(values: Sequence[AttributedValue]) -> list[str]:
    """Write one line per metric: its period, and its value by source."""
    lines = []
    for metric in dict.fromkeys(each.metric for each in values):
        of_metric = [each for each in values if each.metric == metric]
        since, until = min(each.since for each in of_metric), max(each.until for each in of_metric)
        parts = [f"{each.value:,.10g} {_after(each.source)}" for each in of_metric]
        lines.append(f"{metric} ({since:%Y-%m-%d} to {until:%Y-%m-%d}): {', '.join(parts)}")
    return lines


def _after(source: str) -> str:
    return "without a mail" if source == WITHOUT_SOURCE else f"after mails of {source}"


def metric_settings(context: StageContext, dataset_group_arn: str, *, items_imported: bool) -> dict[str, Any]:
    """Return the arguments of the operators that create and update the metric attribution.

    :param items_imported: whether items were imported; columns of items can be summed only then.
    :returns: ``metrics``, ``role_arn`` and ``output_path`` to create or adopt; ``add`` and ``remove``: what then has
        to change; ``wanted_role_arn`` and ``wanted_path``: the output after the change.
    """
    attribution, program = context.program.attribution, context.program
    wanted = [
        metric.request for metric in (attribution.metrics if items_imported else attribution.first_metrics)
    ]
    role, path = settings.role_arn_of(program), context.bucket.uri(context.keys.attribution_reports)
    found = _found(
        PersonalizeHook(aws_conn_id=program.aws), names.metric_attribution_name(program), dataset_group_arn
    )
    # The create operator adopts a resource only with equal settings, so it gets the present ones; the update operator
    # then changes them.
    output = found["metricsOutputConfig"] if found else {}
    there = found["metrics"] if found else wanted
    by_name = {metric["metricName"]: metric for metric in wanted}
    kept = {metric.name for metric in attribution.metrics}
    return {
        "metrics": there,
        "role_arn": output.get("roleArn", role),
        "output_path": output.get("s3DataDestination", {}).get("path") if found else path,
        "add": [metric for metric in wanted if metric not in there],
        "remove": [
            metric["metricName"]
            for metric in there
            if metric["metricName"] not in kept or by_name.get(metric["metricName"], metric) != metric
        ],
        "wanted_role_arn": role,
        "wanted_path": path,
    }


def _found(hook: PersonalizeHook, name: str, dataset_group_arn: str) -> dict[str, Any] | None:
    """Describe the program's metric attribution with its metrics; None when there is none."""
    listed = hook.listed(METRIC_ATTRIBUTION, datasetGroupArn=dataset_group_arn)
    own = (each for each in listed if each["name"] == name and state_of(each) is not State.GONE)
    arn = next((each["metricAttributionArn"] for each in own), None)
    described = hook.describe_if_any(METRIC_ATTRIBUTION, arn) if arn else None
    return hook.in_full(METRIC_ATTRIBUTION, described) if described else None
