"""Check the rows of one export while they stream through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsync.export.checks.dataset_rules import Violation, dataset_rules, drift_findings
from recsync.export.checks.profile import Profile
from recsync.export.checks.report import (
    BadRows,
    CheckContext,
    ExportReport,
    Quarantine,
    RuleFinding,
    row_text,
    rows_and_share,
)
from recsync.program import DatasetType
from recsync.program.avro import AvroField, Role, own_id
from recsync.program.data import RULES
from recsync.storage.csv_dialect import read_block, to_personalize, without_empty_strings
from recsync.storage.csv_text import MAX_VALUE_BYTES, inside_quotes, split_records, unix_line_ends
from recsync.storage.hashes import column_hashes, present_numbers
from recsync.warehouse.values import (
    ID_FORBIDDEN,
    KEYWORD_LETTER,
    KEYWORDS,
    MAX_FLOAT,
    MAX_ID_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MILLISECONDS_FROM,
    SECONDS_FROM,
    TimeRange,
)

Records = NDArray[np.object_]

_LEVELS = ("stop", "warn", "note")
_RULES = list(RULES)
_NUMBERS = {"int": pa.int32(), "long": pa.int64(), "float": pa.float64(), "double": pa.float64()}
_COMMA, _RETURN, _QUOTE = ord(","), ord("\r"), ord('"')
_SPACE, _DELETE = 0x20, 0x7F
_KEYWORDS = frozenset(KEYWORDS)
_ENDS_OF_CELLS = (ord(","), ord("\n"))


QUARANTINE_FILE = "quarantine.jsonl"
OWN_IDS_FILE = "own.ids"


@dataclass(frozen=True)
class _ParsedBlock:
    """Records with and without cells that hold an empty string.

    :param batch: the values; None when the block cannot be read or may have a bad row.
    """

    block: bytes
    plain: bytes
    batch: pa.RecordBatch | None


class RowChecks:
    """All rules of the program over the blocks of one export.

    A block that passes the fast checks of its columns is exported as it is; only other blocks are checked by row.
    """

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self._columns = context.schema.fields
        self._types = {column.name: _arrow_type(column) for column in self._columns}
        # The id column, when it must be unique.
        self._unique_id = own_id(context.dataset_type) if self._active("duplicate_id") else None
        self._times = TimeRange.of(context.interval, context.select_by)
        self._quarantine = Quarantine(context.work / QUARANTINE_FILE, context.schema.columns)
        self._profile = Profile(context, self._columns)
        self._rows = 0
        self._bytes = 0

    def blocks(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Check the blocks of an export, parsing the next one in a thread meanwhile.

        Arrow parses CSV, a third of the work, without the interpreter's lock.

        :param blocks: whole records of RFC 4180 CSV, as ``cut_records`` gives them.
        :returns: for each block the rows that break no rule, in the dialect of Amazon Personalize.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="parse") as thread:
            pending: Future[_ParsedBlock] | None = None
            for block in blocks:
                following = thread.submit(self._parsed, block)
                if pending is not None:
                    yield self._checked(pending.result())
                pending = following
            if pending is not None:
                yield self._checked(pending.result())

    def _parsed(self, block: bytes) -> _ParsedBlock:
        """Parse a block and check its columns; touch nothing that other blocks change."""
        block = unix_line_ends(block)
        # One character is found at memory speed, two are not.
        plain = without_empty_strings(block) if b'"' in block and b'""' in block else block
        return _ParsedBlock(block, plain, self._passing(plain))

    def _checked(self, parsed: _ParsedBlock) -> bytes:
        plain, batch = parsed.plain, parsed.batch
        if batch is None or (self._unique_id and self._repeated(batch).any()):
            plain = without_empty_strings(self._without_bad_rows(parsed.block))
            batch = self._typed(plain)
        else:
            self._rows += batch.num_rows
        self._profile.add(batch)
        exported = to_personalize(plain)
        self._bytes += len(exported)
        return exported

    def finish(self) -> ExportReport:
        """Check the export as a whole; call it once, after the last block."""
        context, quarantine, figures = self._context, self._quarantine, self._profile.finish()
        order = {column.name: place for place, column in enumerate(self._columns)}
        found = [
            *_quarantined(context, quarantine, {c.name: c for c in self._columns}, self._rows),
            *_judged(context, dataset_rules(context, figures, self._rows, self._bytes), self._rows),
        ]

        def place(finding: RuleFinding) -> tuple[int, int, int]:
            """Order findings by level, rule and column, and not by the row that broke a rule first."""
            rule = _RULES.index(finding.rule) if finding.rule in _RULES else len(_RULES)
            return _LEVELS.index(finding.level), rule, order[finding.column] if finding.column else 0

        return ExportReport(
            head={
                "program": context.program,
                "dataset": context.dataset_type.value,
                "sql": context.sql,
                "start": context.interval.start.isoformat(),
                "end": context.interval.end.isoformat(),
                "full": context.full,
            },
            rows=self._rows,
            exported=figures.rows,
            quarantined=quarantine.rows,
            findings=tuple(sorted(found, key=place)),
            drift=tuple(drift_findings(context, figures)),
            figures=figures.to_json(),
        )

    def write_ids(self) -> dict[DatasetType, Path]:
        """Write files of hashed ids, after ``finish``.

        :returns: of a users or items export its own ids; of interactions those that ``CheckContext.kept_ids`` names.
        """
        if self._context.dataset_type is DatasetType.INTERACTIONS:
            return self._profile.kept
        path = self._context.work / OWN_IDS_FILE
        self._profile.own_ids.write(path).close()
        return {self._context.dataset_type: path}

    @property
    def digest(self) -> str:
        """Digest of the exported rows, whatever their order."""
        return self._profile.digest

    def _passing(self, plain: bytes) -> pa.RecordBatch | None:
        """Read a block; None when it cannot be read or may have a bad row."""
        if b'"' in plain and len(stray_quotes(plain)):
            return None
        try:
            batch = self._typed(plain)
        except pa.ArrowInvalid:
            return None
        return batch if passes_fast_checks(batch, self._columns, plain, self._times) else None

    def _without_bad_rows(self, block: bytes) -> bytes:
        """Quarantine the bad rows of a block and return the others."""
        records = np.array(split_records(block), dtype=object)
        numbers = np.arange(self._rows + 1, self._rows + 1 + len(records))
        self._rows += len(records)
        for find in (self._misshapen, self._broken, self._repeats):
            keep = np.ones(len(records), dtype=np.bool_)
            for bad in find(records):
                self._quarantine.add(bad, records[bad.rows].tolist(), numbers[bad.rows].tolist())
                keep[bad.rows] = False
            records, numbers = records[keep], numbers[keep]
        return b"".join(records.tolist())

    def _misshapen(self, records: Records) -> list[BadRows]:
        return misshapen(records, len(self._columns))

    def _broken(self, records: Records) -> list[BadRows]:
        # As bytes: an empty cell is NULL, two quotes are an empty value.
        batch = read_block(b"".join(records.tolist()), {column.name: pa.binary() for column in self._columns})
        # Imported here because exact checks need pyarrow.compute, 12 MB.
        from recsync.export.checks.row_rules import broken_rows

        return broken_rows(batch, self._columns, self._times, self._active)

    def _repeats(self, records: Records) -> list[BadRows]:
        if not self._unique_id:
            return []
        rows = np.flatnonzero(self._repeated(self._typed(without_empty_strings(b"".join(records.tolist())))))
        return [BadRows("duplicate_id", self._unique_id, rows)] if len(rows) else []

    def _typed(self, plain: bytes) -> pa.RecordBatch:
        return read_block(plain, self._types)

    def _repeated(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Return which rows repeat the id of an earlier user or item."""
        return self._profile.own_ids.repeated(column_hashes(batch.column(self._unique_id)))

    def _active(self, rule: str) -> bool:
        return self._context.settings.limits(rule) is not None


