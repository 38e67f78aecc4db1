"""Fill the columns of interactions that name the mail before an event."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsync.attribution.deliveries import DeliveredLists, delivered_lists
from recsync.attribution.mailed import NEEDS_QUOTES, MailedLists
from recsync.context import StageContext
from recsync.export.checks.row_checks import misshapen, stray_quotes
from recsync.program.attribution import (
    IMPRESSION_COLUMN,
    MAX_IMPRESSION_CHARACTERS,
    SOURCE_COLUMN,
    Attribution,
)
from recsync.program.intervals import Interval
from recsync.storage.csv_dialect import read_block
from recsync.storage.csv_text import split_records, unix_line_ends
from recsync.storage.duck import local_disk
from recsync.storage.hashes import Hashes, string_hashes
from recsync.warehouse.values import WHOLE_NUMBER

log = logging.getLogger(__name__)

_SECONDS_PER_DAY = 86_400
_BINARY = pa.binary()


class ExportedMails:
    """Fill the blocks of one export.

    A snapshot has events of nearly everybody, so all lists are indexed before the query runs. An interval has events of
    few people: its rows are kept on disk first, and only the lists of these people are indexed.

    :param columns: of the dataset's schema.
    :param folder: an existing folder for temporary files.
    """

    def __init__(
        self, context: StageContext, interval: Interval, columns: Sequence[str], folder: Path
    ) -> None:
        self._context, self._interval, self._columns = context, interval, columns
        self._folder = folder / "mailed"
        self._folder.mkdir()
        is_snapshot = interval == Interval.until(interval.end)
        self._mails = self._index(None) if is_snapshot else None

    def fill(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the blocks, filled, and log the figures at the end.

        :param blocks: whole records of RFC 4180 CSV.
        """
        if self._mails is None:
            spool, sizes, users = self._folder / "blocks.csv", [], _Users(self._columns)
            with local_disk(self._folder), spool.open("wb") as file:
                for block in blocks:
                    file.write(block)
                    sizes.append(len(block))
                    users.add(block)
            self._mails = self._index(users.hashes)
            blocks = _read_back(spool, sizes)
        for block in blocks:
            yield self._mails.block(block)
        self._mails.log()

    def _index(self, users: Hashes | None) -> MailColumns:
        found = delivered_lists(self._context, self._interval, self._folder, users)
        return MailColumns(self._columns, self._context.program.attribution, found)


def _read_back(path: Path, sizes: Iterable[int]) -> Iterator[bytes]:
    with path.open("rb") as file:
        for size in sizes:
            yield file.read(size)


