"""Render attribute objects for ``/users/track``, whole columns at once.

https://www.braze.com/docs/api/objects_filters/user_attributes_object/
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from braze_client.payloads import MAX_STRING_CHARACTERS, Json, dumps
from recsync.errors import FatalError
from recsync.program import Braze
from recsync.push.fingerprints import Fingerprints, element_fingerprints

# What JSON cannot hold as it is inside a string: quote, backslash and control characters.
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'


@dataclass(frozen=True)
class Elements:
    """The list element of every catalogue item, rendered once.

    :param item_ids: string array, shape (items); an item is its position here.
    :param rendered: binary array, shape (items): canonical JSON.
    :param fingerprints: shape (items).
    :param keys: how many keys each element has, shape (items); each is a data point in ``objects`` mode.
    """

    item_ids: pa.Array
    rendered: pa.Array
    fingerprints: Fingerprints
    keys: NDArray[np.int64]

    @classmethod
    def of(cls, braze: Braze, catalogue: pa.Table) -> Elements:
        """Render the catalogue: columns ``item_id`` and ``fields`` (a JSON object as text)."""
        catalogue = catalogue.combine_chunks()
        item_ids = catalogue["item_id"].to_pylist()
        # With ids the fields are the catalogue's; parsing them would only cost.
        fields = catalogue["fields"].to_pylist() if braze.payload == "objects" else ["{}"] * len(item_ids)
        values = [list_element(braze, i, json.loads(f)) for i, f in zip(item_ids, fields, strict=True)]
        rendered = [dumps(value) for value in values]
        keys = [len(value) if isinstance(value, dict) else 0 for value in values]
        return cls(
            pa.array(item_ids, pa.string()),
            pa.array(rendered, pa.binary()),
            element_fingerprints(rendered),
            np.array(keys, dtype=np.int64),
        )

    def positions(self, item_ids: pa.Array) -> NDArray[np.int64]:
        """Find the items of a (dictionary-encoded) column of ids.

        :raises FatalError: when one is not in the catalogue.
        """
        codes = item_ids if pa.types.is_dictionary(item_ids.type) else item_ids.dictionary_encode()
        found = pc.index_in(codes.dictionary.cast(pa.string()), self.item_ids)
        if found.null_count and len(codes):
            raise FatalError(
                f"{found.null_count} recommended item(s) are not in the run's catalogue; run recommend again."
            )
        table = found.to_numpy(zero_copy_only=False).astype(np.int64)
        indices: NDArray[np.int64] = codes.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        return table[indices] if len(table) else indices


@dataclass(frozen=True)
class Lists:
    """Some people's lists, one after another.

    :param offsets: shape (people + 1).
    :param positions: of the items in the catalogue, shape (offsets[-1] - offsets[0]).
    """

    offsets: NDArray[np.int64]
    positions: NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.ListArray, elements: Elements) -> Lists:
        """Read a column of lists of item ids."""
        offsets = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        positions = elements.positions(column.values.slice(offsets[0], offsets[-1] - offsets[0]))
        return cls(offsets - offsets[0], positions)

    def take(self, rows: NDArray[np.int64]) -> Lists:
        """Keep some rows, in the order given."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return Lists(offsets, self.positions[np.repeat(self.offsets[rows], lengths) + within])

    def sums(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add up a value of the items over each list, shape (people)."""
        total = np.concatenate(([0], np.cumsum(values[self.positions])))
        return np.asarray(total[self.offsets[1:]] - total[self.offsets[:-1]])


def render_lists(lists: Lists, elements: Elements) -> pa.Array:
    """Render the lists as JSON arrays; binary array, shape (people)."""
    taken = elements.rendered.take(pa.array(lists.positions))
    column = pa.ListArray.from_arrays(pa.array(lists.offsets, pa.int32()), taken)
    return pc.binary_join_element_wise(b"[", pc.binary_join(column, b","), b"]", b"")


def render_texts(column: pa.Array) -> pa.Array:
    """Render strings as JSON strings; binary array of the same shape."""
    column = column.cast(pa.string())
    # Nearly every id needs no escape, and those that do are not worth a slow path for all.
    if not pc.any(pc.match_substring_regex(column, _NEEDS_ESCAPE), min_count=0).as_py():
        return pc.binary_join_element_wise(b'"', column.cast(pa.binary()), b'"', b"")
    return pa.array([dumps(text) for text in column.to_pylist()], pa.binary())


def member(name: str) -> bytes:
    """Render the name of one more member of an object, up to its value."""
    return b"," + json.dumps(name, ensure_ascii=False).encode() + b":"


def optional(column: pa.Array, prefix: bytes, wanted: NDArray[np.bool_]) -> pa.Array:
    """Give ``prefix`` and the value where wanted, nothing elsewhere; binary array of the same shape."""
    whole = pc.binary_join_element_wise(prefix, column, b"")
    return pc.if_else(pa.array(wanted), whole, pa.scalar(b"", pa.binary()))


def render_nulls(gone: Sequence[Sequence[str]]) -> pa.Array:
    """Render the removal of attributes: one list of names per person."""
    return pa.array([b"".join(member(name) + b"null" for name in names) for names in gone], pa.binary())


def render_objects(external_ids: pa.Array, members: Sequence[pa.Array], *, existing_only: bool) -> pa.Array:
    """Put attribute objects together; binary array, shape (people).

    :param members: rendered members of each person, each beginning with a comma or empty.
    """
    ending = b',"_update_existing_only":true}' if existing_only else b"}"
    parts: list[Any] = [b'{"external_id":', render_texts(external_ids), *members, ending]
    return pc.binary_join_element_wise(*parts, b"")


def list_element(braze: Braze, item_id: str, item: Json) -> str | Json:
    """Build one element of the list attribute: the item's id, or an object with the program's item fields."""
    if braze.payload == "ids":
        return item_id
    # A null inside a nested value makes Braze drop the whole update, so absent is written as absent.
    values = {field: item[field] for field in braze.item_fields if item.get(field) is not None}
    return {"id": item_id, **{key: _cut(value) for key, value in values.items()}}


def _cut(value: Any) -> Any:
    return value[:MAX_STRING_CHARACTERS] if isinstance(value, str) else value