def _arrow_type(column: AvroField) -> pa.DataType:
    if column.is_dictionary:
        return pa.dictionary(pa.int32(), pa.string())
    return _NUMBERS.get(column.type, pa.string())


def _quarantined(
    context: CheckContext, quarantine: Quarantine, columns: dict[str, AvroField], rows: int
) -> Iterator[RuleFinding]:
    interval = f"[{context.interval.start.isoformat()}, {context.interval.end.isoformat()})"
    for (rule, column), offence in quarantine.offences.items():
        limits = context.settings.limits(rule)
        if limits is None:
            continue
        share = offence.rows / rows
        text = row_text(
            rule,
            sql=context.sql,
            what=rows_and_share(offence.rows, share),
            column=column or "",
            kind=columns[column].type if column else "",
            example=offence.example or "",
            interval=interval,
        )
        level = limits.level(share, few=offence.rows <= context.settings.tolerated_rows)
        yield RuleFinding(rule, level, column, offence.rows, share, offence.example, text)
    share = quarantine.rows / rows if rows else 0.0
    settings = context.settings
    if share > settings.max_quarantined_share and quarantine.rows > settings.tolerated_rows:
        text = (
            f"{context.sql} returns {rows_and_share(quarantine.rows, share)} that break a rule, more than "
            f"checks.max_quarantined_share ({settings.max_quarantined_share}) lets pass. Mend the query, or "
            "raise it in the program file."
        )
        yield RuleFinding("max_quarantined_share", "stop", None, quarantine.rows, share, None, text)


def _judged(context: CheckContext, violations: Iterable[Violation], rows: int) -> Iterator[RuleFinding]:
    for one in violations:
        limits = context.settings.limits(one.rule)
        if limits is None:
            continue
        share = 0.0 if one.rows is None else one.rows / max(rows, 1)
        few = one.rows is not None and one.rows <= context.settings.tolerated_rows
        level = limits.level(1.0 if one.rows is None else share, few=few)
        if level == "note" and one.low_priority and limits.warn is not None:
            continue
        yield RuleFinding(
            one.rule, level, one.column, one.rows or 0, share, None, f"{context.sql} {one.text}"
        )


