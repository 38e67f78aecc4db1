"""What one INCREMENTAL import takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from imports_reference import EVENTS, World, hour, manifest

from recsync.errors import FatalError
from recsync.imports.chain import check_chain
from recsync.imports.choice import Choice, importable, unchanged, up_to_limit
from recsync.imports.dataset_state import Held, LastFull, Taken
from recsync.imports.new_rows import Piece, whole
from recsync.program import DatasetType

ITEMS = DatasetType.ITEMS


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


def test_a_snapshot_is_held_exactly_until_something_else_is_imported() -> None:
    last = LastFull(hour(0).start, "d1", "job", alone=True)
    held = Held().after_full(ITEMS, last, known={}, objects={})
    assert held.holds_exactly(ITEMS, "d1")
    assert not held.holds_exactly(ITEMS, "d2")
    assert not held.holds_exactly(EVENTS, "d1")
    after = held.after_increment(ITEMS, [Taken(hour(0).key, "d3", "key")])
    assert not after.holds_exactly(ITEMS, "d1")
    assert not after.holds_exactly(ITEMS, "d3")
    assert after.full[ITEMS].digest == "d3"


def test_a_gap_between_intervals_is_named() -> None:
    chain = [manifest(hour(n), str(n), b"x\n") for n in (0, 1, 4, 5)]
    check_chain(chain[:2])
    with pytest.raises(FatalError, match=r"1 gap.*2026-11-22T02:00:00\+00:00 to 2026-11-22T04:00:00"):
        check_chain(chain)
