"""Each row reaches an import exactly once between two FULL imports, whatever comes when and in which order."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imports_reference import EVENTS, World, hour, manifest

from recsync.errors import FatalError
from recsync.imports.new_rows import (
    Choice,
    Piece,
    check_chain,
    importable,
    newest_rows,
    unchanged,
    up_to_limit,
    whole,
)
from recsync.program import DatasetType
from recsync.storage.csv_text import records

ITEMS = DatasetType.ITEMS
CELLS = st.text(st.sampled_from('ab,"\\\n|ü '), max_size=6)
HOURS = st.integers(0, 3)  # few, so that what happens happens to the same ones
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("event"), HOURS),
        st.tuples(st.just("event"), HOURS),
        st.tuples(st.just("export"), HOURS),
        st.tuples(st.just("export"), HOURS),
        st.tuples(st.just("full"), HOURS),
        st.tuples(st.just("increment"), st.sampled_from([50, 120, 10**9])),
    ),
    min_size=10,  # shorter ones seldom get as far as an import
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS, overlap=st.integers(0, 3), folder_imports=st.booleans(), names=st.integers(1, 4))
def test_any_sequence_imports_each_row_exactly_once(
    steps: list[tuple[str, int]], overlap: int, folder_imports: bool, names: int
) -> None:
    world = World(overlap, folder_imports)
    for number, (what, value) in enumerate(steps):
        if what == "event":
            world.event(value, f"u{number % names}")  # few names: the warehouse holds equal rows
        elif what == "export":
            world.export(value)
        elif what == "full":
            world.full(value)
        elif world.held.full:
            world.increment(value)
            warehouse = Counter(row for rows in world.rows.values() for row in rows)
            assert world.dataset <= warehouse, "no row is there more often than in the warehouse"
    if not world.held.full:
        return
    while world.increment().taken:
        pass
    until = (next(iter(world.held.full.values())).until - hour(0).start).total_seconds() / 3600
    for number, exported_hour in world.published.items():
        exported = Counter(world.rows_of(next(iter(exported_hour.objects.values())).key))
        known_to_full = number in range(round(until)) and (not folder_imports or _was_imported(world, number))
        if number >= until or (number >= until - overlap and known_to_full):
            assert exported <= world.dataset, f"all of hour {number} that was exported is imported"


def _was_imported(world: World, number: int) -> bool:
    return hour(number).key in world.held.objects


def test_a_late_row_is_imported_once_and_a_rerun_imports_nothing() -> None:
    world = World()
    world.full(0)
    world.event(0, "anna")
    world.export(0)
    assert world.increment().rows == 1
    world.event(0, "ben")
    for _ in range(2):
        world.export(0)
        world.increment()
    assert world.dataset == Counter([b"anna,i,0", b"ben,i,0"])
    choice = world.choose()
    assert not choice.taken
    assert not choice.nothing_new, "what was found to hold nothing new is not read again"


def test_a_row_late_for_an_interval_of_the_full_import_is_told_from_its_snapshot() -> None:
    world = World()
    for number in (0, 1, 2, 3):
        world.event(number, "anna")
        world.export(number)
    world.full(4)
    assert not world.choose().taken
    for number in (1, 3):  # hour 1 is older than the overlap, hour 3 is not
        world.event(number, "late")
        world.export(number)
    assert world.increment().rows == 1
    assert world.dataset[b"late,i,3"] == 1
    assert world.dataset[b"late,i,1"] == 0, "it waits for the next FULL"
    world.full(4)
    assert world.dataset[b"late,i,1"] == world.dataset[b"late,i,3"] == 1
    assert not world.choose().taken


def test_an_interval_exported_only_after_the_full_import_is_compared_with_its_snapshot() -> None:
    world = World()
    world.event(3, "anna")
    world.full(4)
    world.export(3)
    assert not world.increment().taken
    assert world.dataset == Counter([b"anna,i,3"])


def test_a_full_import_of_an_earlier_end_makes_later_intervals_pending_again() -> None:
    world = World()
    world.full(0)
    world.event(2, "anna")
    world.export(2)
    assert world.increment().rows == 1
    world.full(1)
    assert world.dataset == Counter()
    assert world.increment().rows == 1
    assert world.dataset == Counter([b"anna,i,2"])


def test_rows_that_the_warehouse_returns_twice_are_two() -> None:
    world = World()
    world.full(0)
    for name in ("anna", "anna"):
        world.event(0, name)
    world.export(0)
    world.increment()
    world.event(0, "anna")
    world.export(0)
    assert world.increment().rows == 1
    assert world.dataset[b"anna,i,0"] == 3


def piece(number: int, rows: int, size_bytes: int) -> Piece:
    found = whole(manifest(hour(number), f"{number}", b"x\n"), EVENTS)
    return replace(found, rows=rows, size_bytes=size_bytes)


def test_an_import_takes_the_oldest_up_to_its_limit_and_the_rest_waits() -> None:
    pieces = [piece(0, 10, 60), piece(1, 0, 5), piece(2, 99, 101), piece(3, 10, 40), piece(4, 10, 1)]
    choice = up_to_limit(iter(pieces), 100)
    assert [p.interval for p in choice.taken] == [hour(0), hour(3)]
    assert (choice.nothing_new, choice.too_large, choice.rest_waits) == ((pieces[1],), (pieces[2],), True)
    assert choice.rows == 20
    assert not up_to_limit(iter(pieces), 1000).rest_waits


def test_more_than_one_import_takes_goes_on_with_the_next() -> None:
    world = World()
    world.full(0)
    for number in range(6):
        world.event(number, "anna")
        world.export(number)
    sizes = []
    while (choice := world.increment(limit_bytes=80)).taken:
        sizes.append(choice.rows)
    assert sizes == [2, 2, 2]
    assert set(world.dataset.values()) == {1}


def test_interactions_below_the_minimum_of_an_import_wait_and_items_do_not() -> None:
    few, enough, items = (Choice((piece(0, rows, 9),), (piece(1, 0, 1),)) for rows in (999, 1000, 1))
    choices = importable({EVENTS: few, ITEMS: items})
    assert (choices[EVENTS].taken, choices[EVENTS].nothing_new) == ((), few.nothing_new)
    assert choices[ITEMS] == items
    assert importable({EVENTS: enough, ITEMS: items}) == {EVENTS: enough, ITEMS: items}


def test_items_that_repeat_what_was_imported_before_them_are_unchanged() -> None:
    contents = [b"a\n1\n", b"a\n2\n", b"a\n2\n", b"a\n1\n"]
    pending = [manifest(hour(n), str(n), content, ITEMS) for n, content in enumerate(contents)]
    last = pending[0].objects[ITEMS].digest
    assert unchanged(pending, ITEMS, last) == [pending[0], pending[2]]
    assert unchanged(pending, ITEMS, "") == [pending[2]]


def test_a_gap_between_intervals_is_named() -> None:
    chain = [manifest(hour(n), str(n), b"x\n") for n in (0, 1, 4, 5)]
    check_chain(chain[:2])
    with pytest.raises(FatalError, match=r"1 gap.*2026-11-22T02:00:00\+00:00 to 2026-11-22T04:00:00"):
        check_chain(chain)


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


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4), min_size=1, max_size=4))
def test_the_newest_row_of_an_id_is_left(objects: list[list[tuple[str, str]]]) -> None:
    bucket = {
        str(number): ("TITLE,ITEM_ID\n" + "".join(f"{line([t, i])}\n" for i, t in rows)).encode()
        for number, rows in enumerate(objects)
    }
    pieces = [whole(manifest(hour(int(key)), key, text, ITEMS), ITEMS) for key, text in bucket.items()]
    left: list[tuple[str, str]] = []
    with TemporaryDirectory() as folder:
        for piece, content in newest_rows(pieces, ITEMS, lambda key: [bucket[key]], Path(folder)):
            text = bucket[piece.source.key] if content is None else content.read_bytes()
            reader = csv.reader(io.StringIO(text.decode(), newline=""), escapechar="\\", doublequote=False)
            left += [(identity, title) for title, identity in list(reader)[1:]]
    last = {identity: number for number, rows in enumerate(objects) for identity, _ in rows}
    assert left == [row for number, rows in enumerate(objects) for row in rows if last[row[0]] == number]
