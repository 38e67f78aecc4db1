"""The report of an export's checks: findings, their texts, and quarantined rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsync.formatting import percent
from recsync.program import Checks, DatasetType
from recsync.program.avro import NEVER_NULL, AvroSchema
from recsync.program.data import Level
from recsync.program.intervals import Interval
from recsync.storage.csv_dialect import cells_of
from recsync.storage.duck import local_disk
from recsync.storage.hash_files import HashFile
from recsync.warehouse.values import (
    MAX_ID_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MICROSECONDS_FROM,
    MILLISECONDS_FROM,
    NANOSECONDS_FROM,
    time_unit,
)


@dataclass(frozen=True)
class BadRows:
    """Rows that break one rule in one column; a row that breaks several is listed under the first only.

    :param rows: indexes in the block.
    """

    rule: str
    column: str
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class CheckContext:
    """Parameters of one export of one dataset.

    :param full: whether it is a snapshot of everything before the interval's end.
    :param select_by: the time that the query compares with the interval.
    :param settings: the program's limits.
    :param sql: the SQL file, for messages.
    :param work: an existing folder for the quarantine file and the hash spools.
    :param known: hashed ids of the users and items datasets; rules about a missing one are skipped.
    :param known_items_before: hashed ids of the items that are not new; None without an earlier FULL.
    :param kept_ids: datasets that the program lacks; their ids are collected from the interactions.
    :param sparse: columns that are empty in most rows by design; the check for NULLs skips them.
    :param history: JSON documents of earlier reports of this dataset, newest first.
    """

    program: str
    schema: AvroSchema
    dataset_type: DatasetType
    interval: Interval
    full: bool
    select_by: Literal["event_time", "ingestion_time"]
    settings: Checks
    sql: str
    work: Path
    known: Mapping[DatasetType, HashFile] = field(default_factory=dict)
    known_items_before: HashFile | None = None
    kept_ids: frozenset[DatasetType] = frozenset()
    sparse: frozenset[str] = frozenset()
    history: Sequence[Mapping[str, Any]] = ()


_DIVISORS = {
    "milliseconds": MILLISECONDS_FROM // 100_000_000,
    "microseconds": MICROSECONDS_FROM // 100_000_000,
    "nanoseconds": NANOSECONDS_FROM // 100_000_000,
}
# {what} is e.g. "3 row(s) (0.2%)", {column} the column's name, {range} the interval. Logs and alerts contain these
# texts, and must contain no record content: only the report on S3 has an example.
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
    """Write the message about rows that break a rule.

    :param what: number of rows, and their share.
    :param kind: Avro type of the column.
    :param example: a value that breaks the rule; the message has only its unit of time.
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


Verdict = Literal["passed", "warned", "stopped"]


@dataclass(frozen=True)
class RuleFinding:
    """A violated rule in the report.

    :param rows: number of rows that break it; 0 when it is about the whole export.
    :param share: of all rows, 0 to 1.
    :param text: the problem and its fix.
    """

    rule: str
    level: Level
    column: str | None
    rows: int
    share: float
    example: str | None
    text: str


DriftFigure = Literal["volume", "event_mix", "freshness", "new_items"]


@dataclass(frozen=True)
class DriftFinding:
    """A figure that differs too much from the median of earlier exports.

    :param usual: the median.
    :param runs: number of the earlier exports.
    """

    figure: DriftFigure
    now: float
    usual: float
    runs: int
    level: Level
    text: str


@dataclass(frozen=True)
class ExportReport:
    """Counts and findings of one export.

    :param rows: number of rows that the query returned.
    :param figures: the rest of the JSON document: columns, volume, event types, history and figures.
    """

    head: dict[str, Any]
    rows: int
    exported: int
    quarantined: int
    findings: tuple[RuleFinding, ...]
    drift: tuple[DriftFinding, ...]
    figures: dict[str, Any]

    @property
    def _all(self) -> tuple[RuleFinding | DriftFinding, ...]:
        return (*self.findings, *self.drift)

    @property
    def verdict(self) -> Verdict:
        """Result of the checks: a stopped export is not published."""
        levels = {finding.level for finding in self._all}
        if "stop" in levels:
            return "stopped"
        return "warned" if "warn" in levels else "passed"

    def stop_message(self) -> str | None:
        """Return the texts of all findings that stop the export; None without one."""
        texts = [finding.text for finding in self._all if finding.level == "stop"]
        return "\n".join(texts) or None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document; times are epoch seconds, shares 0 to 1, unknown figures None."""
        return {
            **self.head,
            "rows": self.rows,
            "exported": self.exported,
            "quarantined": self.quarantined,
            "verdict": self.verdict,
            "findings": [asdict(finding) for finding in self.findings],
            **self.figures,
            "drift": [asdict(finding) for finding in self.drift],
            "quarantine": None,
        }


# Enough examples; the report counts all rows.
MAX_KEPT_ROWS = 100_000
# Longer than any value that Amazon Personalize reads.
_KEPT_VALUE_BYTES = 100_000
_EXAMPLE_CHARACTERS = 100


@dataclass
class Offence:
    """Number of rows that break one rule in one column, and the first such value."""

    rows: int
    example: str | None


class Quarantine:
    """A file with one JSON line per rejected row; not written without one."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._columns = columns
        self.rows = 0
        self.offences: dict[tuple[str, str | None], Offence] = {}

    def add(self, broken: BadRows, records: Sequence[bytes], numbers: Sequence[int]) -> None:
        """Add the rows that break one rule.

        :param records: as in the stream.
        :param numbers: row numbers in the query's result; the first row is 1.
        """
        column = broken.column or None
        offence = self.offences.setdefault((broken.rule, column), Offence(0, None))
        if not offence.rows:
            # Of the first row, so that the report does not depend on how the stream was cut into blocks.
            offence.example = self._example(records[0], column)
        offence.rows += len(records)
        room = max(MAX_KEPT_ROWS - self.rows, 0)
        self.rows += len(records)
        if room:
            self._write(broken, records[:room], numbers[:room])

    def _write(self, broken: BadRows, records: Sequence[bytes], numbers: Sequence[int]) -> None:
        with local_disk(self._path.parent), self._path.open("a", encoding="utf-8") as file:
            for record, number in zip(records, numbers, strict=True):
                line = {
                    "rule": broken.rule,
                    "column": broken.column or None,
                    "row": number,
                    "values": self._values(record),
                }
                # ASCII only, as some readers take certain Unicode characters as line ends.
                file.write(json.dumps(line) + "\n")

    def _values(self, record: bytes) -> dict[str, str | None]:
        cells = [
            None if cell is None else cell[:_KEPT_VALUE_BYTES].decode(errors="replace")
            for cell in cells_of(record)
        ]
        extra = [f"(cell {place + 1})" for place in range(len(self._columns), len(cells))]
        return dict(zip([*self._columns, *extra], cells, strict=False))

    def _example(self, record: bytes, column: str | None) -> str | None:
        text = self._values(record).get(column) if column else record.decode(errors="replace").rstrip("\n")
        return None if text is None else text[:_EXAMPLE_CHARACTERS]
