"""Say which filter a run uses, and which older ones of the program may go."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from recsync.program.filters import render_expression
from recsync.program.model import Program

_DIGEST_BYTES = 6


@dataclass(frozen=True)
class FilterPlan:
    """Name a filter by what it says: filters never change, so another expression is another filter."""

    name: str
    expression: str


def active_filter(program: Program, interval_end: datetime) -> FilterPlan | None:
    """Return the filter of a recommend run; None when the program file names none.

    :param interval_end: the moment the run is for, the same for each of its retries.
    """
    if program.filters.recommend is None:
        return None
    expression = render_expression(program.filters.recommend.expression, interval_end)
    digest = hashlib.blake2b(expression.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return FilterPlan(f"{_prefix(program.name)}{digest}", expression)


def filters_to_retire(
    program: Program, found: Iterable[Mapping[str, Any]], unusable: Collection[str], current: str | None
) -> list[Mapping[str, Any]]:
    """Choose the filters of this program that may go: all but the current one and the newest generations before it.

    An unusable one goes whatever its age: a filter of that name could not be made otherwise.

    :param found: summaries of ``ListFilters``, without those that are being deleted.
    :param unusable: names of those that could not be created.
    :param current: name of the filter in use; without one, nothing is kept.
    """
    own = re.compile(rf"{re.escape(_prefix(program.name))}[0-9a-f]{{{2 * _DIGEST_BYTES}}}")
    mine = [each for each in found if own.fullmatch(each["name"])]
    failed = [each for each in mine if each["name"] in unusable]
    former = [each for each in mine if each not in failed and each["name"] != current]
    former.sort(key=lambda each: (each["creationDateTime"], each["name"]), reverse=True)
    return [*failed, *former[program.filters.keep if current else 0 :]]


def _prefix(program_name: str) -> str:
    return f"{program_name}-filter-"
