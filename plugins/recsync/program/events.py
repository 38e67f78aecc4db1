"""The program file: which events count, and how much."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from recsync.program.section import SqlFile, Strict, matching

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
