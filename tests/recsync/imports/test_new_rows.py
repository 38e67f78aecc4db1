"""Each row reaches an import exactly once between two FULL imports, whatever comes when and in which order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from imports_reference import World, hour

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


@settings(max_examples=400, deadline=None)
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
    for number, manifest in world.published.items():
        exported = Counter(world.rows_of(next(iter(manifest.objects.values())).key))
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
