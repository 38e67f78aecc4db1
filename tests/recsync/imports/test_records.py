"""Cutting exported CSV into records, and keeping the newest row of an id."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from imports_reference import hour, manifest

from recsync.imports.new_rows import whole
from recsync.imports.newest import newest_rows
from recsync.program import DatasetType
from recsync.storage.csv_text.exported import records

ITEMS = DatasetType.ITEMS
CELLS = st.text(st.sampled_from('ab,"\\\n|ü '), max_size=6)


def blocks(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def line(cells: list[str]) -> str:
    """Write a row as Amazon Personalize reads it."""
    quoted = (
        '"' + cell.replace("\\", "\\\\").replace('"', '\\"') + '"' if set(cell) & set(',"\\\n') else cell
        for cell in cells
    )
    return ",".join(quoted)


@given(
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=3), min_size=1, max_size=8), size=st.integers(1, 30)
)
def test_records_are_whole_however_the_bytes_are_cut(rows: list[list[str]], size: int) -> None:
    lines = [line(cells).encode() for cells in rows]
    content = b"\n".join(lines) + b"\n"
    assert [record for block in records(blocks(content, size)) for record in block] == lines


def test_a_last_record_without_line_end_is_a_record() -> None:
    assert list(records([b"a,b\n1,2"])) == [[b"a,b"], [b"1,2"]]
    assert list(records([])) == []


@given(st.lists(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4), min_size=1, max_size=4))
def test_the_newest_row_of_an_id_is_left(objects: list[list[tuple[str, str]]]) -> None:
    bucket = {
        str(number): ("TITLE,ITEM_ID\n" + "".join(f"{line([t, i])}\n" for i, t in rows)).encode()
        for number, rows in enumerate(objects)
    }
    pieces = [whole(manifest(hour(int(key)), key, text, ITEMS), ITEMS) for key, text in bucket.items()]
    left: list[tuple[str, str]] = []
    for piece, content in newest_rows(pieces, ITEMS, lambda key: [bucket[key]]):
        text = bucket[piece.source.key] if content is None else content
        reader = csv.reader(io.StringIO(text.decode(), newline=""), escapechar="\\", doublequote=False)
        left += [(identity, title) for title, identity in list(reader)[1:]]
    last = {identity: number for number, rows in enumerate(objects) for identity, _ in rows}
    assert left == [row for number, rows in enumerate(objects) for row in rows if last[row[0]] == number]