def misshapen(records: NDArray[np.object_], cells: int) -> list[BadRows]:
    """Find the records with more or fewer cells, or with a carriage return or a quote in the wrong place.

    :param records: each with its line end.
    """
    text = b"".join(records.tolist())
    lengths = np.fromiter(map(len, records), dtype=np.int64, count=len(records))
    ends = np.cumsum(lengths)
    wrong = np.bincount(_records_of(text, _COMMA, ends), minlength=len(records)) != cells - 1
    wrong |= np.bincount(_records_of(text, _RETURN, ends), minlength=len(records)) > 0
    wrong[np.searchsorted(ends, stray_quotes(text), side="right")] = True
    rows = np.flatnonzero(wrong)
    return [BadRows("cells", "", rows)] if len(rows) else []


def stray_quotes(block: bytes) -> NDArray[np.int64]:
    """Find the quotes that neither open nor close a cell nor escape a quote inside one; parsers disagree on them."""
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
    """Return the record of each such character outside quotes."""
    codes = np.frombuffer(text, dtype=np.uint8)
    places = np.flatnonzero(codes == character)
    if b'"' in text:
        places = places[~inside_quotes(codes, places)]
    records: NDArray[np.int64] = np.searchsorted(ends, places, side="right")
    return records


# Arrow reads numbers with spaces around them and hexadecimal ones; whether Amazon Personalize does is not documented.
_BLANKS = (b" ", b"\t")
_HEXADECIMAL = (b"x", b"X")


def passes_fast_checks(
    batch: pa.RecordBatch, columns: Sequence[AvroField], block: bytes, times: TimeRange
) -> bool:
    """Return whether no row of a block breaks a rule; False may be a false alarm, which costs time only.

    :param batch: the block, read with types.
    """
    if b"\0" in block or b"\r" in block or _odd_numbers(block):
        return False
    keywords = KEYWORD_LETTER in block and any(word.encode() in block for word in KEYWORDS)
    return not any(
        _texts_of_column(column, values, times) or (keywords and _has_keyword(column, values))
        for column, values in zip(columns, batch.columns, strict=True)
    )


def _odd_numbers(block: bytes) -> bool:
    for blank in _BLANKS:
        if blank in block and (
            block.startswith(blank)
            or any(edge + blank in block or blank + edge in block for edge in (b",", b"\n", b'"'))
        ):
            return True
    return any(letter in block and b"0" + letter in block for letter in _HEXADECIMAL)


def _texts_of_column(column: AvroField, values: pa.Array, times: TimeRange) -> bool:
    if values.null_count and not column.nullable:
        return True
    if values.null_count == len(values):
        return False
    match column.role:
        case Role.ID:
            return _id(values)
        case Role.TIMESTAMP | Role.CREATION_TIMESTAMP:
            numbers = present_numbers(values)
            first, last = int(numbers.min()), int(numbers.max())
            if first < SECONDS_FROM or last >= MILLISECONDS_FROM:
                return True
            return column.role is Role.TIMESTAMP and not times.first <= first <= last <= times.last
        case Role.NUMBER:
            return column.type in {"float", "double"} and _infinite(column, present_numbers(values))
        case Role.TEXTUAL:
            return _longest(values) > MAX_VALUE_BYTES
        case _:
            return _longest(values) > MAX_TEXT_CHARACTERS


def _id(values: pa.Array) -> bool:
    text = np.frombuffer(values.buffers()[2], dtype=np.uint8)
    lowest, highest = int(text.min()), int(text.max())
    if lowest < _SPACE or _longest(values) > MAX_ID_CHARACTERS:
        return True
    if highest < _DELETE and lowest > _QUOTE:
        return False
    # Imported here to keep 12 MB out of the memory of other exports.
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring_regex(values, ID_FORBIDDEN)).as_py())


def _longest(values: pa.Array) -> int:
    """Return the length of the longest text in bytes, which is at least its number of characters."""
    texts = values.dictionary if pa.types.is_dictionary(values.type) else values
    if not len(texts):
        return 0
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int32)[: len(texts) + 1]
    return int(np.diff(offsets).max())


def _infinite(column: AvroField, numbers: NDArray[np.int64 | np.float64]) -> bool:
    if not np.isfinite(numbers).all():
        return True
    return column.type == "float" and max(-float(numbers.min()), float(numbers.max())) > MAX_FLOAT


def _has_keyword(column: AvroField, values: pa.Array) -> bool:
    if column.is_number or column.role is Role.TEXTUAL:
        return False
    texts = values.dictionary if column.is_dictionary else values
    return not _KEYWORDS.isdisjoint(texts.to_pylist())