class _Users:
    """Collect the hashes of the users of an export."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._found: list[Hashes] = []

    def add(self, block: bytes) -> None:
        """Add the users of a block."""
        self._found.append(np.unique(string_hashes(_Readable(block, self._columns).batch["USER_ID"])))

    @property
    def hashes(self) -> Hashes:
        """Return them, sorted."""
        return np.unique(np.concatenate(self._found)) if self._found else np.empty(0, np.uint64)


class _Readable:
    """The records of a block that have as many cells as there are columns; the checks report the others.

    :param batch: these records, as binary columns.
    :param quoted: whether cells may need quotes.
    """

    def __init__(self, block: bytes, columns: Sequence[str]) -> None:
        self.block = unix_line_ends(block)
        self.quoted = b'"' in self.block
        self._types = dict.fromkeys(columns, _BINARY)
        self._records: NDArray[np.object_] | None = None
        self.batch = self._read()

    def _read(self) -> pa.RecordBatch:
        if not (self.quoted and len(stray_quotes(self.block))):
            try:
                return read_block(self.block, self._types)
            except pa.ArrowInvalid:
                pass
        self._records = np.array(split_records(self.block), dtype=object)
        self._mask = np.ones(len(self._records), np.bool_)
        for bad in misshapen(self._records, len(self._types)):
            self._mask[bad.rows] = False
        return read_block(b"".join(self._records[self._mask].tolist()), self._types)

    def replaced(self, columns: Sequence[pa.Array], plain: Sequence[bool]) -> bytes:
        """Return the block with other values in these records.

        :param plain: of each column, whether no value needs quotes; in a block without quotes.
        """
        rows = _csv(columns, [each and not self.quoted for each in plain])
        if self._records is None:
            return rows
        records = self._records.copy()
        records[self._mask] = split_records(rows)
        return b"".join(records.tolist())


class MailColumns:
    """Fill ``EVENT_ATTRIBUTION_SOURCE`` and ``IMPRESSION`` in blocks of an export.

    An event follows a mail when its item is in the last list that a program delivered to the person before the event,
    at most ``window_days`` before. Of several programs, one with the item in its list takes precedence, then the last
    delivery. A value that the query returns stays.

    :param columns: of the dataset's schema, in its order.
    """

    def __init__(self, columns: Sequence[str], attribution: Attribution, delivered: DeliveredLists) -> None:
        self._columns, self._attribution, self._delivered = columns, attribution, delivered
        self._window = attribution.window_days * _SECONDS_PER_DAY
        self._events = self._attributed = self._shown = self._too_old = 0

    def block(self, block: bytes) -> bytes:
        """Fill the rows of a block: whole records of RFC 4180 CSV.

        Rows that cannot be read stay as they are; the checks report them.
        """
        if not self._delivered.programs:
            self._events += block.count(b"\n")
            return block
        readable = _Readable(block, self._columns)
        filled = self._filled(readable.batch)
        if all(column.null_count == len(column) for column in filled.values()):
            return readable.block
        are_plain = all(mailed.is_plain for mailed in self._delivered.programs.values())
        return readable.replaced(
            [
                pc.coalesce(column, filled[name]) if name in filled else column
                for name, column in zip(self._columns, readable.batch.columns, strict=True)
            ],
            [are_plain or name not in filled for name in self._columns],
        )

    def log(self) -> None:
        """Log how many rows were filled, and why others were not."""
        log.info(
            "%d of %d interactions are about an item of the last mail, %d have the items of a mail as IMPRESSION",
            self._attributed, self._events, self._shown,
        )  # fmt: skip
        if self._delivered.missing:
            log.warning(
                "The lists of %d deliveries were removed or replaced by a cleared run; no event is attributed to them",
                self._delivered.missing,
            )
        since = self._delivered.since
        if since is None:
            log.warning("There are no deliveries on S3, so no interaction is attributed to a mail")
        elif self._too_old:
            log.warning(
                "%d interactions are older than the oldest delivery on S3 (%s), so they are attributed to no mail",
                self._too_old, datetime.fromtimestamp(since, UTC).isoformat(),
            )  # fmt: skip

    def _filled(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Return the columns to fill; null where an event follows no mail."""
        self._events += batch.num_rows
        users, items, texts = batch["USER_ID"], batch["ITEM_ID"], batch["TIMESTAMP"]
        usable = pc.fill_null(pc.match_substring_regex(texts, WHOLE_NUMBER), False)
        seconds = pc.if_else(usable, texts, pa.scalar(b"0", _BINARY))
        times = seconds.cast(pa.string()).cast(pa.int64()).to_numpy()
        if (since := self._delivered.since) is not None:
            self._too_old += int((times < since).sum())
        found = _Found(batch.num_rows)
        for mailed in self._delivered.programs.values():
            found.add(mailed, string_hashes(users), items, times, self._window)
        self._attributed += int(found.holds.sum())
        filled: dict[str, pa.Array] = {}
        if self._attribution.source:
            filled[SOURCE_COLUMN] = found.sources()
        if self._attribution.impressions:
            filled[IMPRESSION_COLUMN] = found.impressions(self._attribution.impressions)
            self._shown += batch.num_rows - filled[IMPRESSION_COLUMN].null_count
        return filled


