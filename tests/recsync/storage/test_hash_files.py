"""Sets of hashes on the local disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsync.storage.hash_files import HashFile, IdSet, union
from recsync.storage.hashes import Hashes, mixed


def some(*numbers: int) -> Hashes:
    return np.unique(mixed(np.array(numbers, dtype=np.uint64)))


class Small(IdSet):
    """Every second block goes to disk, and the filter lets many new ids pass."""

    in_memory = 20
    filter_words = 16
    most_files = 2


@given(st.lists(st.lists(st.integers(0, 200))), st.sampled_from([IdSet, Small]))
def test_an_id_set_finds_repeated_ids_in_memory_and_on_disk(
    blocks: list[list[int]], kind: type[IdSet]
) -> None:
    with TemporaryDirectory() as name:
        seen, known = kind(Path(name)), set[int]()
        for block in blocks:
            hashes = mixed(np.array(block, dtype=np.uint64))
            repeated = seen.repeated(hashes)
            for value, is_repeated in zip(block, repeated.tolist(), strict=True):
                assert is_repeated == (value in known)
                known.add(value)
            seen.add(hashes[~repeated])
        assert seen.count == len(known)
        written = seen.write(Path(name) / "all")
        assert np.array_equal(np.fromfile(written.path, "<u8"), some(*known))
        assert written.among(mixed(np.arange(201, dtype=np.uint64))).tolist() == [
            n in known for n in range(201)
        ]


@pytest.mark.parametrize("asked", [3, 40_000], ids=["few", "many"])
def test_hashes_are_found_in_pieces_of_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    monkeypatch.setattr("recsync.storage.hash_files._PIECE", 700)
    monkeypatch.setattr("recsync.storage.hash_files._LARGE", 1_000)
    file = HashFile.write(tmp_path / "ids", np.array_split(some(*range(0, 20_000, 2)), 7))
    assert file.count == 10_000
    numbers = np.random.default_rng(3).integers(0, 20_000, asked)
    assert file.among(mixed(numbers.astype(np.uint64))).tolist() == (numbers % 2 == 0).tolist()


@pytest.mark.parametrize("at_once", [2, 64])
def test_a_union_has_each_hash_once_and_replaces_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("recsync.storage.hash_files._OPEN_FILES", at_once)
    parts = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for part, numbers in zip(parts, ((1, 2, 3), (), (3, 4)), strict=True):
        HashFile.write(part, [some(*numbers)]).close()
    merged = union(tmp_path / "all", parts)
    assert np.array_equal(np.fromfile(merged.path, "<u8"), some(1, 2, 3, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["all"]
    assert union(tmp_path / "one", [tmp_path / "all"]).count == 4


_MANY = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
import numpy as np
from recsync.storage.hash_files import IdSet
from recsync.storage.hashes import mixed

with TemporaryDirectory() as name:
    ids = IdSet(Path(name))
    for start in range(0, int(sys.argv[1]), 50_000):
        block = mixed(np.arange(start, start + 50_000, dtype=np.uint64))
        assert not ids.repeated(block).any()
        ids.add(block)
    assert ids.write(Path(name) / "all").count == int(sys.argv[1])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(peak.split()[1])
"""


@pytest.mark.long(reason="twenty million ids take half a minute")
def test_twenty_million_ids_take_hardly_more_memory_than_one_million() -> None:
    def peak_mb(ids: int) -> float:
        command, paths = [sys.executable, "-c", _MANY, str(ids)], {"PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **paths})
        return int(run.stdout) / 1024

    assert peak_mb(20_000_000) - peak_mb(1_000_000) < 50
