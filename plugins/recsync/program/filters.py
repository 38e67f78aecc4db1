"""The section ``filters`` of the program file: filter expressions, and what datasets and recipes allow in them.

Grammar of an expression: https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Self

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from pydantic import AfterValidator, Field, model_validator

from recsync.formatting import did_you_mean
from recsync.program.data import DatasetType
from recsync.program.problems import Problem
from recsync.program.recipes import InputType, those_that
from recsync.program.section import Strict

if TYPE_CHECKING:
    from recsync.program.avro import AvroSchema
    from recsync.program.model import Program

# "filterExpression": https://docs.aws.amazon.com/personalize/latest/dg/API_CreateFilter.html
MAX_CHARACTERS = 2500
# "filterValues": https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html
MAX_PARAMETERS = 25
HELPERS = "data_interval_end, hours(n), days(n), weeks(n) and epoch(moment, to='day')"

_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
_QUOTED = r"\"[^\"]*\"|'[^']*'"
_HEAD = re.compile(r"(?:INCLUDE|EXCLUDE) (ItemID|UserID|ActionID) WHERE ", re.IGNORECASE)
_NOT_IN = re.compile(r"\bNOT IN ?\([^)]*\$(\w+)", re.IGNORECASE)
# Moments of one hour, between which an expression may not change.
_HOUR = (datetime(2024, 2, 28, 23, 0, tzinfo=UTC), datetime(2024, 2, 28, 23, 59, 59, tzinfo=UTC))


def render_expression(template: str, interval_end: datetime) -> str:
    """Fill in the dates of an expression, and collapse white space outside quotes.

    Templates see ``data_interval_end`` (UTC), ``hours(n)``, ``days(n)``, ``weeks(n)`` and ``epoch(moment, to='day')``:
    epoch seconds of the start of the moment's day in UTC, or of its ``'hour'`` or ``'week'`` (Monday). Rounding lets
    many runs share one filter.

    :raises ValueError: the template is wrong.
    """
    try:
        text = _ENVIRONMENT.from_string(template).render(
            data_interval_end=interval_end.astimezone(UTC),
            hours=lambda number: timedelta(hours=number),
            days=lambda number: timedelta(days=number),
            weeks=lambda number: timedelta(weeks=number),
            epoch=_epoch,
        )
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"is not a valid template: {error}. It may use {HELPERS}") from None
    return re.sub(rf"({_QUOTED})|\s+", lambda match: match[1] or " ", text).strip()


def _epoch(moment: datetime, to: str = "day") -> int:
    if not isinstance(moment, datetime):
        raise TypeError(f"epoch() needs a moment such as data_interval_end - days(30), not {moment!r}")
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    starts = {"hour": hour, "day": day, "week": day - timedelta(days=day.weekday())}
    if to not in starts:
        raise ValueError(f"epoch() rounds to 'hour', 'day' or 'week', not to {to!r}")
    return int(starts[to].timestamp())


def check_expression(template: str) -> str:
    """Check an expression without a run, and return it rendered for a fixed moment.

    :raises ValueError: the expression is wrong.
    """
    text, later = (render_expression(template, moment) for moment in _HOUR)
    if text != later:
        raise ValueError(
            "changes within an hour, so that nearly every run would need a filter of its own; round moments by epoch()"
        )
    if not 0 < len(text) <= MAX_CHARACTERS:
        raise ValueError(f"has {len(text)} characters; Amazon Personalize takes 1 to {MAX_CHARACTERS}")
    subjects = {subject_of(part) for part in without_texts(text).split("|")}
    if len(subjects) > 1:
        raise ValueError(f"is about {' and '.join(sorted(subjects))}; all its parts must be about the same")
    if negated := _NOT_IN.search(without_texts(text)):
        raise ValueError(
            f"has the placeholder ${negated[1]} with NOT IN; Amazon Personalize allows none there"
        )
    return text


def placeholders(expression: str) -> tuple[str, ...]:
    """Return the names of the values that each input line must give, in their order."""
    return tuple(dict.fromkeys(re.findall(r"\$(\w+)", without_texts(expression))))


def subject_of(part: str) -> str:
    """Return what a rendered expression, or a part of one, filters: ``ItemID``, ``UserID`` or ``ActionID``."""
    head = _HEAD.match(part.strip())
    if head is None:
        raise ValueError(
            f"has a part that does not begin with INCLUDE or EXCLUDE, ItemID, UserID or ActionID, and WHERE: {part!r}"
        )
    return {name.casefold(): name for name in ("ItemID", "UserID", "ActionID")}[head[1].casefold()]


def without_texts(text: str) -> str:
    """Empty the quoted texts of an expression."""
    return re.sub(_QUOTED, '""', text)


def _checked(template: str) -> str:
    check_expression(template)
    return template


def _column(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("must be the name of a column of audience.sql")
    return name


class Filter(Strict):
    """One filter.

    :param expression: a Jinja template of a filter expression, see :func:`render_expression`.
    :param values: column of ``audience.sql`` for each placeholder ``$NAME`` of the expression, without $.
    """

    expression: Annotated[str, AfterValidator(_checked)]
    values: dict[str, Annotated[str, AfterValidator(_column)]] = Field(
        default_factory=dict, max_length=MAX_PARAMETERS
    )

    @model_validator(mode="after")
    def _values_for_placeholders(self) -> Self:
        wanted = placeholders(check_expression(self.expression))
        missing = [f"${name}" for name in wanted if name not in self.values]
        if missing:
            raise ValueError(
                f"values names no column of audience.sql for {', '.join(missing)}, which stands in expression"
            )
        unused = [name for name in self.values if name not in wanted]
        if unused:
            raise ValueError(f"values names {', '.join(unused)}, which expression has no placeholder for")
        return self


class Filters(Strict):
    """Filters in Amazon Personalize, which runs create; a dataset group holds 30.

    :param recommend: filter of the recommend stage's job; None filters nothing.
    :param keep: former filters that stay; older ones are deleted.
    """

    recommend: Filter | None = None
    keep: int = Field(default=3, ge=1, le=20)


_FIELD = ("filters", "recommend", "expression")
_SUBJECTS = {
    InputType.ACTIONS: "ActionID",
    InputType.SEGMENT_ITEM: "UserID",
    InputType.SEGMENT_ATTRIBUTES: "UserID",
}
# One line of their input is about one person.
_ABOUT_PEOPLE = frozenset({InputType.USER, InputType.RANKING, InputType.ACTIONS})


def filter_problems(program: Program) -> Iterator[Problem]:
    """Yield the mistakes in the program's filter that its recipe shows."""
    chosen, recipe = program.filters.recommend, program.personalize.recipe_spec
    if chosen is None:
        return
    expression = check_expression(chosen.expression)
    wanted, found = _SUBJECTS.get(recipe.input_type, "ItemID"), subject_of(expression)
    if found != wanted:
        yield Problem(_FIELD, f"is about {found}, but {recipe.name} needs one about {wanted}")
    if chosen.values and recipe.input_type not in _ABOUT_PEOPLE:
        yield Problem(
            ("filters", "recommend", "values"),
            f"{recipe.name} is not asked about single people, so they can have no values of their own; "
            f"{those_that(lambda other: other.input_type in _ABOUT_PEOPLE)} are",
        )


