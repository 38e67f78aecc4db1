"""Check the rows of one export while they stream through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsync.export.checks.context import CheckContext
from recsync.export.checks.fast_checks import suspicious
from recsync.export.checks.findings import report_of
from recsync.export.checks.profile import Tally
from recsync.export.checks.quarantine import Quarantine
from recsync.export.checks.report import Report
from recsync.export.checks.row_rules import Broken, broken_rows
from recsync.program import DatasetType
from recsync.program.columns import Column, columns_of, own_id
from recsync.storage.csv_text import split_records, to_personalize, unix_line_ends, without_empty_strings
from recsync.storage.csv_text.records import inside_quotes
from recsync.storage.csv_text.texts import read_block
from recsync.storage.hashes import Hashes, column_hashes
from recsync.warehouse.values import TimeRange


def typed(block: bytes, columns: Sequence[Column]) -> pa.RecordBatch:
    """Read whole records with the columns' types; an empty cell is NULL.

    :raises pyarrow.ArrowInvalid: when a value is not of its column's type, a text is not UTF-8, or a record has more
        or fewer cells than there are columns.
    """
    return read_block(block, {column.name: column.arrow_type for column in columns})


def untyped(block: bytes, columns: Sequence[Column]) -> pa.RecordBatch:
    """Read whole records as bytes; an empty cell is NULL, two quotes are an empty value.

    :raises pyarrow.ArrowInvalid: when a record has more or fewer cells than there are columns.
    """
    return read_block(block, {column.name: pa.binary() for column in columns})


_COMMA, _RETURN, _QUOTE = ord(","), ord("\r"), ord('"')
_ENDS_OF_CELLS = (ord(","), ord("\n"))


def misshapen(records: NDArray[np.object_], cells: int) -> list[Broken]:
    """Find the records with more or fewer cells, and those with a carriage return or a quote where none may be.

    :param records: each with its line end.
    """
    text = b"".join(records.tolist())
    lengths = np.fromiter(map(len, records), dtype=np.int64, count=len(records))
    ends = np.cumsum(lengths)
    wrong = np.bincount(_records_of(text, _COMMA, ends), minlength=len(records)) != cells - 1
    wrong |= np.bincount(_records_of(text, _RETURN, ends), minlength=len(records)) > 0
    wrong[np.searchsorted(ends, stray_quotes(text), side="right")] = True
    rows = np.flatnonzero(wrong)
    return [Broken("cells", "", rows)] if len(rows) else []


def stray_quotes(block: bytes) -> NDArray[np.int64]:
    """Find the quotes that neither open a cell, nor close one, nor stand for one quote inside: everybody reads these
    differently."""
    text = np.frombuffer(block, dtype=np.uint8)
    quotes = np.flatnonzero(text == _QUOTE)
    opening, closing = quotes[0::2], quotes[1::2]
    doubled = closing[: len(opening) - 1] + 1 == opening[1:]
    begins = (opening == 0) | np.isin(text[opening - 1], _ENDS_OF_CELLS)
    begins[1:] |= doubled
    ends = np.isin(text[np.minimum(closing + 1, len(text) - 1)], _ENDS_OF_CELLS)
    ends[: len(doubled)] |= doubled
    return np.concatenate([opening[~begins], closing[~ends]])


def _records_of(text: bytes, character: int, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the record of every such character outside quotes."""
    codes = np.frombuffer(text, dtype=np.uint8)
    places = np.flatnonzero(codes == character)
    if b'"' in text:
        places = places[~inside_quotes(codes, places)]
    records: NDArray[np.int64] = np.searchsorted(ends, places, side="right")
    return records


Records = NDArray[np.object_]

QUARANTINE_FILE = "quarantine.jsonl"


class RowChecks:
    """Every rule of the program over the blocks of one export.

    A block whose columns as a whole look right is exported as it is; only others are looked at row by row.
    """

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self._columns = columns_of(context.schema)
        self._own_id = own_id(context.dataset_type)
        self._times = TimeRange.of(context.interval, context.select_by)
        self._quarantine = Quarantine(context.work / QUARANTINE_FILE, context.schema.columns)
        self._tally = Tally(context, self._columns)
        self._rows = 0
        self._bytes = 0

    def block(self, block: bytes) -> bytes:
        """Check a block.

        :param block: whole records of RFC 4180 CSV, as ``cut_records`` gives them.
        :returns: the rows that break no rule, in the dialect of Amazon Personalize.
        """
        block = unix_line_ends(block)
        plain = without_empty_strings(block) if b'""' in block else block
        batch = self._unsuspected(plain)
        if batch is None:
            plain = without_empty_strings(self._without_bad_rows(block))
            batch = typed(plain, self._columns)
        else:
            self._rows += batch.num_rows
        self._tally.add(batch)
        exported = to_personalize(plain)
        self._bytes += len(exported)
        return exported

    def finish(self) -> Report:
        """Judge the export as a whole; call it once, after the last block."""
        return report_of(
            self._context, self._tally, self._quarantine, rows=self._rows, size_bytes=self._bytes
        )

    @property
    def ids(self) -> Hashes:
        """Sorted hashes of the ids that a users or items export holds; none for interactions."""
        return self._tally.seen.ids

    @property
    def kept_ids(self) -> dict[DatasetType, Hashes]:
        """Sorted hashes of the ids of interactions that the context asked to keep; known after ``finish``."""
        return {
            kind: np.sort(np.concatenate(hashes)) if hashes else np.empty(0, np.uint64)
            for kind, hashes in self._tally.kept.items()
        }

    @property
    def digest(self) -> str:
        """Tell exported contents apart, whatever the order of their rows."""
        return self._tally.digest

    def _unsuspected(self, plain: bytes) -> pa.RecordBatch | None:
        """Read a block; None when it cannot be read or may hold a bad row."""
        if b'"' in plain and len(stray_quotes(plain)):
            return None
        try:
            batch = typed(plain, self._columns)
        except pa.ArrowInvalid:
            return None
        if suspicious(batch, self._columns, plain, self._times):
            return None
        if self._own_id and self._active("duplicate_id") and self._repeated(batch).any():
            return None
        return batch

    def _without_bad_rows(self, block: bytes) -> bytes:
        """Find the bad rows of a block one by one and give the others."""
        records = np.array(split_records(block), dtype=object)
        numbers = np.arange(self._rows + 1, self._rows + 1 + len(records))
        self._rows += len(records)
        for rows_of in (self._misshapen, self._broken, self._repeats):
            found = rows_of(records)
            keep = np.ones(len(records), dtype=np.bool_)
            for broken in found:
                self._quarantine.add(broken, records[broken.rows].tolist(), numbers[broken.rows].tolist())
                keep[broken.rows] = False
            records, numbers = records[keep], numbers[keep]
        return b"".join(records.tolist())

    def _misshapen(self, records: Records) -> list[Broken]:
        return misshapen(records, len(self._columns))

    def _broken(self, records: Records) -> list[Broken]:
        batch = untyped(b"".join(records.tolist()), self._columns)
        return broken_rows(batch, self._columns, self._times, self._active)

    def _repeats(self, records: Records) -> list[Broken]:
        if self._own_id is None or not self._active("duplicate_id"):
            return []
        batch = typed(without_empty_strings(b"".join(records.tolist())), self._columns)
        rows = np.flatnonzero(self._repeated(batch))
        return [Broken("duplicate_id", self._own_id, rows)] if len(rows) else []

    def _repeated(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        return self._tally.seen.repeated(column_hashes(batch.column(self._own_id)))

    def _active(self, rule: str) -> bool:
        return self._context.settings.limits(rule) is not None