class _Found:
    """For each event of a block, the program of its mail and the row in that program's index."""

    def __init__(self, events: int) -> None:
        self._mailed: list[MailedLists] = []
        self._program = np.full(events, -1, np.int64)
        self._rows = np.full(events, -1, np.int64)
        self._moments = np.full(events, -1, np.int64)
        self.holds = np.zeros(events, np.bool_)

    def add(
        self,
        mailed: MailedLists,
        users: NDArray[np.uint64],
        items: pa.Array,
        times: NDArray[np.int64],
        window_seconds: int,
    ) -> None:
        """Consider the mails of one more program."""
        rows = mailed.latest(users, times, window_seconds)
        events = np.flatnonzero(rows >= 0)
        rows = rows[events]
        codes = pc.index_in(items.take(pa.array(events)), value_set=mailed.item_ids)
        holds = mailed.contains(rows, codes.fill_null(-1).to_numpy().astype(np.int64))
        moments = mailed.moments[rows]
        # A list with the item takes precedence, then the newer list.
        former = self.holds[events]
        better = (holds & ~former) | ((holds == former) & (moments > self._moments[events]))
        chosen = events[better]
        self._program[chosen] = len(self._mailed)
        self._rows[chosen], self._moments[chosen] = rows[better], moments[better]
        self.holds[chosen] = holds[better]
        self._mailed.append(mailed)

    def sources(self) -> pa.Array:
        """Return the source of each event about an item of a mail."""
        names = [source for mailed in self._mailed for source in mailed.sources]
        first, codes = 0, np.full(len(self._rows), -1, np.int64)
        for number, mailed in enumerate(self._mailed):
            events = np.flatnonzero(self.holds & (self._program == number))
            codes[events] = first + mailed.source_codes[self._rows[events]]
            first += len(mailed.sources)
        places = pa.array(codes, mask=codes < 0)
        return pa.array([name.encode() for name in names], _BINARY).take(places)

    def impressions(self, most: int) -> pa.Array:
        """Return the items of the mail that each event may follow, joined with ``|``."""
        parts, order = [], []
        for number, mailed in enumerate(self._mailed):
            events = np.flatnonzero(self._program == number)
            texts = mailed.texts(self._rows[events], most, MAX_IMPRESSION_CHARACTERS)
            parts.append(pc.if_else(pc.equal(texts, b""), pa.scalar(None, _BINARY), texts))
            order.append(events)
        places = np.full(len(self._rows), -1, np.int64)
        places[np.concatenate(order)] = np.arange(sum(map(len, order)))
        return pa.concat_arrays(parts).take(pa.array(places, mask=places < 0))


def _csv(columns: Sequence[pa.Array], plain: Sequence[bool]) -> bytes:
    """Write RFC 4180 CSV; an empty cell is NULL, two quotes are an empty string.

    :param plain: of each column, whether no value needs quotes.
    """
    cells = [
        column.fill_null(b"") if is_plain else _with_quotes(column)
        for column, is_plain in zip(columns, plain, strict=True)
    ]
    comma, line_end = pa.scalar(b",", _BINARY), pa.scalar(b"\n", _BINARY)
    rows = pc.binary_join_element_wise(*cells, comma)
    lines = pc.binary_join_element_wise(rows, pa.scalar(b"", _BINARY), line_end)
    return b"".join(lines.to_pylist()) if lines.offset else bytes(lines.buffers()[2])[: _size(lines)]


def _size(lines: pa.Array) -> int:
    return int(np.frombuffer(lines.buffers()[1], np.int32)[len(lines)])


def _with_quotes(column: pa.Array) -> pa.Array:
    needs = pc.or_(pc.match_substring_regex(column, NEEDS_QUOTES), pc.equal(column, b""))
    quote = pa.scalar(b'"', _BINARY)
    quoted = pc.binary_join_element_wise(
        quote, pc.replace_substring(column, '"', '""'), quote, pa.scalar(b"", _BINARY)
    )
    return pc.if_else(needs, quoted, column).fill_null(b"")
