"""Schemas of the tables: names, columns, keys and partitions, as docs/tables.md shows them.

Schemas are stable: new columns are added at the end only, and are null in older objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class ColumnKind(StrEnum):
    """Types that every engine reads from Parquet: no unsigned integers, no dictionaries, times in microseconds UTC."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"


@dataclass(frozen=True)
class TableColumn:
    """One column.

    :param kind: of its values; every column may be null.
    :param meaning: in a few words, for DDL and docs.
    :param personal: whether it holds data about one person, such as an id.
    """

    name: str
    kind: ColumnKind
    meaning: str
    personal: bool = False


@dataclass(frozen=True)
class TableSchema:
    """One table.

    :param about: meaning of a row.
    :param day: meaning of the partition column ``date`` (a day, UTC).
    :param key: columns that identify a row; empty: rows are as the warehouse returned them.
    :param objects: what the objects of a partition are named after.
    :param columns: without the partition column, which is only in the path.
    :param order: columns by which an object is sorted, so that a reader skips row groups.
    """

    name: str
    about: str
    day: str
    key: tuple[str, ...]
    objects: str
    columns: tuple[TableColumn, ...]
    order: tuple[str, ...]

    @property
    def is_personal(self) -> bool:
        """Whether it holds personal data."""
        return any(column.personal for column in self.columns)

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        return [column.name for column in self.columns]


DATE = "date"
"""The partition column of every table."""
_T, _I, _N, _B, _TIME = (
    ColumnKind.TEXT,
    ColumnKind.INTEGER,
    ColumnKind.NUMBER,
    ColumnKind.BOOLEAN,
    ColumnKind.TIME,
)
_PROGRAM = TableColumn("program", _T, "name of the program")
_USER = TableColumn("user_id", _T, "the person in the warehouse and in Amazon Personalize", personal=True)
_PERSON = TableColumn("external_id", _T, "the person in Braze, by the program's identifier", personal=True)
_DELIVERY = TableColumn("delivery", _T, "name of the delivery")
_RUN = TableColumn("run", _T, "recommend run that was delivered")
_ARM = TableColumn("arm", _T, "arm of the experiment; null: outside, or no experiment ran")

