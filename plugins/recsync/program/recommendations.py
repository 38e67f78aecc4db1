"""The program file: what people get."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from recsync.program.section import Strict


class Rules(Strict):
    """What must not stand in a list, beside what is not in ``catalogue.sql``; everything is off by default.

    :param in_stock: boolean column of ``catalogue.sql``; an item is mailed only where it is true.
    :param not_bought_in_days: leave out what the person bought in so many days before the run.
    :param bought_event_types: values of ``EVENT_TYPE`` in ``interactions.sql`` that count as bought, for this rule
        and for the fallback; empty: every interaction does.
    :param max_per_category: at most so many items of one category in a list; items without one are not counted, and
        an item with several counts in each of them.
    :param category: column of ``catalogue.sql`` that names the category; several are joined with ``|``.
    """

    in_stock: str | None = Field(default=None, min_length=1)
    not_bought_in_days: int | None = Field(default=None, ge=1, le=3650)
    bought_event_types: tuple[str, ...] = ()
    max_per_category: int | None = Field(default=None, ge=1)
    category: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _category_is_named(self) -> Self:
        if (self.max_per_category is None) != (self.category is None):
            raise ValueError("max_per_category and category belong together: name both or neither")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the catalogue query that the rules need, beside those that reach Braze."""
        return tuple(column for column in (self.in_stock, self.category) if column)


FallbackTier = Literal["similar", "popular_in_segment", "popular"]


class Recommendations(Strict):
    """The list each person gets.

    :param length: items per person; a list never has more.
    :param min_length: a list with fewer goes to the fallback, and when that cannot fill it up either, the person
        is suppressed. None: ``length``.
    :param fallback: where missing items come from, in the order tried: what was bought by the people who bought what
        this person bought last, what most people of the person's ``segment`` bought, what most people bought.
    :param fallback_days: how many days of ``interactions.sql`` the fallback looks at.
    :param keep_days: how long somebody keeps the list that Braze has while the batch output has no answer for the
        person, counted from the first run without one; after that the fallback, or the list is removed. 0: at once.
    :param ask_again: whether a second batch job asks once more what the first one did not answer.
    :param min_answered: share of the questions of a batch job that must have an answer; a run with fewer fails before
        anything is published.
    """

    length: int = Field(default=12, ge=1, le=100)
    min_length: int | None = Field(default=None, ge=1, le=100)
    rules: Rules = Rules()
    fallback: tuple[FallbackTier, ...] = ()
    fallback_days: int = Field(default=30, ge=1, le=3650)
    keep_days: int = Field(default=7, ge=0, le=365)
    ask_again: bool = True
    min_answered: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.min_length is not None and self.min_length > self.length:
            raise ValueError(f"min_length ({self.min_length}) must not be above length ({self.length})")
        if len(set(self.fallback)) < len(self.fallback):
            raise ValueError("fallback names a tier twice")
        return self

    @property
    def shortest(self) -> int:
        """How many items a list needs to be mailed."""
        return self.min_length or self.length

    @property
    def history_days(self) -> int:
        """How many days of interactions rules and fallback look at; 0 when they need none."""
        return max(self.rules.not_bought_in_days or 0, self.fallback_days if self.fallback else 0)
