"""Render attribute objects, and compute their fingerprints, whole columns at once.

A list's fingerprint is the sum of its elements' digests, each mixed with its position. Only two values of one person
are compared, so the chance of a false "unchanged" is 2^-64 per person and delivery.

https://www.braze.com/docs/api/objects_filters/user_attributes_object/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from braze_client.identifiers import EXTERNAL_ID, IDENTIFIER_MEMBERS, Identifier, named_in
from braze_client.payloads import MAX_STRING_CHARACTERS, Json, dumps
from recsync.program import Braze
from recsync.program.braze import Attribute, Source
from recsync.storage.hashes import STEP, mixed

# Keys of an attribute object that are no attributes.
NO_ATTRIBUTES = IDENTIFIER_MEMBERS | {"_update_existing_only"}
# What JSON must escape inside a string: quote, backslash and control characters.
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'
# Numbers are sent with 7 decimals; two more keep equal ones apart, see Numbers.
_STEPS_PER_UNIT = 10**9
_STEPS_PER_DECIMAL = 100
_MAX_NUMBER = 10**6
Fingerprints = NDArray[np.uint64]
"""One unsigned 64-bit number per value."""


def element_fingerprints(elements: Iterable[bytes]) -> Fingerprints:
    """Digest rendered list elements, such as an item id or an item object."""
    digests = b"".join(hashlib.blake2b(element, digest_size=8).digest() for element in elements)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def list_fingerprints(elements: Fingerprints, offsets: NDArray[np.int64]) -> Fingerprints:
    """Fingerprint consecutive lists.

    :param elements: digests of all elements of all lists.
    :param offsets: where each list begins, and at the end where the last one ends; shape (lists + 1).
    :returns: shape (lists); the order of the elements counts.
    """
    lengths = np.diff(offsets)
    total = int(offsets[-1] - offsets[0])
    positions = np.arange(1, total + 1) - np.repeat(offsets[:-1] - offsets[0], lengths)
    spread = mixed(elements + positions.astype(np.uint64) * STEP)
    sums = np.zeros(total + 1, dtype=np.uint64)
    np.cumsum(spread, out=sums[1:])
    ends = offsets - offsets[0]
    return mixed(sums[ends[1:]] - sums[ends[:-1]] + lengths.astype(np.uint64))


def number_fingerprints(numbers: NDArray[np.float64]) -> Fingerprints:
    """Digest numbers by their value: Braze is free to write them in another way."""
    return mixed(numbers.view(np.uint64))


def value_fingerprint(value: Sequence[object]) -> int:
    """Fingerprint one list; equal to the planned fingerprint of an equal list."""
    digests = np.array([_element_fingerprint(element) for element in value], dtype=np.uint64)
    return int(list_fingerprints(digests, np.array([0, len(value)], dtype=np.int64))[0])


def _element_fingerprint(element: object) -> int:
    if type(element) in {int, float}:
        return int(number_fingerprints(np.array([element], dtype=np.float64))[0])
    return int(element_fingerprints([dumps(element)])[0])


def text_fingerprint(text: str) -> int:
    return int(element_fingerprints([dumps(text)])[0])


def attribute_fingerprint(value: Sequence[object] | str | None) -> int | None:
    """Fingerprint what an attribute object sets; None when it removes the attribute."""
    if value is None:
        return None
    return text_fingerprint(value) if isinstance(value, str) else value_fingerprint(value)


def object_fingerprints(rendered: bytes) -> tuple[str, dict[str, int | None]]:
    """Read an attribute object: the person, and what Braze must show for them."""
    payload = json.loads(rendered)
    attributes = {name: value for name, value in payload.items() if name not in NO_ATTRIBUTES}
    return named_in(payload)[1], {name: attribute_fingerprint(v) for name, v in attributes.items()}


@dataclass(frozen=True)
class Elements:
    """The list element of every catalogue item, by position, rendered once.

    :param rendered: binary array, shape (items): canonical JSON.
    :param fingerprints: shape (items).
    :param keys: data points of each element in ``objects`` mode, one per key; 0 in ``ids`` mode.
    """

    rendered: pa.Array
    fingerprints: Fingerprints
    keys: NDArray[np.int64]

    @classmethod
    def of(cls, braze: Braze, catalogue: pa.Table) -> Elements:
        """Render the catalogue: columns ``item_id`` and ``fields`` (a JSON object as text)."""
        item_ids, fields = (catalogue[name].combine_chunks() for name in ("item_id", "fields"))
        keys = np.zeros(len(catalogue), dtype=np.int64)
        if braze.payload == "ids":
            rendered = render_texts(item_ids)
        else:
            rows = zip(item_ids.to_pylist(), fields.to_pylist(), strict=True)
            objects = [item_object(item_id, json.loads(item), braze.item_fields) for item_id, item in rows]
            rendered = pa.array([dumps(value) for value in objects], pa.binary())
            keys[:] = [len(value) for value in objects]
        return cls(rendered, element_fingerprints(rendered.to_pylist()), keys)


class Values(Protocol):
    """One attribute of some people, in any of the kinds of :class:`recsync.program.braze.Source`."""

    def fingerprints(self) -> tuple[Fingerprints, NDArray[np.bool_]]:
        """Return a fingerprint per person, and which of them have no value."""

    def rendered(self) -> pa.Array:
        """Render the values as JSON; binary array, shape (people)."""

    def data_points(self) -> NDArray[np.int64]:
        """Return what Braze bills for each value."""


@dataclass(frozen=True)
class Lists:
    """The people's lists, one after another.

    :param offsets: shape (people + 1).
    :param positions: of the items in the catalogue, shape (offsets[-1] - offsets[0]).
    """

    elements: Elements
    offsets: NDArray[np.int64]
    positions: NDArray[np.int32]

    @classmethod
    def of(cls, column: pa.ListArray, elements: Elements) -> Lists:
        offsets = column.offsets.to_numpy().astype(np.int64)
        return cls(elements, offsets - offsets[0], column.flatten().to_numpy())

    def fingerprints(self) -> tuple[Fingerprints, NDArray[np.bool_]]:
        digests = list_fingerprints(self.elements.fingerprints[self.positions], self.offsets)
        return digests, np.diff(self.offsets) == 0

    def rendered(self) -> pa.Array:
        return _render_lists(self.offsets, self.elements.rendered.take(pa.array(self.positions)))

    def data_points(self) -> NDArray[np.int64]:
        if not self.elements.keys.any():  # an array of ids is one data point
            return np.ones(len(self.offsets) - 1, dtype=np.int64)
        total = np.concatenate(([0], np.cumsum(self.elements.keys[self.positions])))
        return np.asarray(total[self.offsets[1:]] - total[self.offsets[:-1]])


@dataclass(frozen=True)
class Numbers:
    """Lists of numbers, in the order of the people's items, as long as they are.

    Braze removes repeated elements of an array, which would shift all that follow. So of equal numbers the earlier
    ones are raised by some 10^-9, and an item without a number gets its negative position, from -1.

    :param numbers: shape (offsets[-1]).
    :param missing: whether a person has no number at all; shape (people).
    """

    offsets: NDArray[np.int64]
    numbers: NDArray[np.float64]
    missing: NDArray[np.bool_]

    @classmethod
    def of(cls, column: pa.ListArray) -> Numbers:
        """Read a column of lists of numbers; lists and numbers may be null."""
        lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        given = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        known = np.isfinite(given)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        places = np.arange(1, len(rows) + 1) - offsets[rows]
        rounded = np.rint(
            np.clip(np.where(known, given, 0.0), 0, _MAX_NUMBER) * (_STEPS_PER_UNIT // _STEPS_PER_DECIMAL)
        )
        steps = np.where(known, rounded * _STEPS_PER_DECIMAL, -places * float(_STEPS_PER_UNIT)).astype(
            np.int64
        )
        order = np.lexsort((-places, steps, rows))
        is_first = np.ones(len(order), dtype=np.bool_)
        is_first[1:] = (np.diff(steps[order]) != 0) | (np.diff(rows[order]) != 0)
        counted = np.arange(len(order))
        steps[order] += counted - np.maximum.accumulate(np.where(is_first, counted, 0))
        missing = np.bincount(rows[known], minlength=len(lengths)) == 0
        return cls(offsets, steps / _STEPS_PER_UNIT, missing)

    def fingerprints(self) -> tuple[Fingerprints, NDArray[np.bool_]]:
        return list_fingerprints(number_fingerprints(self.numbers), self.offsets), self.missing

    def rendered(self) -> pa.Array:
        return _render_lists(self.offsets, pa.array(self.numbers).cast(pa.string()).cast(pa.binary()))

    def data_points(self) -> NDArray[np.int64]:
        return np.ones(len(self.missing), dtype=np.int64)


@dataclass(frozen=True)
class Texts:
    """A text for each person.

    :param codes: dictionary-encoded; null: no value.
    """

    codes: pa.DictionaryArray

    @classmethod
    def of(cls, column: pa.Array, source: Source) -> Texts:
        codes = column.dictionary_encode()
        texts = [source.convert(text) for text in codes.dictionary.to_pylist()]
        return cls(pa.DictionaryArray.from_arrays(codes.indices, pa.array(texts, pa.string())))

    def fingerprints(self) -> tuple[Fingerprints, NDArray[np.bool_]]:
        known = np.array(
            [text_fingerprint(text) for text in self.codes.dictionary.to_pylist()], dtype=np.uint64
        )
        missing = self.codes.is_null().to_numpy(zero_copy_only=False)
        if not len(known):
            return np.zeros(len(missing), dtype=np.uint64), missing
        return known[self.codes.indices.fill_null(0).to_numpy(zero_copy_only=False)], missing

    def rendered(self) -> pa.Array:
        return render_texts(self.codes)

    def data_points(self) -> NDArray[np.int64]:
        return np.ones(len(self.codes), dtype=np.int64)


Run = Mapping[str, "str | Mapping[str, str]"]
"""The fields of a recommendations manifest: texts, and texts by arm."""


def read_values(attribute: Attribute, batch: pa.RecordBatch, lists: Lists, run: Run) -> Values:
    """Read an attribute of the people of a batch.

    :param batch: rows of the published ``lists.parquet``.
    :param lists: their lists.
    :param run: the recommendations' manifest; a field that is empty has no value.
    """
    source = attribute.source
    if source.kind == "items":
        return lists
    if source.kind == "numbers":
        return Numbers.of(batch.column(source.column))
    if source.column in batch.schema.names:
        column = batch.column(source.column).fill_null("")
        if source.has_blanks:
            column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
        return Texts.of(column, source)
    if source.by_arm and run.get(source.by_arm):
        return Texts.of(_by_arm(batch.column("arm"), run, source), source)
    value = pa.scalar(run.get(source.column) or None, pa.string())
    return Texts.of(pa.repeat(value, len(batch)), source)


def _by_arm(arms: pa.Array, run: Run, source: Source) -> pa.Array:
    """Look up the value of each person's arm; people outside the experiment have the field of the whole run."""
    found = run[source.by_arm]
    assert isinstance(found, Mapping)
    values = {"": run.get(source.column) or None, **found}
    rows = pc.index_in(arms.fill_null(""), value_set=pa.array(list(values), pa.string()))
    return pa.array(list(values.values()), pa.string()).take(rows)


