"""The base of the sections of the program file, and the types of their texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterBadDateError, croniter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from recsync.formatting import closest


class Strict(BaseModel):
    """A section of the program file: an unknown field is an error, not a silent typo."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def matching(pattern: str, words: str, *, suggest: Callable[[str], str] | None = None) -> AfterValidator:
    """Check a text against a regular expression; errors describe it in words, as pydantic's ``pattern`` cannot.

    :param words: describes allowed values, to follow "must".
    :param suggest: turns a wrong text into a suggestion, shown only if it is allowed.
    """
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text):
            return text
        better = suggest(text) if suggest else ""
        raise ValueError(f"must {words}" + (f"; write {better}" if compiled.fullmatch(better) else ""))

    return AfterValidator(check)


def with_underscores(text: str) -> str:
    """Replace what a name cannot hold by ``_``."""
    return re.sub(r"[^A-Za-z0-9_\-]+", "_", text).strip("_")


ShortName = Annotated[
    str,
    matching(
        r"^[a-z0-9][a-z0-9_]{0,15}$",
        "be a name of at most 16 lower-case letters, digits and _, no _ first",
        suggest=lambda text: with_underscores(text.lower()).replace("-", "_")[:16],
    ),
]
"""The name of a challenger or of an arm: part of task ids and of names of jobs, and a value in Braze."""


def one_of(text: str, choices: tuple[str, ...], noun: str) -> str:
    """Check that a text is one of the choices."""
    if text in choices:
        return text
    hint = f"did you mean {found}? " if (found := closest(text, choices)) else ""
    raise ValueError(f"{hint}There are the {noun}s {', '.join(choices)}")


def _inside_include(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("must be a path below include/, without '..'")
    return value


IncludePath = Annotated[str, AfterValidator(_inside_include)]
SqlFile = Annotated[str, Field(min_length=1), AfterValidator(_inside_include)]

_PRESETS = {
    "hourly": "0 * * * *",
    "daily": "0 5 * * *",
    "weekly": "0 3 * * 0",
    "monthly": "0 3 1 * *",
    "midnight": "0 0 * * *",
}
# In place of the minute, as Jenkins writes it.
_MINUTE_BY_NAME = "H"
_SOME_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def _cron(value: str) -> str:
    if len(value.split()) == 5 and croniter.is_valid(with_minute(value, "0")):
        try:
            croniter(with_minute(value, "0"), _SOME_YEAR).get_next(datetime)
        except CroniterBadDateError:
            raise ValueError("names a day that no month has") from None
        return value
    wanted = _PRESETS.get(value.strip().strip("@").casefold())
    example = f"write '{wanted}'" if wanted else "such as '0 * * * *' for every full hour"
    raise ValueError(
        f"must be a cron expression: minute, hour, day of the month, month and day of the week; {example}"
    )


def with_minute(cron: str, minute: str) -> str:
    """Replace ``H`` in the place of the minute of a cron expression."""
    first, _, rest = cron.strip().partition(" ")
    return f"{minute} {rest}" if first == _MINUTE_BY_NAME else cron


CronExpression = Annotated[str, AfterValidator(_cron)]


def _time_zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (KeyError, ValueError, OSError):  # unknown, not a relative path, a folder
        alike = closest(value, sorted(available_timezones()))
        example = f"did you mean {alike}?" if alike else "such as Europe/Berlin"
        raise ValueError(f"must be a time zone of the IANA database; {example}") from None


TimeZone = Annotated[str, AfterValidator(_time_zone)]

_LONGEST_URI = 1500  # characters, Airflow's column


def _asset_uri(value: str) -> str:
    parts = urlsplit(value)
    if (
        not re.fullmatch(r"[\x21-\x7e]+", value)
        or not parts.scheme
        or not (parts.netloc or parts.path.strip("/"))
    ):
        raise ValueError(
            "must be the URI of an Airflow asset, such as s3://bucket/key or postgres://host/db/schema/table"
        )
    if parts.scheme.lower() == "airflow":
        raise ValueError("must not begin with airflow:, which Airflow keeps for itself")
    if parts.password:
        raise ValueError("must hold no password; Airflow leaves user and password out of an asset's URI")
    if "://" in value and not parts.netloc and parts.scheme != "file":
        raise ValueError(
            f"must name a {'bucket' if parts.scheme == 's3' else 'host'} after {parts.scheme}://"
        )
    return value


AssetUri = Annotated[str, Field(max_length=_LONGEST_URI), AfterValidator(_asset_uri)]
