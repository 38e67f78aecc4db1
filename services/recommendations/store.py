"""Keep one publication of a program on the local disk: lists and items in one LMDB file that never changes.

A look-up among a million people takes 1.4 us in LMDB, 2.0 in memory-mapped Arrow and 476 in DuckDB
(``make bench ONLY=recommendations``). All processes share the pages of the file.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from braze_client.payloads import dumps
from recsync.errors import FatalError
from recsync.storage.duck import opened, quoted_path
from recsync.suppression.store import PERSON, USER, Suppression

# Address space, not memory or disk: the file grows as far as it is written.
_MAP_BYTES = 1 << 40
_DATABASES = ("people", "items", "positions", "meta")
_META = b"publication"
_BATCH_ROWS = 65_536
# Items that a worker keeps in memory, some 250 bytes each.
_KEPT_ITEMS = 100_000
# Columns of the lists that are kept with each person, where the publication has them.
LABELS = ("tier", "arm")
# Of this machine's byte order, as LMDB's own numbers are.
_COUNT = struct.Struct("=H")
_POSITION = struct.Struct(">I")
_POPULAR = "popular"
# Items that may share one name, on average, among the most popular.
_SAME_NAMES = 20


def key_of(value: str) -> bytes:
    """Return the key of an id: LMDB takes at most 511 bytes, an id may have more."""
    return hashlib.sha256(value.encode()).digest()[:16]


class Entry(NamedTuple):
    """One person of a publication.

    :param positions: of the items.
    :param labels: as codes, for :meth:`Store.labels_of`.
    :param user_id: the id in the warehouse and in Amazon Personalize, as UTF-8; empty when it is the person's own.
    """

    positions: Sequence[int]
    labels: memoryview
    user_id: memoryview


class Store:
    """A publication, open for reading."""

    def __init__(self, folder: Path) -> None:
        """Open it.

        :raises FatalError: when the file is missing or damaged.
        """
        try:
            # Nobody writes to a finished file, so readers need no lock and one transaction serves for ever.
            self._environment = lmdb.open(str(folder), readonly=True, lock=False, max_dbs=len(_DATABASES))
            handles = {name: self._environment.open_db(name.encode(), create=False) for name in _DATABASES}
            self._read = self._environment.begin(buffers=True)
            self._people, self._items, self._positions, meta = (handles[name] for name in _DATABASES)
            self.meta: dict[str, Any] = json.loads(bytes(self._read.get(_META, db=meta) or b""))
        except (lmdb.Error, OSError, TypeError, ValueError) as error:
            raise FatalError(f"{folder} is no store of this service ({type(error).__name__}).") from None
        self._labels = {name: self.meta["labels"][name] for name in self.meta["label_names"]}
        self._rendered = _Items(self._read_item)
        self.fallback = tuple(self.meta["fallback"])
        # Experiments: the arms that get nothing, and those that get no live recommendations.
        self.held_out = frozenset(self.meta.get("held_out", ()))
        self.without_live = frozenset(self.meta.get("without_live", ()))

    def find(self, person: str) -> Entry | None:
        """Look one person up; None when the publication does not have the person."""
        record = self._read.get(key_of(person), db=self._people)
        if record is None:
            return None
        width = len(self._labels)
        (count,) = _COUNT.unpack_from(record, width)
        start = width + _COUNT.size
        end = start + 4 * count
        return Entry(record[start:end].cast("i"), record[:width], record[end:])

    def labels_of(self, entry: Entry) -> dict[str, str]:
        """Return a person's tier and arm, as far as the publication has them."""
        return {
            name: texts[code] for (name, texts), code in zip(self._labels.items(), entry.labels, strict=True)
        }

    def items(self, positions: Sequence[int]) -> bytes:
        """Render items as a JSON array."""
        return b"[%b]" % b",".join(map(self._rendered.__getitem__, positions))

    def _read_item(self, place: int) -> bytes:
        return bytes(self._read.get(_POSITION.pack(place), db=self._items) or b"")

    def positions(self, item_ids: Sequence[str]) -> list[int]:
        """Find items by id, without those that the catalog does not have."""
        found = (self._read.get(key_of(one), db=self._positions) for one in item_ids)
        return [_POSITION.unpack(place)[0] for place in found if place is not None]

    def close(self) -> None:
        """Close it; no method may be called afterwards."""
        self._read.abort()
        self._environment.close()