ACCOUNTS = TableSchema(
    "accounts",
    "one person of one delivery, with the outcome",
    "the plan of the delivery",
    ("delivery", "external_id"),
    "delivery",
    (
        _PROGRAM,
        _DELIVERY,
        _RUN,
        TableColumn("planned_at", _TIME, "when the delivery was planned"),
        TableColumn("user_id", _T, f"{_USER.meaning}; null: the run kept no audience", personal=True),
        _PERSON,
        TableColumn(
            "outcome",
            _T,
            "sent, unchanged, removed, rejected, dead_lettered, suppressed, deferred, kept or held_out",
        ),
        TableColumn("reason", _T, "why the person was not sent a list; null when sent"),
        TableColumn("data_points", _I, "Braze data points of what was written"),
        _ARM,
    ),
    ("user_id", "external_id"),
)
LISTS = TableSchema(
    "lists",
    "one item of the list of one person",
    "the recommend run",
    ("run", "external_id", "position"),
    "run",
    (
        _PROGRAM,
        TableColumn("run", _T, "recommend run that made the list"),
        TableColumn("created_at", _TIME, "when the run was created"),
        TableColumn("user_id", _T, f"{_USER.meaning}; null: the run kept no audience", personal=True),
        _PERSON,
        TableColumn("position", _I, "place in the list, from 1"),
        TableColumn("item_id", _T, "the item"),
        TableColumn(
            "score",
            _N,
            "score of Amazon Personalize; null: the item came from elsewhere, or no scores were read",
        ),
        TableColumn("tier", _T, "furthest source of the whole list: personal, or a tier of the fallback"),
        TableColumn(
            "rule",
            _T,
            "what put the item there: personal, promoted, new_items_share or a fallback tier; null: not recorded",
        ),
        TableColumn(
            "solution_version",
            _T,
            "ARN of the person's solution version, by arm; null: the list is of no model",
        ),
        _ARM,
    ),
    ("user_id", "external_id", "position"),
)
VERSIONS = TableSchema(
    "versions",
    "one metric of one evaluated solution version; one row with a null metric for a version without metrics",
    "the evaluation",
    ("solution_version", "evaluated_at", "metric"),
    "day",
    (
        _PROGRAM,
        TableColumn("solution_version", _T, "ARN of the solution version"),
        TableColumn("segment_version", _T, "ARN of the version that finds the audience; null without one"),
        TableColumn("training_mode", _T, "FULL or UPDATE"),
        TableColumn("evaluated_at", _TIME, "when it was evaluated"),
        TableColumn("dag_run", _T, "Airflow run that evaluated it"),
        TableColumn("outcome", _T, "promoted, rolled back to, refused or rejected"),
        TableColumn("is_champion", _B, "whether it became champion in this evaluation"),
        TableColumn("reason", _T, "why it was not promoted, or why it was rolled back to"),
        TableColumn("metric", _T, "name of the metric, as Amazon Personalize calls it"),
        TableColumn("metric_value", _N, "value of the version"),
        TableColumn("baseline_value", _N, "value of the baseline trained on the same data; null without one"),
    ),
    ("evaluated_at", "solution_version", "metric"),
)
COSTS = TableSchema(
    "costs",
    "one use that Amazon Personalize or Braze bills",
    "the month: its first day",
    ("entry",),
    "month",
    (
        _PROGRAM,
        TableColumn("month", _T, "YYYY-MM"),
        TableColumn("entry", _T, "ARN of the billed resource, or name of the delivery"),
        TableColumn("step", _T, "kind of use, such as training_hours"),
        TableColumn("used_at", _TIME, "when the resource was created"),
        TableColumn("job", _T, "name of the job, the solution version or the delivery"),
        TableColumn("belongs_to", _T, "ARN of the dataset, solution or solution version that it belongs to"),
        TableColumn("recipe", _T, "recipe of a training"),
        TableColumn("mode", _T, "mode of a training or an import"),
        TableColumn("interactions", _I, "interactions that a training had"),
        TableColumn("quantity", _N, "how much was used, in the unit of the step"),
        TableColumn(
            "cost", _N, "its part of the month's cost of the step, at the prices of include/prices.yaml"
        ),
        TableColumn("currency", _T, "currency of the cost"),
    ),
    ("used_at", "entry"),
)
DELIVERIES = TableSchema(
    "deliveries",
    "one complete delivery; written last, so its accounts and lists are there",
    "the plan of the delivery",
    ("delivery",),
    "delivery",
    (
        _PROGRAM,
        _DELIVERY,
        _RUN,
        TableColumn("planned_at", _TIME, "when the delivery was planned"),
        TableColumn("generated_at", _TIME, "when the lists were generated; null: it delivered none"),
        TableColumn(
            "solution_version", _T, "ARN of the champion that made the lists; null: none, or not known"
        ),
        TableColumn("replay_of", _T, "delivery whose dead letters it repeated; null: none"),
        TableColumn("is_resync", _B, "whether every person was written, also unchanged ones"),
        TableColumn("audience", _I, "people of the audience; the sum of the outcomes"),
        TableColumn("sent", _I, "people who got another list"),
        TableColumn("unchanged", _I, "people who had the same list already"),
        TableColumn("removed", _I, "people who lost their list"),
        TableColumn("rejected", _I, "people whom Braze refused"),
        TableColumn("dead_lettered", _I, "people without a clear response after every try"),
        TableColumn("suppressed", _I, "people without a list, and without one in Braze"),
        TableColumn("deferred", _I, "people over a cap, deferred to the next delivery"),
        TableColumn("kept", _I, "people without a new answer, who keep their list"),
        TableColumn("held_out", _I, "people whom an experiment holds out"),
        TableColumn("left_audience", _I, "people outside the audience who lost their list"),
        TableColumn("left_audience_kept", _I, "people outside the audience who still have it"),
        TableColumn("data_points", _I, "Braze data points, including people outside the audience"),
        TableColumn("catalog_items", _I, "items written to the Braze catalog"),
        TableColumn("catalog_retired", _I, "items deleted from it"),
        TableColumn("resent", _I, "writes sent more than once"),
        TableColumn("tries", _I, "tries of the delivery"),
        TableColumn("seconds", _N, "how long the last try took"),
    ),
    ("delivery",),
)
EXPERIMENTS = TableSchema(
    "experiments",
    "one person in one arm of one experiment, for a time",
    "the enrolment in the arm",
    ("experiment", "user_id", "since"),
    "experiment",
    (
        _PROGRAM,
        TableColumn("experiment", _T, "name of the experiment"),
        TableColumn("layer", _T, "layer of the experiment: experiments of one layer share no person"),
        _USER,
        _PERSON,
        TableColumn("arm", _T, "name of the arm"),
        TableColumn("stratum", _T, "the person's stratum (experiment.stratify_by); null without one"),
        TableColumn("since", _TIME, "run that first gave the person this arm"),
        TableColumn("until", _TIME, "when another arm followed; null: still in it"),
    ),
    ("user_id", "since"),
)
OUTCOMES = TableSchema(
    "outcomes",
    "one row of outcomes.sql, of programs with an experiment",
    "the outcome",
    (),
    "day",
    (
        _PROGRAM,
        _USER,
        TableColumn("happened_at", _TIME, "when it happened", personal=True),
        TableColumn("event", _T, "kind of outcome: conversion, or the name of a guardrail"),
        TableColumn("outcome_value", _N, "its value; null without one"),
        TableColumn("item_id", _T, "item that it is about; null: unknown", personal=True),
        TableColumn(
            "outcome_id",
            _T,
            "id of the outcome, such as of an order; null: the query has none",
            personal=True,
        ),
    ),
    ("user_id", "happened_at"),
)
TABLES = {
    table.name: table for table in (ACCOUNTS, LISTS, DELIVERIES, VERSIONS, COSTS, EXPERIMENTS, OUTCOMES)
}


_TYPES = {
    ColumnKind.TEXT: pa.string(),
    ColumnKind.INTEGER: pa.int64(),
    ColumnKind.NUMBER: pa.float64(),
    ColumnKind.BOOLEAN: pa.bool_(),
    ColumnKind.TIME: pa.timestamp("us", tz="UTC"),
}


def arrow_schema(table: TableSchema) -> pa.Schema:
    """Return the Arrow schema of the objects of a table."""
    return pa.schema([pa.field(column.name, _TYPES[column.kind]) for column in table.columns])
