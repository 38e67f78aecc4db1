"""Hash all ids in an object that :mod:`recsync.forget.erasure_rules` compares with those of people.

An object without any hash of a person needs no rewriting for that person, so an index keeps the hashes of each object.
The functions here read the same places with the same functions as the rules; they may return more ids, never fewer.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsync.forget.erasure_rules import (
    BOUNDS,
    LISTS_OF_USERS,
    TEXT_MEMBERS,
    id_columns,
    line_blocks,
    payload_of,
    texts_of,
    users_of_csv,
    users_of_lines,
)
from recsync.forget.people import TEXTS, hashes_of, kind_of, words_of
from recsync.storage.hashes import Hashes, among, string_hashes

MOST_IDS = 1 << 20
"""An object with more ids gets no filter: most erasures would find one of their people in it."""


class IdHashes:
    """Collect the hashes of an object's ids, and whether one may belong to a person to erase.

    :param probes: sorted hashes of :attr:`People.probes`.
    """

    def __init__(self, probes: Hashes) -> None:
        self._probes = probes
        self._gathered: list[Hashes] = []
        self._size = 0
        self.is_hit = False
        self.is_complete = True

    def add(self, hashes: Hashes) -> None:
        """Add hashes, with repetitions or not."""
        if not self.is_complete and self.is_hit:
            return
        hashes = distinct(hashes)
        self.is_hit = self.is_hit or bool(among(hashes, self._probes).any())
        self._gathered.append(hashes)
        self._size += len(hashes)
        if self._size > 2 * MOST_IDS:
            self._merge()

    def add_texts(self, values: Iterable[str | bytes]) -> None:
        """Add ids."""
        if found := set(values):
            self.add(hashes_of(found))

    def hashes(self) -> Hashes | None:
        """Return the sorted hashes; None when there are too many to keep."""
        self._merge()
        return self._gathered[0] if self.is_complete else None

    def _merge(self) -> None:
        merged = distinct(np.concatenate([*self._gathered, np.empty(0, np.uint64)]))
        self.is_complete = self.is_complete and len(merged) <= MOST_IDS
        self._gathered = [merged if self.is_complete else merged[:0]]
        self._size = len(self._gathered[0])


def distinct(hashes: Hashes) -> Hashes:
    """Return hashes sorted and once each; numpy's own function takes ten times as long for distinct ones."""
    ordered = np.sort(hashes)
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def ids_of_parquet(source: Path, found: IdHashes) -> None:
    """Add the ids in the columns that hold ids."""
    with pq.ParquetFile(source) as file:
        columns = id_columns(file.schema_arrow)
        for group in range(file.num_row_groups if columns else 0):
            table = file.read_row_group(group, columns=columns)
            for column in columns:
                for chunk in texts_of(table.column(column)).chunks:
                    found.add(string_hashes(chunk))


def ids_of_csv(blocks: Iterable[bytes], found: IdHashes) -> None:
    """Add the users of CSV."""
    for _, users in users_of_csv(blocks):
        if users:
            found.add(string_hashes(pa.array(users, pa.binary())))


def ids_of_lines(blocks: Iterable[bytes], found: IdHashes) -> None:
    """Add the ids in JSON lines."""
    for block in line_blocks(blocks):
        if (users := users_of_lines(block)) is not None:
            found.add(string_hashes(users))
        else:
            found.add_texts(value for line in block.split(b"\n") if line for value in _of_line(line))


def ids_of_document(body: bytes, found: IdHashes) -> None:
    """Add the ids in a JSON document; one that is not JSON is a text."""
    found.add_texts(_of_line(body))


def ids_of_text(text: str, found: IdHashes) -> None:
    """Add the words of a text, and those of the text that HTML spells."""
    found.add_texts({*_of_text(text), *words_of(html.unescape(text))})


def _of_line(line: bytes) -> Iterator[str]:
    try:
        document = json.loads(line)
    except ValueError:
        yield from _of_text(line.decode(errors="replace"))
    else:
        yield from _of_value(document)


def _of_text(text: str) -> Iterator[str]:
    if text:
        yield TEXTS
        yield from words_of(text)


def _of_value(value: Any, member: str = "") -> Iterator[str]:
    if isinstance(value, str):
        if member in TEXT_MEMBERS:
            yield from _of_text(value)
    elif isinstance(value, list):
        if member in LISTS_OF_USERS:
            yield from (one for one in value if isinstance(one, str))
        for one in value:
            if isinstance(one, dict | list):
                yield from _of_value(one)
    elif isinstance(value, dict):
        is_column = kind_of(str(value.get("name"))) is not None
        for name, one in value.items():
            plain = name.replace("_", "").casefold()
            if isinstance(one, str | int):
                if kind_of(name):
                    yield str(one)
                if is_column and name in BOUNDS and isinstance(one, str):
                    yield from _of_text(one)
                if plain == "object" and (payload := payload_of(one)) is not None:
                    yield from _of_value(payload)
            yield from _of_value(one, plain)