class _Items(dict[int, bytes]):
    """Items that were read before: few items are in most of the lists."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def __missing__(self, place: int) -> bytes:
        if len(self) >= _KEPT_ITEMS:
            self.clear()
        return self.setdefault(place, self._read(place))


def write_store(
    folder: Path,
    lists: Path,
    audience: Path | None,
    catalog: pa.Table,
    *,
    fields: Mapping[str, str] | None,
    default_fields: Sequence[str],
    suppression: Suppression,
    fallback_length: int,
    meta: Mapping[str, Any],
    work: Path,
) -> dict[str, Any]:
    """Write a publication, without suppressed people.

    :param folder: to create.
    :param lists: Parquet file of ``LISTS``.
    :param audience: Parquet file of ``AUDIENCE``; None: every person's ``user_id`` is the id in the lists.
    :param catalog: ``CATALOG``.
    :param fallback_length: items of the list for unknown people; 0 for none.
    :param meta: further members of the publication's description.
    :param work: empty folder for temporary files.
    :returns: the publication's description.
    :raises FatalError: when the catalog lacks a column that ``fields`` names.
    """
    rendered, names = _render_items(catalog, fields, default_fields)
    folder.mkdir(parents=True)
    with opened(work) as connection:
        connection.execute(f"CREATE VIEW lists AS FROM read_parquet({quoted_path(lists)})")
        columns = connection.table("lists").columns
        texts = {name: _texts(connection, name) for name in LABELS if name in columns}
        # Without an experiment nobody has an arm, and the answers need not say so.
        labels = {name: found for name, found in texts.items() if name != "arm" or any(found)}
        label_names = list(labels)
        fallback = _popular(connection, names, fallback_length) if fallback_length else []
        with lmdb.open(
            str(folder), map_size=_MAP_BYTES, max_dbs=len(_DATABASES), sync=False, metasync=False, lock=False
        ) as environment:
            people, items, positions, described = (environment.open_db(name.encode()) for name in _DATABASES)
            written = 0
            for batch in _people(connection, audience, label_names):
                # A transaction each: LMDB holds what is not committed in memory.
                with environment.begin(write=True) as txn:
                    records = _records(batch, labels, suppression)
                    read, added = txn.cursor(db=people).putmulti(records, append=True, overwrite=False)
                if read != added:
                    raise FatalError(
                        "The published lists name a person twice; run the stage recommend again."
                    )
                written += added
            with environment.begin(write=True) as txn:
                numbered = ((_POSITION.pack(place), item) for place, item in enumerate(rendered))
                txn.cursor(db=items).putmulti(numbered, append=True)
                ids = enumerate(catalog["item_id"].to_pylist())
                keys = sorted((key_of(item_id), _POSITION.pack(place)) for place, item_id in ids)
                txn.cursor(db=positions).putmulti(keys, append=True)
                description = {
                    **meta, "people": written, "items": len(rendered), "fallback": fallback,
                    "label_names": label_names, "labels": labels,
                }  # fmt: skip
                txn.put(_META, dumps(description), db=described)
            environment.sync(True)
    return description


def _texts(connection: duckdb.DuckDBPyConnection, column: str) -> list[str]:
    return [row[0] for row in connection.sql(f"SELECT DISTINCT coalesce({column}, '') FROM lists").fetchall()]


def _people(
    connection: duckdb.DuckDBPyConnection, audience: Path | None, label_names: Sequence[str]
) -> pa.RecordBatchReader:
    """Read all rows in the order of their keys, so that LMDB appends."""
    join, user = "", "external_id"
    if audience:
        join = f"LEFT JOIN read_parquet({quoted_path(audience)}) AS a USING (external_id)"
        user = "coalesce(a.user_id, external_id)"
    columns = ["unhex(sha256(external_id)[:32]) AS key", "external_id", f"{user} AS user_id", "items"]
    columns += [f"coalesce({name}, '') AS {name}" for name in label_names]
    query = f"SELECT {', '.join(columns)} FROM lists {join} ORDER BY key"
    return connection.sql(query).to_arrow_reader(_BATCH_ROWS)


def _records(
    batch: pa.RecordBatch, labels: Mapping[str, Sequence[str]], suppression: Suppression
) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each person who is not suppressed."""
    hidden = suppression.mask(PERSON, batch["external_id"]) | suppression.mask(USER, batch["user_id"])
    values = batch["items"].flatten().to_numpy().astype("i4").tobytes()
    offsets = batch["items"].offsets.to_numpy()
    offsets = ((offsets - offsets[0]) * 4).tolist()
    codes = [
        pc.index_in(batch[name], value_set=pa.array(texts, pa.string())).to_numpy().astype(np.uint8)
        for name, texts in labels.items()
    ]
    heads = np.column_stack(codes).tobytes() if codes else b""
    width = len(codes)
    people, users = batch["external_id"].to_pylist(), batch["user_id"].to_pylist()
    for row, key in enumerate(batch["key"].to_pylist()):
        if hidden[row]:
            continue
        start, end = offsets[row], offsets[row + 1]
        user = b"" if users[row] == people[row] else users[row].encode()
        head = heads[row * width : (row + 1) * width]
        yield key, head + _COUNT.pack((end - start) // 4) + values[start:end] + user


def _render_items(
    catalog: pa.Table, fields: Mapping[str, str] | None, default_fields: Sequence[str]
) -> tuple[list[bytes], list[Any]]:
    """Render each item as JSON, in the order of the configured fields.

    :returns: the items, and their names, for :func:`_popular`.
    """
    wanted = fields or {name: name for name in default_fields}
    rows = [json.loads(text) for text in catalog["fields"].to_pylist()]
    columns = set().union(*rows) | {"id"}
    if fields and (missing := sorted(set(fields.values()) - columns)):
        raise FatalError(
            f"The published catalog has no column {', '.join(missing)}; it has {', '.join(sorted(columns))}. Name the "
            "column in braze.catalog.fields or item_fields of the program file, or correct fields of the service."
        )
    rendered = []
    for item_id, row in zip(catalog["item_id"].to_pylist(), rows, strict=True):
        row["id"] = item_id
        members = (b"%b:%b" % (dumps(name), dumps(row.get(column))) for name, column in wanted.items())
        rendered.append(b"{%b}" % b",".join(members))
    return rendered, [row.get("name") for row in rows]


def _popular(connection: duckdb.DuckDBPyConnection, names: Sequence[Any], length: int) -> list[int]:
    """Return the list for unknown people: the items that most lists of popular items hold.

    Among equals, and where no list was filled up with popular items, all lists count. Only totals are used, so
    nobody's own list is shown to others. Of several items with one name the first is taken.
    """
    ranked = connection.sql(
        "SELECT item FROM (SELECT unnest(items) AS item, tier FROM lists) GROUP BY item "
        f"ORDER BY count(*) FILTER (tier = '{_POPULAR}') DESC, count(*) DESC, item LIMIT {length * _SAME_NAMES}"
    ).fetchall()
    chosen: dict[Any, int] = {}
    for (item,) in ranked:
        chosen.setdefault(item if names[item] is None else names[item], item)
    return list(chosen.values())[:length]
