"""Rows that are left out of an export: counted, and kept with the rule they break."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recsync.export.checks.row_rules import Broken
from recsync.storage.csv_text import cells_of
from recsync.storage.local_disk import local_disk

# Enough to see what is wrong; the report counts all of them.
MAX_KEPT_ROWS = 100_000
# More than the longest value that Amazon Personalize reads.
_KEPT_VALUE_BYTES = 100_000
_EXAMPLE_CHARACTERS = 100


@dataclass
class Offence:
    """How often one rule was broken in one column, and the first value that did."""

    rows: int
    example: str | None


class Quarantine:
    """A file with one JSON line per row that is left out, written only when there is one."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._columns = columns
        self.rows = 0
        self.offences: dict[tuple[str, str | None], Offence] = {}

    def add(self, broken: Broken, records: Sequence[bytes], numbers: Sequence[int]) -> None:
        """Take the rows that break one rule.

        :param records: as the stream has them.
        :param numbers: their numbers in the query's result; the first row is 1.
        """
        column = broken.column or None
        offence = self.offences.setdefault((broken.rule, column), Offence(0, None))
        if not offence.rows:
            # Of the first row, whatever it is: the report must not tell where the stream was cut into blocks.
            offence.example = self._example(records[0], column)
        offence.rows += len(records)
        room = max(MAX_KEPT_ROWS - self.rows, 0)
        self.rows += len(records)
        if room:
            self._write(broken, records[:room], numbers[:room])

    def _write(self, broken: Broken, records: Sequence[bytes], numbers: Sequence[int]) -> None:
        with local_disk(self._path.parent), self._path.open("a", encoding="utf-8") as file:
            for record, number in zip(records, numbers, strict=True):
                line = {
                    "rule": broken.rule,
                    "column": broken.column or None,
                    "row": number,
                    "values": self._values(record),
                }
                # Escaped, as some characters of Unicode look like line ends to those who read by lines.
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
