"""The program file: datasets, events, queries, audience, and the checks of exported rows."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from recsync.formatting import did_you_mean
from recsync.program.recipes import MAX_SEGMENT_ITEMS, MAX_SEGMENT_USERS
from recsync.program.section import IncludePath, SqlFile, Strict, matching


class DatasetType(StrEnum):
    """The datasets of a batch pipeline, as Amazon Personalize names them in ARNs."""

    INTERACTIONS = "INTERACTIONS"
    USERS = "USERS"
    ITEMS = "ITEMS"
    ACTIONS = "ACTIONS"
    ACTION_INTERACTIONS = "ACTION_INTERACTIONS"

    @property
    def folder(self) -> str:
        """Return the name in file names, SQL files and S3 keys."""
        return self.value.lower()


class DatasetSource(Strict):
    """The files of one dataset, below ``include/sql`` and ``include/schemas``.

    :param avro_schema: YAML key ``schema``.
    """

    sql: IncludePath = ""
    avro_schema: IncludePath = Field(default="", alias="schema")


class Datasets(Strict):
    """The datasets of the dataset group; only interactions are required, only ``aws-next-best-action`` uses actions."""

    interactions: DatasetSource = DatasetSource()
    users: DatasetSource | None = None
    items: DatasetSource | None = None
    actions: DatasetSource | None = None
    action_interactions: DatasetSource | None = None


# At most 256 characters: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_Event.html
# Amazon Personalize's CSV and some warehouses take a backslash for an escape.
EVENT_TYPE_PATTERN = r"^[^\\\x00-\x1f\x7f]{1,256}$"
EventType = Annotated[
    str, matching(EVENT_TYPE_PATTERN, "be 1 to 256 characters without backslash or control characters")
]
# strict: "purchase: true" is no weight of 1.0.
Weight = Annotated[float, Field(strict=True, allow_inf_nan=False)]
# "Total number of non-required columns and distinct event types": https://docs.aws.amazon.com/personalize/latest/dg/limits.html
MAX_TYPES_AND_METADATA = 10


class Events(Strict):
    """Filters and values of interaction rows; by default all rows are exported unchanged.

    The checks report rows without user, item or time.

    :param types: event types to export, each with the ``EVENT_VALUE`` of its rows; without a number they keep theirs.
        Empty exports every type.
    :param session_minutes: export only the first of a user's events of one type on one item in each window, counted
        from the full hour. Divides 60, so that increments by event time and full snapshots agree.
    :param max_per_user_and_hour: drop all events of a user in a clock hour with more than this, as those of a bot.
    :param exclude_users: SQL file that returns ``user_id``.
    """

    types: dict[EventType, Weight | None] = Field(default_factory=dict, max_length=MAX_TYPES_AND_METADATA)
    session_minutes: int | None = Field(default=None, ge=1, le=60)
    max_per_user_and_hour: int | None = Field(default=None, ge=1)
    exclude_users: SqlFile | None = None

    @field_validator("session_minutes")
    @classmethod
    def _divides_the_hour(cls, value: int | None) -> int | None:
        if value is not None and 60 % value:
            divisors = [str(n) for n in range(1, 60 + 1) if 60 % n == 0]
            raise ValueError(f"must divide 60: {', '.join(divisors)}")
        return value

    @property
    def weights(self) -> dict[str, float]:
        """Return the values by event type."""
        return {name: weight for name, weight in self.types.items() if weight is not None}

    @property
    def change_nothing(self) -> bool:
        """Return whether rows are exported unchanged."""
        return self == Events()

    def export(self, event_type: str) -> bool:
        """Return whether rows of this type are exported."""
        return not self.types or event_type in self.types


class ExportSettings(Strict):
    """The choice of rows of an interval; a backfill reads only its own interval.

    :param select_by: what the SQL files compare with the interval: the time of the event or that of ingestion.
    :param overlap_intervals: earlier intervals to read again for late rows, if they were exported.
    :param missing_intervals: most unexported intervals since the last FULL import that a run exports too, oldest first.
    """

    select_by: Literal["event_time", "ingestion_time"] = "event_time"
    overlap_intervals: int = Field(default=2, ge=0, le=168)
    missing_intervals: int = Field(default=24, ge=0, le=168)


class InputFiles(Strict):
    """SQL files below ``include/sql``; None: ``<program>/<name>.sql``, or for ``candidates`` and ``seeds`` no query.

    :param candidates: items to rank: ``user_id`` and ``item_id``, or ``item_id`` alone. None: those of the catalogue.
    :param seeds: for related items: ``user_id`` and ``item_id``, best first. None: ``item_id`` of ``audience.sql``.
    :param segments: ``item_id``, or ``attributes`` and ``item_id``.
    """

    audience: SqlFile | None = None
    catalogue: SqlFile | None = None
    candidates: SqlFile | None = None
    seeds: SqlFile | None = None
    segments: SqlFile | None = None


class Segment(Strict):
    """The users most likely to want some items, found by a batch segment job.

    :param sql: SQL file that returns ``item_id``, instead of ``items``.
    :param users_per_item: users found for each item, most likely first.
    """

    sql: SqlFile | None = None
    items: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        default=(), max_length=MAX_SEGMENT_ITEMS
    )
    users_per_item: int = Field(default=1000, ge=1, le=MAX_SEGMENT_USERS)

    @model_validator(mode="after")
    def _items_are_named(self) -> Self:
        if (self.sql is None) == (not self.items):
            raise ValueError(
                "name the items of the promotion: either items, a list, or sql, a file that returns item_id"
            )
        return self


class Audience(Strict):
    """The users who get lists: those of ``audience.sql``, or the part of them that a segment job finds."""

    segment: Segment | None = None


Level = Literal["note", "warn", "stop"]


class Limits(Strict):
    """The shares of rows above which a broken rule warns, and above which it stops the export; None: never.

    0 is exceeded by the first row.
    """

    warn: float | None = Field(default=0.0, ge=0)
    stop: float | None = Field(default=None, ge=0)

    def level(self, share: float, *, few: bool = False) -> Level:
        """Return the level of a share of rows; 1 for a broken rule about the whole export.

        :param few: few rows are affected, so stop only if ``stop`` is 0.
        """
        if self.stop is not None and share > self.stop and not (few and self.stop > 0):
            return "stop"
        return "warn" if self.warn is not None and share > self.warn else "note"


_FEW = Limits(stop=0.01)
_ANY = Limits(stop=0)
_WARN = Limits()
_NOTE = Limits(warn=None)

# Rules about single rows, in the order in which they are tried. A row that breaks one goes to the quarantine.
ROW_RULES: Mapping[str, Limits] = {
    "cells": _FEW,
    "value_length": _FEW,
    "encoding": _FEW,
    "missing": _FEW,
    "id_empty": _FEW,
    "id_length": _FEW,
    "id_characters": _FEW,
    "type": _FEW,
    "timestamp_positive": _FEW,
    "timestamp_unit": _FEW,
    # Rows outside the interval are in no other export either: the query and its interval disagree.
    "timestamp_range": _ANY,
    "keyword": _FEW,
    "text_length": _FEW,
    "category_length": _FEW,
    "impression_length": _FEW,
    "duplicate_id": _FEW,
}
# Rules about a whole export; no row is dropped.
DATASET_RULES: Mapping[str, Limits] = {
    "no_rows": _ANY,
    "min_interactions": _ANY,
    "min_users": _ANY,
    "min_user_share": _ANY,
    "recommended_interactions": _NOTE,
    "recommended_users": _NOTE,
    "duplicate_rows": Limits(warn=0.01),
    "unknown_users": Limits(warn=0.05),
    "unknown_items": Limits(warn=0.01),
    "null_words": _WARN,
    "category_form": _WARN,
    "category_values": _WARN,
    "completeness": Limits(warn=0.3),
    "empty_column": _WARN,
    "textual_length": _WARN,
    "event_columns": _ANY,
    "object_size": _ANY,
}
# Rules about ids of an audience and a catalog that no export has; shares are of their rows. Subscribers who never
# bought are unknown too, so only a share near 1 means that the ids are of another kind.
LIST_RULES: Mapping[str, Limits] = {
    "unknown_audience": Limits(warn=0.5, stop=0.99),
    "unknown_catalog": Limits(warn=0.5, stop=0.99),
}
RULES: Mapping[str, Limits] = {**ROW_RULES, **DATASET_RULES, **LIST_RULES}
# Rows that break these cannot be read, so the rules cannot be off.
ALWAYS = frozenset({"cells", "encoding", "type", "value_length"})
_WORDS: Mapping[str, Limits | None] = {"off": None, "note": _NOTE, "warn": _WARN, "stop": _ANY}


class VolumeLimits(Strict):
    """Factor between the rows and the usual number: 2 means half as many or twice as many."""

    warn: float | None = Field(default=2.0, gt=1)
    stop: float | None = Field(default=None, gt=1)


class EventMixLimits(Strict):
    """Share of the events that would need another type to give the usual mix."""

    warn: float | None = Field(default=0.2, ge=0, le=1)
    stop: float | None = Field(default=None, ge=0, le=1)


class FreshnessLimits(Strict):
    """Factor between the age of the newest row at the end of the interval and the usual age."""

    warn: float | None = Field(default=10.0, gt=1)
    stop: float | None = Field(default=None, gt=1)


class NewItemsLimits(Strict):
    """Difference between the share of new items and the usual share."""

    warn: float | None = Field(default=0.2, ge=0, le=1)
    stop: float | None = Field(default=None, ge=0, le=1)


class UnknownIdsLimits(Strict):
    """Rise of the share of audience or catalog ids that no export has, compared with the usual share."""

    warn: float | None = Field(default=0.1, ge=0, le=1)
    stop: float | None = Field(default=None, ge=0, le=1)


class ExportDrift(Strict):
    """Comparison with the median of earlier exports, once there are ``min_exports`` of them."""

    min_exports: int = Field(default=3, ge=1)
    volume: VolumeLimits = VolumeLimits()
    event_mix: EventMixLimits = EventMixLimits()
    freshness: FreshnessLimits = FreshnessLimits()
    new_items: NewItemsLimits = NewItemsLimits()
    unknown_ids: UnknownIdsLimits = UnknownIdsLimits()


class Checks(Strict):
    """Checks of the exported rows; ``enabled: false`` exports whatever the queries return.

    :param rules: replacements for the defaults of rules.
    :param max_quarantined_share: a larger share in the quarantine stops the export.
    :param tolerated_rows: bad rows up to this number stop no export by their share, unless the rule's ``stop`` is 0.
    """

    enabled: bool = True
    rules: dict[str, Limits | Literal["off", "note", "warn", "stop"]] = Field(default={})
    max_quarantined_share: float = Field(default=0.01, ge=0, le=1)
    tolerated_rows: int = Field(default=10, ge=0)
    drift: ExportDrift = ExportDrift()

    @field_validator("rules")
    @classmethod
    def _known(cls, rules: dict[str, Limits | str]) -> dict[str, Limits | str]:
        unknown = sorted(rules.keys() - RULES.keys())
        if unknown:
            hint = did_you_mean(unknown[0], RULES) or "."
            raise ValueError(f"no such rule: {', '.join(unknown)}{hint} There are {', '.join(sorted(RULES))}")
        always = [rule for rule in sorted(ALWAYS) if rules.get(rule) == "off"]
        if always:
            raise ValueError(f"cannot be off, as such rows cannot be read: {', '.join(always)}")
        return rules

    def limits(self, rule: str) -> Limits | None:
        """Return the limits of a rule; None when it is off."""
        chosen = self.rules.get(rule)
        if chosen is None:
            return RULES[rule]
        return chosen if isinstance(chosen, Limits) else _WORDS[chosen]
