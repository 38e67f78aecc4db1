"""Sets and counts of hashes, in memory and on disk."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsync.export.checks.spool import Buckets, HashSpool, count_hashes
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
    # Files of sorted ids rely on it.
    ends = [(int(hashes.min()), int(hashes.max())) for hashes, _ in spool.groups()]
    assert all(before[1] < after[0] for before, after in pairwise(ends))
    assert (tmp_path / "hashes").exists() is (held == 100)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))))
def test_hashes_that_agree_in_half_of_their_bits_are_kept_apart(halves: list[tuple[int, int]]) -> None:
    values = [(high << 32) | low for high, low in halves]
    distinct, counts = count_hashes(np.array(values, dtype=np.uint64))
    assert dict(zip(distinct.tolist(), counts.tolist(), strict=True)) == Counter(values)
    assert len(distinct) == len(set(values))
