"""What a person reads about a broken rule: what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from recsync.formatting import percent
from recsync.program.avro_rules import NEVER_NULL
from recsync.warehouse.values import (
    MAX_ID_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MICROSECONDS_FROM,
    MILLISECONDS_FROM,
    NANOSECONDS_FROM,
    time_unit,
)

_DIVISORS = {
    "milliseconds": MILLISECONDS_FROM // 100_000_000,
    "microseconds": MICROSECONDS_FROM // 100_000_000,
    "nanoseconds": NANOSECONDS_FROM // 100_000_000,
}
# {what} is e.g. "3 row(s) (0.2%)", {column} the column's name, {range} the interval. These texts
# reach logs and alerts, which must hold no record content: only the report on S3 has an example.
_ROW_TEXTS: Mapping[str, str] = {
    "cells": "returns {what} with more or fewer cells than the schema has fields, or with a line end outside quotes. "
    "Is a separator inside a value not quoted?",
    "value_length": "returns {what} with a text of over 1 MiB in {column}. Cut it with left(…).",
    "encoding": "returns {what} whose {column} is not valid UTF-8 or holds a NUL byte. "
    "Convert it in the query.",
    "missing": "returns {what} without {column}, which the schema says is never null. "
    "Leave such rows out or make the field a union with null.",
    "id_empty": "returns {what} whose {column} is empty. Leave such rows out.",
    "id_length": f"returns {{what}} whose {{column}} has over {MAX_ID_CHARACTERS} characters. "
    "Use a shorter key.",
    "id_characters": 'returns {what} whose {column} holds a quote (") or a control character, such as a line end. '
    "Clean it in the query, alike for every dataset.",
    "type": "returns {what} with a value that the schema does not allow in {column} ({type}). "
    "Cast or clean it.",
    "timestamp_positive": "returns {what} whose {column} is zero or negative. "
    "Amazon Personalize wants epoch seconds; leave out rows without a time.",
    "timestamp_unit": "returns {what} whose {column} looks like {unit}; Amazon Personalize wants epoch "
    "seconds. Use e.g. floor(extract(epoch FROM ts))::bigint{divide}.",
    "timestamp_range": "returns {what} whose {column} is outside the interval {range}. Filter with "
    "data_interval_start and data_interval_end, and floor, do not round, to seconds.",
    "keyword": "returns {what} whose {column} is the name of a field of Amazon Personalize, which must "
    "not be a value. Rename it in the query.",
    "text_length": f"returns {{what}} whose {{column}} has over {MAX_TEXT_CHARACTERS} characters. "
    "Cut it with left(…, 1000), or declare it textual.",
    "category_length": f"returns {{what}} whose {{column}} has a category of over {MAX_TEXT_CHARACTERS} characters. "
    "Categories are split at |.",
    "impression_length": f"returns {{what}} whose {{column}} has an item id of over {MAX_TEXT_CHARACTERS} characters. "
    "Impressions are split at |.",
    "duplicate_id": "returns {what} whose {column} came before. The first row of each is exported; "
    "return one row per id, e.g. SELECT DISTINCT ON. Does a join multiply rows?",
}


# The schema of Amazon Personalize has no null for these.
_NEVER_NULL = (
    "returns {what} without {column}, which Amazon Personalize takes no row without. "
    "Leave such rows out, e.g. WHERE … IS NOT NULL."
)
# Midnight: what a DATE column becomes.
_DAYS = (
    "returns {what} whose {column} is outside the interval {range}, at midnight: a day without a time. Return the time "
    "of the event, from a timestamp column, or export a day at a time (schedules.export: '0 0 * * *')."
)
_DAY_SECONDS = 24 * 3600


def row_text(rule: str, *, sql: str, what: str, column: str, kind: str, example: str, interval: str) -> str:
    """Say which rule rows break.

    :param what: how many rows, and their share.
    :param kind: Avro type of the column.
    :param example: a value that breaks the rule; only its unit of time is told.
    :param interval: the interval, for the rule about it.
    """
    unit = time_unit(int(example)) if rule == "timestamp_unit" else ""
    template = _ROW_TEXTS[rule]
    if rule == "missing" and column in NEVER_NULL:
        template = _NEVER_NULL
    elif rule == "timestamp_range" and int(example) % _DAY_SECONDS == 0:
        template = _DAYS
    return f"{sql} " + template.format(
        what=what,
        column=column,
        type=kind,
        range=interval,
        unit=unit,
        divide=f", or divide by {_DIVISORS[unit]}" if unit in _DIVISORS else "",
    )


def rows_and_share(rows: int, share: float) -> str:
    """Write a number of rows and their share of all, e.g. ``3 row(s) (0.2%)``."""
    return f"{rows} row(s) ({percent(share)})"
