"""The program file: which items may be recommended at all, decided by Amazon Personalize."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from recsync.program.filter_template import MAX_PARAMETERS, check_expression, placeholders
from recsync.program.section import Strict


def _checked(template: str) -> str:
    check_expression(template)
    return template


def _column(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("must be the name of a column of audience.sql")
    return name


class Filter(Strict):
    """One filter.

    :param expression: a filter expression; a Jinja template in which dates roll, see ``program/filter_template.py``.
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
