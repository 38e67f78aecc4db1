"""The program file: which recommendations people get."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from recsync.program.section import SqlFile, Strict


@dataclass(frozen=True)
class RuleColumn:
    """A column of ``catalogue.sql`` that a rule reads.

    :param field: of ``recommendations.rules``.
    :param kind: ``flag``: a boolean; ``values``: a text or a list of texts, split at ``|``; ``value``: a text as a
        whole; ``time``: a time.
    """

    column: str
    field: tuple[str | int, ...]
    kind: Literal["flag", "values", "value", "time"]

    @property
    def rule(self) -> str:
        """The member of ``Rules``."""
        return str(self.field[0])

    @property
    def path(self) -> str:
        """The field as errors name it."""
        return ".".join(map(str, ("recommendations", "rules", *self.field)))


@dataclass(frozen=True)
class Limit:
    """How many items of a list may have the same value of a column of ``catalogue.sql``.

    :param name: under which dropped items are counted.
    """

    column: RuleColumn
    most: int
    name: str


ProgramName = Annotated[str, Field(min_length=1)]
Days = Annotated[int, Field(ge=1, le=3650)]


class NotMailed(Strict):
    """Leave out the items of lists of the last ``days`` days.

    :param programs: the programs with these lists; empty: this one.
    """

    days: Days
    programs: tuple[ProgramName, ...] = ()


Share = Annotated[float, Field(ge=0, le=1)]


class ChosenItems(Strict):
    """Items that a rule is about: a boolean column of ``catalogue.sql``, or a SQL file that returns ``item_id``."""

    column: str | None = Field(default=None, min_length=1)
    sql: SqlFile | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.column is None) == (self.sql is None):
            raise ValueError(
                "needs either column, a boolean column of catalogue.sql, or sql, a file that returns item_id"
            )
        return self


class Promoted(ChosenItems):
    """A share of promoted items.

    :param share: share of ``length``, rounded: a list has that many promoted items, or fewer when there are not enough.
    :param positions: their positions, 1 for the first item of a list; without it, in the order of the list.
    """

    share: Share
    positions: tuple[Annotated[int, Field(ge=1, le=100)], ...] = ()

    @field_validator("positions")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError("must not name a position twice")
        return value


class Boost(ChosenItems):
    """Multiply the scores of some items before lists are ordered."""

    factor: float = Field(gt=0, le=1000)


class Diversity(Strict):
    """Order each person's own items by maximal marginal relevance over the values of a column of ``catalogue.sql``.

    :param strength: 0 leaves the order as it is, 1 takes the least frequent value each time.
    """

    by: str = Field(min_length=1)
    strength: Share


class NewItems(Strict):
    """A least share of items that are not older than a number of days.

    :param column: time or date of ``catalogue.sql``.
    :param share: of ``length``, rounded.
    """

    days: Days
    column: str = Field(min_length=1)
    share: Share


class Rules(Strict):
    """Which items of a list are dropped, beside those that ``catalogue.sql`` does not return; all off by default.

    :param in_stock: boolean column of ``catalogue.sql``; an item is mailed only where it is true.
    :param not_bought_in_days: drop what the person bought in this number of days before the run.
    :param not_in: drop what the person's current list of another program holds.
    :param not_mailed_in_days: drop what the lists of the person held that were published in this number of days before
        the run and sent since.
    :param bought_event_types: values of ``EVENT_TYPE`` in ``interactions.sql`` that count as bought, for this rule
        and for the fallback; empty: every interaction does.
    :param min_score: drop items that Amazon Personalize gave a lower score; items without a score stay.
    :param distinct: columns of ``catalogue.sql`` of which no two items of a list may have the same value; an item
        without a value is like no other.
    :param max_per: by column of ``catalogue.sql``, how many items with one value a list may have. An item without a
        value is not counted; one with several, joined with ``|``, counts in each of them.
    :param max_per_category: short for an entry of ``max_per``, with ``category`` as its column.
    :param boost: prefer some items, by their scores.
    :param promoted: a share of promoted items.
    :param new_items_share: a least share of new items.
    :param diversity: order items so that values of a column alternate.
    """

    in_stock: str | None = Field(default=None, min_length=1)
    not_bought_in_days: int | None = Field(default=None, ge=1, le=3650)
    bought_event_types: tuple[str, ...] = ()
    not_in: tuple[ProgramName, ...] = ()
    not_mailed_in_days: Days | NotMailed | None = None
    min_score: float | None = Field(default=None, allow_inf_nan=False)
    distinct: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    max_per: dict[Annotated[str, Field(min_length=1)], Annotated[int, Field(ge=1)]] = Field(default={})
    max_per_category: int | None = Field(default=None, ge=1)
    category: str | None = Field(default=None, min_length=1)
    boost: Boost | None = None
    promoted: Promoted | None = None
    new_items_share: NewItems | None = None
    diversity: Diversity | None = None

    @model_validator(mode="after")
    def _category_is_named(self) -> Self:
        if (self.max_per_category is None) != (self.category is None):
            raise ValueError("max_per_category and category belong together: name both or neither")
        return self

    @model_validator(mode="after")
    def _each_column_has_one_limit(self) -> Self:
        columns = [limit.column.column for limit in self.limits]
        if twice := sorted({column for column in columns if columns.count(column) > 1}):
            raise ValueError(
                f"distinct, max_per and category name {', '.join(twice)} more than once; name each column once"
            )
        return self

    def mailed(self, program: str) -> NotMailed | None:
        """Return ``not_mailed_in_days`` with the programs named.

        :param program: the one that these rules are of.
        """
        found = self.not_mailed_in_days
        days, programs = (found.days, found.programs) if isinstance(found, NotMailed) else (found, ())
        return NotMailed(days=days, programs=programs or (program,)) if days else None

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Limits of items with one value, in the order in which a dropped item counts."""
        short = {self.category: self.max_per_category} if self.category and self.max_per_category else {}
        return (
            *(
                Limit(RuleColumn(c, ("distinct", n), "value"), 1, f"distinct.{c}")
                for n, c in enumerate(self.distinct)
            ),
            *(Limit(RuleColumn(c, ("category",), "values"), most, "category") for c, most in short.items()),
            *(
                Limit(RuleColumn(c, ("max_per", c), "values"), most, f"max_per.{c}")
                for c, most in self.max_per.items()
            ),
        )

    @property
    def columns(self) -> tuple[RuleColumn, ...]:
        """Columns of ``catalogue.sql`` that the rules read."""
        chosen = {"boost": self.boost, "promoted": self.promoted}
        found = (
            RuleColumn(self.in_stock or "", ("in_stock",), "flag"),
            *(RuleColumn((c and c.column) or "", (rule, "column"), "flag") for rule, c in chosen.items()),
            RuleColumn(
                self.new_items_share.column if self.new_items_share else "",
                ("new_items_share", "column"),
                "time",
            ),
            *(limit.column for limit in self.limits),
            RuleColumn(self.diversity.by if self.diversity else "", ("diversity", "by"), "value"),
        )
        return tuple(column for column in found if column.column)

    @property
    def queries(self) -> dict[str, str]:
        """SQL files that return the items of a rule, by member of ``Rules``."""
        chosen = {"boost": self.boost, "promoted": self.promoted}
        return {rule: items.sql for rule, items in chosen.items() if items and items.sql}

    @property
    def shares(self) -> dict[str, float]:
        """Shares of a list that rules ask for, by member of ``Rules``, in the order in which they are met."""
        asked = {"promoted": self.promoted, "new_items_share": self.new_items_share}
        return {rule: each.share for rule, each in asked.items() if each}

    @property
    def needs_scores(self) -> bool:
        """Whether a rule reads the scores of Amazon Personalize."""
        return self.min_score is not None or self.boost is not None


