"""Hashes of columns, and counting of equal ones beyond what memory holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsync.export.checks.id_set import SeenIds, among
from recsync.export.checks.spool import HashSpool, Partition, counted
from recsync.storage.hashes import column_hashes, string_hashes

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


@pytest.mark.parametrize("held", [100, 10_000_000], ids=["on disk", "in memory"])
def test_equal_hashes_are_counted_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr("recsync.export.checks.spool._HELD", held)
    monkeypatch.setattr("recsync.export.checks.spool._COUNTED", 200)
    spool, wanted = HashSpool(tmp_path / "hashes"), Counter[int]()
    random = np.random.default_rng(7)
    for _ in range(40):
        hashes = string_hashes(pa.array([str(n) for n in random.integers(0, 900, 70)]))
        wanted.update(hashes.tolist())
        spool.add(hashes, Partition.of(hashes))
    found = [
        pair
        for hashes, counts in spool.groups()
        for pair in zip(hashes.tolist(), counts.tolist(), strict=True)
    ]
    assert len(found) == len(wanted)
    assert dict(found) == wanted
    assert (tmp_path / "hashes").exists() is (held == 100)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))))
def test_hashes_that_agree_in_half_of_their_bits_are_kept_apart(halves: list[tuple[int, int]]) -> None:
    values = [(high << 32) | low for high, low in halves]
    distinct, counts = counted(np.array(values, dtype=np.uint64))
    assert dict(zip(distinct.tolist(), counts.tolist(), strict=True)) == Counter(values)
    assert len(distinct) == len(set(values))


@given(st.lists(st.lists(st.integers(0, 30))))
def test_ids_seen_before_are_known(blocks: list[list[int]]) -> None:
    seen, known = SeenIds(), set[int]()
    for block in blocks:
        hashes = np.array(block, dtype=np.uint64)
        repeated = seen.repeated(hashes)
        for value, is_repeated in zip(block, repeated.tolist(), strict=True):
            assert is_repeated == (value in known)
            known.add(value)
        seen.add(hashes[~repeated])
    assert seen.ids.tolist() == sorted(known)
    assert among(seen.ids, np.arange(31, dtype=np.uint64)).tolist() == [n in known for n in range(31)]
