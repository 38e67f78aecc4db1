"""Sets and counts of hashes, in memory and on disk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsync.export.checks.spool import Buckets, HashSpool, IdSet, among, count_hashes
from recsync.storage.hashes import string_hashes


@pytest.mark.parametrize("held", [100, 10_000_000], ids=["on disk", "in memory"])
def test_equal_hashes_are_counted_in_memory_and_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr("recsync.export.checks.spool._BUFFERED", held)
    monkeypatch.setattr("recsync.export.checks.spool._COUNTED", 200)
    spool, wanted = HashSpool(tmp_path / "hashes"), Counter[int]()
    random = np.random.default_rng(7)
    for _ in range(40):
        hashes = string_hashes(pa.array([str(n) for n in random.integers(0, 900, 70)]))
        wanted.update(hashes.tolist())
        spool.add(hashes, Buckets.of(hashes))
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
    distinct, counts = count_hashes(np.array(values, dtype=np.uint64))
    assert dict(zip(distinct.tolist(), counts.tolist(), strict=True)) == Counter(values)
    assert len(distinct) == len(set(values))


@given(st.lists(st.lists(st.integers(0, 30))))
def test_an_id_set_finds_repeated_ids(blocks: list[list[int]]) -> None:
    seen, known = IdSet(), set[int]()
    for block in blocks:
        hashes = np.array(block, dtype=np.uint64)
        repeated = seen.repeated(hashes)
        for value, is_repeated in zip(block, repeated.tolist(), strict=True):
            assert is_repeated == (value in known)
            known.add(value)
        seen.add(hashes[~repeated])
    assert seen.ids.tolist() == sorted(known)
    assert among(seen.ids, np.arange(31, dtype=np.uint64)).tolist() == [n in known for n in range(31)]