# Half: late enough that few people cost a data point for their date alone, and early enough to act before lists are
# too old.
WARN_SHARE = 0.5

FallbackTier = Literal["similar", "popular_in_segment", "popular"]


class Recommendations(Strict):
    """The list each person gets.

    :param length: items per person; a list never has more.
    :param min_length: a list with fewer goes to the fallback, and when that cannot fill it up either, the person
        is suppressed. None: ``length``.
    :param fallback: sources of missing items, in the order tried: items bought together with the person's last
        purchases (``similar``), the most bought items of the person's ``segment``, the most bought items.
    :param fallback_days: how many days of ``interactions.sql`` the fallback looks at.
    :param keep_days: days that a person keeps the list in Braze while the batch output has no answer, counted from the
        first run without one; then the person gets the fallback, or the list is removed. 0: immediately.
    :param max_age_days: days after which a list is too old to be mailed unless newer recommendations confirm it;
        None: never. :mod:`recsync.freshness`.
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
    max_age_days: Days | None = None
    ask_again: bool = True
    min_answered: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.min_length is not None and self.min_length > self.length:
            raise ValueError(f"min_length ({self.min_length}) must not be above length ({self.length})")
        if self.max_age_days is not None and self.keep_days >= self.max_age_days:
            raise ValueError(
                f"keep_days ({self.keep_days}) must be below max_age_days ({self.max_age_days}): a list that is kept "
                "longer would be too old to be mailed"
            )
        if len(set(self.fallback)) < len(self.fallback):
            raise ValueError("fallback names a tier twice")
        if sum(self.rules.shares.values()) > 1:
            raise ValueError(
                "the shares of rules.promoted and rules.new_items_share are more than 1 together"
            )
        promoted = self.rules.promoted
        if promoted and max(promoted.positions, default=0) > self.length:
            raise ValueError(
                f"rules.promoted.positions names {max(promoted.positions)}, above length ({self.length})"
            )
        return self

    @property
    def max_age(self) -> timedelta | None:
        """How old a list may be; None: any age."""
        return None if self.max_age_days is None else timedelta(days=self.max_age_days)

    @property
    def warn_age(self) -> timedelta | None:
        """The age at which dates of lists are written again, and missing newer lists raise an alert; None: never."""
        return None if self.max_age is None else self.max_age * WARN_SHARE

    @property
    def shared_items(self) -> dict[str, int]:
        """How many items of a list the rules about shares ask for, by member of ``Rules``."""
        return {rule: round(share * self.length) for rule, share in self.rules.shares.items()}

    @property
    def shortest(self) -> int:
        """How many items a list needs to be mailed."""
        return self.min_length or self.length

    @property
    def history_days(self) -> int:
        """How many days of interactions rules and fallback look at; 0 when they need none."""
        popularity = self.fallback or self.rules.shares
        return max(self.rules.not_bought_in_days or 0, self.fallback_days if popularity else 0)
