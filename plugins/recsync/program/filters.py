"""The program file: which items may be recommended at all; filter expressions, in which dates roll.

Grammar of an expression: https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from pydantic import AfterValidator, Field, model_validator

from recsync.program.section import Strict

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
    """Fill in the dates of an expression, and write each run of white space outside quotes as one space.

    Templates see ``data_interval_end`` (a moment in UTC), ``hours(n)``, ``days(n)`` and ``weeks(n)`` to add to it or
    take off it, and ``epoch(moment, to='day')``: epoch seconds of the beginning of the moment's day in UTC, or of its
    ``'hour'`` or ``'week'`` (Monday). Rounding is what lets many runs share one filter.

    :raises ValueError: saying what is wrong with the template.
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
    return _spaced(text)


def _epoch(moment: datetime, to: str = "day") -> int:
    if not isinstance(moment, datetime):
        raise TypeError(f"epoch() needs a moment such as data_interval_end - days(30), not {moment!r}")
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    starts = {"hour": hour, "day": day, "week": day - timedelta(days=day.weekday())}
    if to not in starts:
        raise ValueError(f"epoch() rounds to 'hour', 'day' or 'week', not to {to!r}")
    return int(starts[to].timestamp())


def _spaced(text: str) -> str:
    return re.sub(rf"({_QUOTED})|\s+", lambda match: match[1] or " ", text).strip()


def check_expression(template: str) -> str:
    """Check what can be known of an expression before there is a run, and return it as one moment has it.

    :raises ValueError: saying what is wrong.
    """
    text, later = (render_expression(template, moment) for moment in _HOUR)
    if text != later:
        raise ValueError(
            "changes within an hour, so that nearly every run would need a filter of its own; round moments by epoch()"
        )
    if not 0 < len(text) <= MAX_CHARACTERS:
        raise ValueError(f"has {len(text)} characters; Amazon Personalize takes 1 to {MAX_CHARACTERS}")
    subjects = {_subject(part) for part in without_texts(text).split("|")}
    if len(subjects) > 1:
        raise ValueError(f"is about {' and '.join(sorted(subjects))}; all its parts must be about the same")
    negated = _NOT_IN.search(without_texts(text))
    if negated:
        raise ValueError(
            f"has the placeholder ${negated[1]} with NOT IN; Amazon Personalize allows none there"
        )
    return text


def subject_of(expression: str) -> str:
    """Return what a rendered expression filters: ``ItemID``, ``UserID`` or ``ActionID``."""
    return _subject(expression)


def placeholders(expression: str) -> tuple[str, ...]:
    """Name the values that each input line has to give, in their order."""
    return tuple(dict.fromkeys(re.findall(r"\$(\w+)", without_texts(expression))))


def _subject(part: str) -> str:
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

    :param expression: a filter expression; a Jinja template in which dates roll, see ``program/filters.py``.
    :param values: column of ``audience.sql`` for each placeholder ``$NAME`` of the expression, by its name without $.
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
    """Filters in Amazon Personalize, made when a run needs them.

    :param recommend: the filter of the recommend stage's job; None: nothing is filtered there.
    :param keep: so many former filters of the program are kept; older ones are deleted. The service allows 30 in a
        dataset group.
    """

    recommend: Filter | None = None
    keep: int = Field(default=3, ge=1, le=20)
