"""The section ``personalize.attribution``: metric attribution, and columns of exports about the mail before an event.

https://docs.aws.amazon.com/personalize/latest/dg/measuring-recommendation-impact.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from recsync.formatting import did_you_mean
from recsync.program.data import DatasetType, EventType
from recsync.program.problems import Problem
from recsync.program.section import Strict, matching

if TYPE_CHECKING:
    from recsync.program.avro import AvroSchema

SOURCE_COLUMN, IMPRESSION_COLUMN = "EVENT_ATTRIBUTION_SOURCE", "IMPRESSION"

# https://docs.aws.amazon.com/personalize/latest/dg/metric-attribution-requirements.html
MAX_METRICS = 10
MAX_SOURCES = 100
# The limit of PutEvents; the guide names none for bulk data.
# https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_Event.html
MAX_IMPRESSIONS = 25
MAX_IMPRESSION_CHARACTERS = 1_000
# Rows selected by ingestion time may be this late; exports also read earlier and missed intervals of up to a week.
LATE_EVENTS_DAYS = 7

_SUM = re.compile(r"SUM\(\s*(Items|Interactions)\.(\w+)\s*\)", re.IGNORECASE)
_SAMPLE_COUNT = re.compile(r"SAMPLECOUNT\(\s*\)", re.IGNORECASE)


def _expression(value: str) -> str:
    if _SUM.fullmatch(value) or _SAMPLE_COUNT.fullmatch(value):
        return value
    raise ValueError(
        "must be SAMPLECOUNT(), SUM(Interactions.COLUMN) or SUM(Items.COLUMN), such as SUM(Interactions.EVENT_VALUE)"
    )


class AttributedMetric(Strict):
    """One metric: a function over the events of one type.

    :param name: in reports and in CloudWatch.
    :param event: event type.
    :param expression: ``SAMPLECOUNT()``, or ``SUM(…)`` of a numeric column of the interactions or the items.
    """

    name: Annotated[
        str,
        matching(
            r"^[A-Za-z0-9_\-]{1,256}$",
            "be the name of a metric: at most 256 letters, digits, - and _",
            suggest=lambda text: re.sub(r"[^A-Za-z0-9_\-]+", "_", text).strip("_"),
        ),
    ]
    event: EventType
    expression: str = "SAMPLECOUNT()"

    @field_validator("expression")
    @classmethod
    def _is_known(cls, value: str) -> str:
        return _expression(value)

    @property
    def summed(self) -> tuple[DatasetType, str] | None:
        """Return the dataset and the column that are summed; None for ``SAMPLECOUNT()``."""
        found = _SUM.fullmatch(self.expression)
        return (DatasetType(found[1].upper()), found[2]) if found else None

    @property
    def request(self) -> dict[str, str]:
        """Return the API's ``MetricAttribute``."""
        return {"eventType": self.event, "metricName": self.name, "expression": self.expression}


class Attribution(Strict):
    """What exports say about mails, and what Amazon Personalize reports about them.

    :param metrics: of the dataset group's metric attribution; empty: none is created.
    :param source: what ``EVENT_ATTRIBUTION_SOURCE`` names for an event about an item that was mailed: the program, or
        the program and the person's arm of its experiment; None: the column is not filled.
    :param impressions: number of items of the last list in ``IMPRESSION``; 0: the column is not filled.
    :param window_days: days after a delivery in which events are attributed to its lists.
    """

    metrics: tuple[AttributedMetric, ...] = Field(default=(), max_length=MAX_METRICS)
    source: Literal["program", "arm"] | None = None
    impressions: int = Field(default=0, ge=0, le=MAX_IMPRESSIONS)
    window_days: int = Field(default=7, ge=1, le=90)

    @field_validator("metrics")
    @classmethod
    def _are_different(cls, metrics: tuple[AttributedMetric, ...]) -> tuple[AttributedMetric, ...]:
        names = [metric.name for metric in metrics]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each metric needs a name of its own; {', '.join(repeated)} is there twice")
        return metrics

    @property
    def first_metrics(self) -> tuple[AttributedMetric, ...]:
        """Return the metrics that can be created before the items are imported.

        https://docs.aws.amazon.com/personalize/latest/dg/creating-metric-attribution.html
        """
        return tuple(
            each for each in self.metrics if each.summed is None or each.summed[0] is not DatasetType.ITEMS
        )

    @property
    def filled(self) -> dict[str, tuple[str, ...]]:
        """Return the columns of interactions that an export fills, each with the field that asks for it."""
        asked = {SOURCE_COLUMN: ("source", self.source), IMPRESSION_COLUMN: ("impressions", self.impressions)}
        return {
            column: ("personalize", "attribution", name) for column, (name, value) in asked.items() if value
        }


def attribution_schema_problems(
    attribution: Attribution, kind: DatasetType, schema: AvroSchema
) -> Iterator[Problem]:
    """Yield the mistakes beside one dataset's schema; fields are below ``personalize.attribution``."""
    if kind is DatasetType.INTERACTIONS:
        for column, field in attribution.filled.items():
            if column not in schema.columns:
                text = f'needs the field {{"name": "{column}", "type": ["null", "string"]}} in the schema'
                yield Problem((field[-1],), text)
        if attribution.metrics and "EVENT_TYPE" not in schema.columns:
            yield Problem(("metrics",), "needs a field EVENT_TYPE of type string")
    for place, metric in enumerate(attribution.metrics):
        if metric.summed is None or metric.summed[0] is not kind:
            continue
        numbers = [field.name for field in schema.fields if field.is_number]
        if metric.summed[1] not in numbers:
            yield Problem(
                ("metrics", place, "expression"),
                f"sums a column that is no number of the schema; there are {', '.join(numbers) or 'none'}"
                + did_you_mean(metric.summed[1], numbers),
                metric.expression,
            )


def attribution_problems(
    attribution: Attribution, datasets: Collection[DatasetType], *, mails_actions: bool
) -> Iterator[Problem]:
    """Yield the mistakes in the program file alone; fields are below ``personalize.attribution``.

    :param datasets: of the program.
    :param mails_actions: whether its lists contain actions instead of items.
    """
    for column, field in attribution.filled.items() if mails_actions else ():
        text = f"fills {column} with items that were mailed, but the lists hold actions; remove it"
        yield Problem((field[-1],), text)
    for place, metric in enumerate(attribution.metrics):
        if metric.summed and metric.summed[0] not in datasets:
            text = f"sums a column of the {metric.summed[0].folder}; add datasets.{metric.summed[0].folder}: {{}}"
            yield Problem(("metrics", place, "expression"), text, metric.expression)
    if attribution.metrics and not attribution.first_metrics:
        yield Problem(
            ("metrics",),
            "needs one that does not sum a column of the items, such as SAMPLECOUNT(): Amazon Personalize sums these "
            "only after the items' first import, and the metric attribution is created before it",
        )


def source_of(program: str, arm: str | None, source: str | None) -> str:
    """Return the ``EVENT_ATTRIBUTION_SOURCE`` of a mail: ``program`` or ``program/arm``."""
    return f"{program}/{arm}" if source == "arm" and arm else program
