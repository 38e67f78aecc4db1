"""Hashes of columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from recsync.storage.hashes import (
    HashIndex,
    column_hashes,
    mixed,
    number_column,
    numbers_of,
    present_numbers,
    string_hashes,
    text_column,
)

_MASK = 2**64 - 1


def plain_hash(value: bytes) -> int:
    """Hash one value as the vectorised code says it does."""

    def mix(x: int) -> int:
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _MASK
        return x ^ (x >> 31)

    step = 0x9E3779B97F4A7C15
    words = [int.from_bytes(value[n : n + 8], "little") for n in range(0, max(len(value), 1), 8)]
    result = mix(words[0] ^ (len(value) * step & _MASK))
    for word in words[1:]:
        result = mix((result + step & _MASK) ^ word)
    return result


@given(st.lists(st.binary(max_size=40)), st.integers(0, 3))
def test_hashes_are_those_of_each_value_alone(values: list[bytes], skipped: int) -> None:
    array = pa.array(values, pa.binary()).slice(skipped)
    assert string_hashes(array).tolist() == [plain_hash(value) for value in values[skipped:]]


@given(
    st.integers(0, 40).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size))),
    st.integers(0, 3),
)
def test_values_of_one_length_have_the_same_hashes(values: list[bytes], skipped: int) -> None:
    array = pa.array(values, pa.binary()).slice(skipped)
    assert string_hashes(array).tolist() == [plain_hash(value) for value in values[skipped:]]


def test_hashes_are_kept_in_files_and_must_never_change() -> None:
    hashes = string_hashes(pa.array(["", "a", "12345678", "123456789", "zoë", None]))
    assert [f"{one:016x}" for one in hashes.tolist()] == [
        "0000000000000000",
        "fb761138e1e0a78c",
        "9aa684486a014a85",
        "bb12df3fb9dae8b0",
        "f1af9366ab7ba576",
        "d1b54a32d192ed03",
    ]


def test_a_dictionary_hashes_as_its_values_do() -> None:
    values = pa.array(["red", None, "blue", "red", ""])
    assert np.array_equal(column_hashes(values.dictionary_encode()), column_hashes(values))


def test_similar_ids_have_different_hashes() -> None:
    ids = [f"{prefix}{n}" for prefix in ("", "u", "user-000000") for n in range(50_000)]
    assert len(set(string_hashes(pa.array(ids)).tolist())) == len(ids)


@given(st.sets(st.integers(0, 2**64 - 1)), st.lists(st.integers(0, 2**64 - 1)))
def test_an_index_finds_hashes_by_all_of_their_bits(known: set[int], others: list[int]) -> None:
    rows = [*known, *(one ^ 1 for one in known), *others]
    places = {one: place for place, one in enumerate(known)}
    index = HashIndex(np.array([*known], np.uint64))
    assert index.find(np.array(rows, np.uint64)).tolist() == [places.get(one, -1) for one in rows]


def test_an_index_of_many_hashes_finds_those_that_share_their_first_bits() -> None:
    hashes = mixed(np.arange(50_000, dtype=np.uint64))
    index = HashIndex(hashes[:25_000])
    assert index.find(hashes).tolist() == [*range(25_000), *[-1] * 25_000]


@given(
    st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)),
    st.sampled_from([pa.int32(), pa.int64(), pa.float64()]),
    st.integers(0, 9),
)
def test_numbers_are_read_as_arrow_reads_them(
    values: list[int | None], kind: pa.DataType, skipped: int
) -> None:
    column = pa.array(values, kind).slice(skipped)
    assert numbers_of(column).tolist() == column.fill_null(0).to_pylist()
    assert present_numbers(column).tolist() == column.drop_null().to_pylist()


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.booleans()), st.lists(st.text()))
def test_columns_of_numbers_flags_and_texts_are_those_of_arrow(
    numbers: list[int], flags: list[bool], texts: list[str]
) -> None:
    assert number_column(np.array(numbers, np.int64)).equals(pa.array(numbers, pa.int64()))
    assert number_column(np.array(numbers, np.int64)[::2]).equals(pa.array(numbers[::2], pa.int64()))
    assert number_column(np.array(flags, np.bool_)).equals(pa.array(flags, pa.bool_()))
    assert text_column(texts).equals(pa.array(texts, pa.string()))