# Datasets as filter expressions name them; letter case does not matter to the service.
# https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
_DATASETS = {
    "interactions": DatasetType.INTERACTIONS,
    "items": DatasetType.ITEMS,
    "users": DatasetType.USERS,
    "currentuser": DatasetType.USERS,
    "currentitem": DatasetType.ITEMS,
    "actions": DatasetType.ACTIONS,
    "action_interactions": DatasetType.ACTION_INTERACTIONS,
}
_COLUMN = re.compile(r"\b([A-Za-z_]+)\.([A-Za-z_]\w*)")


def filter_column_problems(program: Program, schemas: Mapping[DatasetType, AvroSchema]) -> Iterator[Problem]:
    """Yield the columns of the program's filter that no dataset has."""
    chosen = program.filters.recommend
    if chosen is None:
        return
    for dataset, column in dict.fromkeys(_COLUMN.findall(without_texts(check_expression(chosen.expression)))):
        kind = _DATASETS.get(dataset.casefold())
        if kind is None:
            hint = did_you_mean(dataset, ("Interactions", "Items", "CurrentUser"))
            yield Problem(_FIELD, f"{dataset}.{column} names no dataset{hint}")
        elif kind not in schemas:
            text = f"{dataset}.{column} needs the dataset; add datasets.{kind.folder}: {{}}, or leave it out"
            yield Problem(_FIELD, text)
        elif column.casefold() not in {each.casefold() for each in schemas[kind].columns}:
            yield Problem(
                _FIELD,
                f"{dataset}.{column} is not in the schema, which has {', '.join(schemas[kind].columns)}"
                + did_you_mean(column, schemas[kind].columns),
            )
