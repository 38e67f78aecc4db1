"""Index delivered lists by person and time, on disk, and find the last one before an event.

The index is a few flat files, sorted by the hash of the user id and by time. They are mapped, so that memory does not
grow with the number of people; DuckDB sorts with spilling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.program.attribution import source_of
from recsync.storage.duck import opened, quoted_path
from recsync.storage.hashes import Hashes, among, string_hashes

_STAGED = pa.schema(
    [
        ("hash", pa.uint64()),
        ("moment", pa.int64()),
        ("source", pa.int16()),
        ("items", pa.list_(pa.int32())),
    ]
)
_PEOPLE = pa.schema([("user_id", pa.string()), ("external_id", pa.string())])
_BATCH_ROWS = 65_536
# Outcomes of people who have the run's list after the delivery.
_HAS_LIST = "('sent', 'unchanged')"
NEEDS_QUOTES = '[",\r\n]'
"""A regular expression of what needs quotes in a cell of RFC 4180 CSV."""
_FLAT = {"hash": np.uint64, "moment": np.int64, "source": np.int16}


@dataclass(frozen=True)
class TimedAccounts:
    """The accounts of one delivery, and Unix seconds of its end."""

    path: Path
    moment: int


@dataclass(frozen=True)
class RunFiles:
    """The local files of one recommend run and its deliveries.

    :param lists: Parquet file with external_id, items (positions in the catalog) and perhaps arm.
    :param audience: Parquet file with user_id and external_id; None where it was not kept: the id in Braze is then
        taken for the user_id.
    :param item_ids: of the run's catalog.
    """

    lists: Path
    audience: Path | None
    item_ids: pa.Array
    accounts: tuple[TimedAccounts, ...]

    def delete(self) -> None:
        """Delete the files."""
        for path in (self.lists, self.audience, *(each.path for each in self.accounts)):
            if path is not None:
                path.unlink()


class MailedListsWriter:
    """Collect the delivered lists of one program, run by run.

    :param program: its name, for sources.
    :param source: ``personalize.attribution.source``.
    :param users: sorted hashes of the users to index; None: all.
    """

    def __init__(self, folder: Path, program: str, source: str | None, users: Hashes | None = None) -> None:
        self._folder, self._program, self._source, self._users = folder, program, source, users
        self._items: pa.Array = pa.array([], pa.string())
        self._sources: dict[str, int] = {}
        self._staged: list[Path] = []

    def add(self, files: RunFiles) -> None:
        """Stage the lists of the people whom the deliveries of a run reached."""
        codes = self._codes(files.item_ids)
        target = self._folder / f"staged-{len(self._staged):06d}.parquet"
        with (
            opened(self._folder) as database,
            pq.ParquetWriter(target, _STAGED, compression="zstd") as writer,
        ):
            for batch in _delivered(database, files, self._users):
                items = batch["items"]
                lists = pa.ListArray.from_arrays(items.offsets, codes.take(items.values))
                sources = self._source_codes(batch)
                users = batch["user_id"].cast(pa.string())
                rows = [pa.array(string_hashes(users)), batch["moment"], pa.array(sources), lists]
                writer.write_batch(pa.RecordBatch.from_arrays(rows, schema=_STAGED))
        self._staged.append(target)

    def finish(self) -> MailedLists | None:
        """Sort the staged rows into the index; return None without rows."""
        if not sum(pq.read_metadata(path).num_rows for path in self._staged):
            return None
        paths = {name: self._folder / f"{name}.bin" for name in (*_FLAT, "start", "items")}
        files = {name: path.open("wb") for name, path in paths.items()}
        staged = ", ".join(quoted_path(path) for path in self._staged)
        end = 0
        try:
            files["start"].write(np.zeros(1, np.int64).tobytes())
            with opened(self._folder) as database:
                # Two lists of one person may end in the same second: the later run's comes last.
                columns = "hash, moment, source, items"
                query = (
                    f"SELECT {columns} FROM read_parquet([{staged}], filename = true) "
                    "ORDER BY hash, moment, filename"
                )
                for batch in database.sql(query).to_arrow_reader(_BATCH_ROWS):
                    for name in _FLAT:
                        files[name].write(batch[name].to_numpy().tobytes())
                    lengths = pc.list_value_length(batch["items"]).to_numpy()
                    files["start"].write((end + np.cumsum(lengths, dtype=np.int64)).tobytes())
                    files["items"].write(batch["items"].flatten().to_numpy().tobytes())
                    end += int(lengths.sum())
        finally:
            for file in files.values():
                file.close()
        for path in self._staged:
            path.unlink()
        flat = {name: np.memmap(paths[name], kind, "r") for name, kind in _FLAT.items()}
        return MailedLists(
            hashes=flat["hash"],
            moments=flat["moment"],
            source_codes=flat["source"],
            starts=np.memmap(paths["start"], np.int64, "r"),
            items=np.memmap(paths["items"], np.int32, "r"),
            item_ids=self._items.cast(pa.binary()),
            sources=tuple(self._sources),
        )

    def _codes(self, item_ids: pa.Array) -> pa.Array:
        """Return the code of each item of a catalog; an item keeps its code over the runs."""
        new = item_ids.filter(pc.is_null(pc.index_in(item_ids, value_set=self._items)))
        self._items = pa.concat_arrays([self._items, new.cast(pa.string())])
        return pc.index_in(item_ids, value_set=self._items)

    def _source_codes(self, batch: pa.RecordBatch) -> NDArray[np.int16]:
        arms = batch["arm"].dictionary_encode()
        names = [source_of(self._program, arm, self._source) for arm in arms.dictionary.to_pylist()]
        outside = self._code_of(source_of(self._program, None, self._source))
        codes = np.array([*(self._code_of(name) for name in names), outside], np.int16)
        chosen: NDArray[np.int16] = codes[arms.indices.fill_null(len(names)).to_numpy()]
        return chosen

    def _code_of(self, source: str) -> int:
        return self._sources.setdefault(source, len(self._sources))


def _delivered(
    database: duckdb.DuckDBPyConnection, files: RunFiles, users: Hashes | None
) -> Iterator[pa.RecordBatch]:
    if not files.accounts:
        return
    told = " UNION ALL ".join(
        f"SELECT external_id, {each.moment}::BIGINT AS moment FROM read_parquet({quoted_path(each.path)}) "
        f"WHERE outcome IN {_HAS_LIST}"
        for each in files.accounts
    )
    arm = "lists.arm::VARCHAR" if "arm" in pq.read_schema(files.lists).names else "NULL::VARCHAR"
    # Without an audience, the id in Braze is taken for the user_id.
    path, user = (files.audience, "user_id") if files.audience else (files.lists, "external_id")
    people = f"(SELECT {user} AS user_id, external_id FROM read_parquet({quoted_path(path)}))"
    if users is not None:
        database.register("wanted_people", _chosen(path, user, users))
        people = "wanted_people"
    # One row per delivery, also of an unchanged list: otherwise its window would depend on where the period begins.
    query = (
        f"SELECT people.user_id, told.moment, {arm} AS arm, lists.items "
        f"FROM read_parquet({quoted_path(files.lists)}) AS lists JOIN {people} AS people USING (external_id) "
        f"JOIN ({told}) AS told USING (external_id) WHERE len(lists.items) > 0"
    )
    for batch in database.sql(query).to_arrow_reader(_BATCH_ROWS):
        # A slice of DuckDB's vectors may not begin at 0.
        yield pa.RecordBatch.from_arrays(
            [pa.concat_arrays([column]) for column in batch.columns], names=batch.schema.names
        )


def _chosen(path: Path, user: str, users: Hashes) -> pa.Table:
    """Read the wanted people of a run; an export of one hour has few."""
    chosen = []
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=sorted({user, "external_id"})):
            ids = batch[user].cast(pa.string())
            wanted = among(users, string_hashes(ids))
            columns = [ids, batch["external_id"].cast(pa.string())]
            chosen.append(pa.RecordBatch.from_arrays(columns, schema=_PEOPLE).filter(pa.array(wanted)))
    return pa.Table.from_batches(chosen, schema=_PEOPLE)


@dataclass(frozen=True)
class MailedLists:
    """The delivered lists of one program; a row per person and delivery, sorted by ``hashes`` and ``moments``.

    :param hashes: of the user id.
    :param moments: Unix seconds of the end of the delivery.
    :param source_codes: positions in ``sources``.
    :param starts: where each row begins in ``items``; one more than there are rows.
    :param items: positions in ``item_ids``, in the order of the list.
    :param item_ids: binary array.
    """

    hashes: Hashes
    moments: NDArray[np.int64]
    source_codes: NDArray[np.int16]
    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    item_ids: pa.Array
    sources: tuple[str, ...]

    @cached_property
    def is_plain(self) -> bool:
        """Whether no item id needs quotes in CSV."""
        return not pc.any(pc.match_substring_regex(self.item_ids, NEEDS_QUOTES), min_count=0).as_py()

    @cached_property
    def _usable(self) -> NDArray[np.bool_]:
        usable: NDArray[np.bool_] = pc.invert(pc.match_substring(self.item_ids, "|")).to_numpy(
            zero_copy_only=False
        )
        return usable

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        sizes: NDArray[np.int64] = pc.utf8_length(self.item_ids.cast(pa.string())).to_numpy().astype(np.int64)
        return sizes

    def latest(self, users: Hashes, times: NDArray[np.int64], window_seconds: int) -> NDArray[np.int64]:
        """Return the row of the last list delivered to each user before a time, -1 where none is in the window.

        :param times: Unix seconds; a list that was delivered in the same second does not count.
        """
        # Neighbours in the file are looked up together.
        order = np.argsort(users, kind="stable")
        wanted, before = users[order], times[order]
        first = np.searchsorted(self.hashes, wanted, side="left")
        low, high = first.copy(), np.searchsorted(self.hashes, wanted, side="right")
        while len(active := np.flatnonzero(low < high)):
            middle = (low[active] + high[active]) // 2
            is_earlier = self.moments[middle] < before[active]
            low[active] = np.where(is_earlier, middle + 1, low[active])
            high[active] = np.where(is_earlier, high[active], middle)
        rows = low - 1
        found = rows >= first
        found[found] = self.moments[rows[found]] >= before[found] - window_seconds
        result = np.full(len(users), -1, np.int64)
        result[order[found]] = rows[found]
        return result

    def contains(self, rows: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the list of each row holds an item.

        :param codes: position of the item in ``item_ids``; -1 for an unknown one.
        """
        lengths = self.starts[rows + 1] - self.starts[rows]
        hits = self.items[_ragged(self.starts[rows], lengths)] == np.repeat(codes, lengths)
        found = np.zeros(len(rows), np.bool_)
        found[np.repeat(np.arange(len(rows)), lengths)[hits]] = True
        return found

    def texts(self, rows: NDArray[np.int64], most: int, most_characters: int) -> pa.Array:
        """Write the first items of each row's list, joined with ``|``, as a binary array.

        Skip items with ``|`` in their id: they would be read as two.

        :param most: maximum number of items in a text.
        :param most_characters: maximum length of a text.
        """
        different, places = np.unique(rows, return_inverse=True)
        usable, sizes = self._usable, self._sizes
        lengths = self.starts[different + 1] - self.starts[different]
        owner = np.repeat(np.arange(len(different)), lengths)
        codes = self.items[_ragged(self.starts[different], lengths)]
        owner, codes = owner[usable[codes]], codes[usable[codes]]
        begins = np.searchsorted(owner, np.arange(len(different) + 1))
        rank = np.arange(len(owner)) - begins[owner]
        # Each item but the first has a bar before it.
        total = np.cumsum(sizes[codes] + 1)
        before = np.concatenate([[0], total])[begins[owner]]
        keep = (rank < most) & (total - before - 1 <= most_characters)
        owner, codes = owner[keep], codes[keep]
        offsets = np.searchsorted(owner, np.arange(len(different) + 1)).astype(np.int32)
        lists = pa.ListArray.from_arrays(pa.array(offsets), self.item_ids.take(pa.array(codes)))
        return pc.binary_join(lists, pa.scalar(b"|", pa.binary())).take(pa.array(places))


def _ragged(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions of ragged rows one after another."""
    firsts = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) - np.repeat(firsts, lengths) + np.repeat(starts, lengths)
