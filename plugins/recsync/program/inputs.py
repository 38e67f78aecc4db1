"""The program file: what a job's lines are made of, for recipes that ask about more than a user; and who gets lists."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from recsync.program.recipes import MAX_SEGMENT_ITEMS, MAX_SEGMENT_USERS
from recsync.program.section import SqlFile, Strict


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
