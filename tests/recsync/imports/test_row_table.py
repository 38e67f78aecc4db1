"""Rows are compared as multisets, in flat memory."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsync.errors import RetriableError
from recsync.imports import row_table
from recsync.imports.row_table import RowFile, RowTable

HEADER = b"USER_ID,ITEM_ID"
ROWS = st.lists(st.sampled_from([b"", b"a,1", b"b,2", b'"a\\"b,\nc",1', b"\xff\xfe,3"]), max_size=8)


def new_rows(objects: Sequence[Sequence[bytes]], imported: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Give the new content of each object, in the simplest way there is."""
    seen = Counter(row for rows in imported for row in rows)
    contents = []
    for rows in objects:
        new = []
        for row in rows:
            if seen[row] > 0:
                seen[row] -= 1
            else:
                new.append(row)
        contents.append(content(new))
    return contents


def content(rows: Sequence[bytes]) -> bytes:
    return b"\n".join([HEADER, *rows]) + b"\n"


def blocks(rows: Sequence[bytes], size: int) -> Iterator[bytes]:
    text = content(rows)
    return (text[at : at + size] for at in range(0, len(text), size))


def compared(
    objects: Sequence[Sequence[bytes]], imported: Sequence[Sequence[bytes]], size: int
) -> Iterator[tuple[RowFile, bytes]]:
    """Write the new rows of each object."""
    with TemporaryDirectory() as folder:
        with RowTable.opened(Path(folder), sum(len(content(rows)) for rows in objects)) as table:
            for rows in objects:
                table.add(blocks(rows, size))
            table.keep_new(blocks(rows, size) for rows in imported)
            kept = [table.kept(number) for number in range(len(objects))]
        for number, rows in enumerate(objects):
            file = RowFile.write(Path(folder) / str(number), blocks(rows, size), kept[number])
            yield file, file.path.read_bytes()


def check(objects: Sequence[Sequence[bytes]], imported: Sequence[Sequence[bytes]], size: int) -> None:
    expected = new_rows(objects, imported)
    found = list(compared(objects, imported, size))
    assert [text for _, text in found] == expected
    for file, text in found:
        assert file.digest == hashlib.blake2b(text, digest_size=16).hexdigest()
        assert file.size_bytes == len(text)


@settings(max_examples=40, deadline=None)
@given(
    objects=st.lists(ROWS, min_size=1, max_size=3),
    imported=st.lists(ROWS, max_size=3),
    size=st.integers(1, 30),
)
def test_each_row_is_left_out_as_often_as_it_was_imported(
    objects: list[list[bytes]], imported: list[list[bytes]], size: int
) -> None:
    check(objects, imported, size)


@pytest.mark.parametrize("part_bytes", [20_000, 10**9])
def test_many_rows_in_several_parts(monkeypatch: pytest.MonkeyPatch, part_bytes: int) -> None:
    monkeypatch.setattr(row_table, "_PART_BYTES", part_bytes)
    random = np.random.default_rng(5)

    def rows(count: int, names: int) -> list[bytes]:
        return [b"u%d,i%d" % (n, n % 7) for n in random.integers(0, names, count).tolist()]

    objects = [rows(5_000, 3_000), rows(4_000, 6_000), []]
    check(objects, [rows(5_000, 4_000), rows(9_000, 100_000)], 4_096)


def test_an_error_of_the_source_is_raised_as_it_was(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield content([b"a,1"])
        raise RetriableError("the object was overwritten")

    with (
        pytest.raises(RetriableError, match="the object was overwritten"),
        RowTable.opened(tmp_path, 1) as table,
    ):
        table.add(broken())
    assert list(tmp_path.iterdir()) == []


_MANY = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from recsync.imports.row_table import RowFile, RowTable

def blocks(rows):
    yield b"USER_ID,ITEM_ID,TIMESTAMP\\n"
    for start in range(0, rows, 50_000):
        numbers = range(start, min(start + 50_000, rows))
        yield b"".join(b"user-%d,item-%d,%d\\n" % (n * 7919 % rows, n % 50_000, 1_700_000_000 + n) for n in numbers)

def with_late(rows):
    found = blocks(rows)
    yield next(found)
    for block in found:
        yield block + b"late,i,1\\n" * 10

rows = int(sys.argv[1])
with TemporaryDirectory() as folder:
    with RowTable.opened(Path(folder), 37 * rows) as table:
        table.add(with_late(rows))
        table.keep_new([blocks(rows)])
        kept = table.kept(0)
    late = RowFile.write(Path(folder) / "late.csv", with_late(rows), kept)
    assert late.rows == rows // 50_000 * 10
    assert late.path.read_text().splitlines()[1:] == ["late,i,1"] * late.rows
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(peak.split()[1])
"""


@pytest.mark.long(reason="compares 2 million rows")
def test_two_million_rows_take_hardly_more_memory_than_two_hundred_thousand() -> None:
    def peak_mb(rows: int) -> float:
        command, paths = [sys.executable, "-c", _MANY, str(rows)], {"PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **paths})
        return int(run.stdout) / 1024

    few, many = peak_mb(200_000), peak_mb(2_000_000)
    print(f"{few:.0f} MB, {many:.0f} MB")
    assert many - few <= 70  # measured: 48 to 62; a row would take 142 bytes in sets, 255 MB