def _render_lists(offsets: NDArray[np.int64], elements: pa.Array) -> pa.Array:
    """Render lists as JSON arrays of rendered elements; binary array, shape (lists)."""
    column = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), elements)
    return pc.binary_join_element_wise(b"[", pc.binary_join(column, b","), b"]", b"")


def render_texts(column: pa.Array) -> pa.Array:
    """Render strings as JSON strings; binary array of the same shape."""
    column = column.cast(pa.string())
    # Nearly every id needs no escape, and those that do are not worth a slow path for all.
    if not pc.any(pc.match_substring_regex(column, _NEEDS_ESCAPE), min_count=0).as_py():
        return pc.binary_join_element_wise(b'"', column.cast(pa.binary()), b'"', b"")
    return pa.array([None if text is None else dumps(text) for text in column.to_pylist()], pa.binary())


def member(name: str) -> bytes:
    """Render the name of one more member of an object, up to its value."""
    return b"," + json.dumps(name, ensure_ascii=False).encode() + b":"


def optional(column: pa.Array, prefix: bytes, wanted: NDArray[np.bool_]) -> pa.Array:
    """Return ``prefix`` and the value where wanted, nothing elsewhere; binary array of the same shape."""
    whole = pc.binary_join_element_wise(prefix, column, b"")
    return pc.if_else(pa.array(wanted), whole, pa.scalar(b"", pa.binary()))


