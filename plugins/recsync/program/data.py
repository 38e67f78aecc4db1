"""The program file: what an export reads and what a job's lines are made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from recsync.program.recipes import MAX_SEGMENT_ITEMS, MAX_SEGMENT_USERS
from recsync.program.section import IncludePath, SqlFile, Strict, matching


class DatasetType(StrEnum):
    """The datasets a batch pipeline fills, as Amazon Personalize names them in ARNs."""

    INTERACTIONS = "INTERACTIONS"
    USERS = "USERS"
    ITEMS = "ITEMS"
    ACTIONS = "ACTIONS"
    ACTION_INTERACTIONS = "ACTION_INTERACTIONS"

    @property
    def folder(self) -> str:
        """The lower-case form used in file names, SQL files and S3 keys."""
        return self.value.lower()


class DatasetSource(Strict):
    """Where the rows of one dataset come from, relative to ``include/sql`` and ``include/schemas``.

    :param sql: SQL file; default ``<program>/<dataset>.sql``.
    :param avro_schema: Avro schema file (YAML key ``schema``); default ``<program>/<dataset>.json``.
    """

    sql: IncludePath = ""
    avro_schema: IncludePath = Field(default="", alias="schema")


class Datasets(Strict):
    """The datasets of the dataset group; all but interactions are optional, as in the service.

    :param actions: what ``aws-next-best-action`` recommends; no other recipe uses it.
    :param action_interactions: who took an action, did not take it, or saw it.
    """

    interactions: DatasetSource = DatasetSource()
    users: DatasetSource | None = None
    items: DatasetSource | None = None
    actions: DatasetSource | None = None
    action_interactions: DatasetSource | None = None


# Amazon Personalize's CSV and the SQL of some warehouses take a backslash for an escape: no type needs one.
EVENT_TYPE_PATTERN = r"^[^\\\x00-\x1f\x7f]{1,256}$"
# EVENT_TYPE has at most 256 characters: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_Event.html
EventType = Annotated[
    str, matching(EVENT_TYPE_PATTERN, "be 1 to 256 characters without backslash or control characters")
]
# strict: "purchase: true" is no weight of 1.0.
Weight = Annotated[float, Field(strict=True, allow_inf_nan=False)]
# "Total number of non-required columns and distinct event types": https://docs.aws.amazon.com/personalize/latest/dg/limits.html
MAX_TYPES_AND_METADATA = 10
MINUTES_PER_HOUR = 60


class Events(Strict):
    """Which rows of the interactions query are exported; by default all, as they are.

    Rows without user, item or time are left to the checks, which report them.

    :param types: values of ``EVENT_TYPE`` that are exported, each with the ``EVENT_VALUE`` that its rows get; without
        a number they keep the query's own value. Empty exports every type as it is.
    :param session_minutes: of one user's events of one type on one item within each window of so many minutes, counted
        from the full hour, only the first is exported. Divides 60, so that increments by event time and full
        snapshots agree. None exports them all.
    :param max_per_user_and_hour: a user with more events than this in one hour of the clock, whatever their types, is
        taken for a bot in that hour, and all events of that hour are left out. None leaves out nobody.
    :param exclude_users: SQL file below ``include/sql`` that returns ``user_id``: staff, testers, known bots.
    """

    types: dict[EventType, Weight | None] = Field(default_factory=dict, max_length=MAX_TYPES_AND_METADATA)
    session_minutes: int | None = Field(default=None, ge=1, le=MINUTES_PER_HOUR)
    max_per_user_and_hour: int | None = Field(default=None, ge=1)
    exclude_users: SqlFile | None = None

    @field_validator("session_minutes")
    @classmethod
    def _divides_the_hour(cls, value: int | None) -> int | None:
        if value is not None and MINUTES_PER_HOUR % value:
            divisors = [str(n) for n in range(1, MINUTES_PER_HOUR + 1) if MINUTES_PER_HOUR % n == 0]
            raise ValueError(f"must divide 60: {', '.join(divisors)}")
        return value

    @property
    def weights(self) -> dict[str, float]:
        """The event types whose rows get a value, with it."""
        return {name: weight for name, weight in self.types.items() if weight is not None}

    @property
    def change_nothing(self) -> bool:
        """Whether the query's rows are exported as they are."""
        return self == Events()

    def export(self, event_type: str) -> bool:
        """Tell whether rows of this type are exported."""
        return not self.types or event_type in self.types


class Exports(Strict):
    """How the rows of an interval are chosen, and how long the warehouse may be late with them.

    :param select_by: what the SQL files compare with ``data_interval_start`` and ``data_interval_end``: the time of
        the event itself, or the time at which the warehouse took it in.
    :param overlap_intervals: how many intervals before its own an export reads again, because rows of theirs may have
        arrived late. Only intervals that were exported before are read again, and a backfill reads none.
    :param missing_intervals: how many intervals that nobody exported, of those since the last FULL import, an export
        reads too, oldest first; a backfill none.
    """

    select_by: Literal["event_time", "ingestion_time"] = "event_time"
    overlap_intervals: int = Field(default=2, ge=0, le=168)
    missing_intervals: int = Field(default=24, ge=0, le=168)


class Inputs(Strict):
    """SQL files below ``include/sql``.

    :param audience: who may be mailed. None: ``<program>/audience.sql``.
    :param catalogue: what may stand in an e-mail. None: ``<program>/catalogue.sql``.
    :param candidates: for rankings: ``user_id`` and ``item_id``, the list that is ranked for each user, or ``item_id``
        alone, the same for all. None: the items of ``catalogue.sql``.
    :param seeds: for related items: ``user_id`` and ``item_id``, best first. None: the column ``item_id`` of
        ``audience.sql``.
    :param segments: for segments: ``item_id``, or ``attributes`` and ``item_id``. None: ``<program>/segments.sql``.
    """

    audience: SqlFile | None = None
    catalogue: SqlFile | None = None
    candidates: SqlFile | None = None
    seeds: SqlFile | None = None
    segments: SqlFile | None = None


class Segment(Strict):
    """Who is most likely to want some items, as a batch segment job finds them.

    :param sql: SQL file below ``include/sql`` that returns ``item_id``, the items of the promotion.
    :param items: the same as a list.
    :param users_per_item: people found for each item, most likely first.
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
    """Who gets lists: the people of ``audience.sql``, all of them or those of a segment.

    :param segment: None: all of them.
    """

    segment: Segment | None = None