def render_nulls(gone: Sequence[Sequence[str]]) -> pa.Array:
    """Render the removal of attributes: one list of names per person."""
    return pa.array([b"".join(member(name) + b"null" for name in names) for names in gone], pa.binary())


def render_objects(
    people: pa.Array,
    members: Sequence[pa.Array],
    *,
    existing_only: bool,
    identifier: Identifier = EXTERNAL_ID,
) -> pa.Array:
    """Assemble attribute objects; binary array, shape (people).

    :param people: the identifier of each person.
    :param members: rendered members of each person, each beginning with a comma or empty.
    """
    ending = b"}"
    # Braze's default for an alias is to update existing profiles only.
    if existing_only or identifier.name == "user_alias":
        ending = b',"_update_existing_only":%s}' % dumps(existing_only)
    name = b'{"%s":' % identifier.name.encode()
    named: list[Any] = [name, render_texts(people)]
    if identifier.name == "user_alias":
        named = [
            name + b'{"alias_label":' + dumps(identifier.alias_label) + b',"alias_name":',
            render_texts(people),
            b"}",
        ]
    return pc.binary_join_element_wise(*named, *members, ending, b"")


def item_object(item_id: str, item: Json, fields: Sequence[str]) -> Json:
    """Build an element of a list of objects."""
    # A null inside a nested value makes Braze drop the whole update, so absent is written as absent.
    values = {field: item[field] for field in fields if item.get(field) is not None}
    cut = {k: v[:MAX_STRING_CHARACTERS] if isinstance(v, str) else v for k, v in values.items()}
    return {"id": item_id, **cut}
