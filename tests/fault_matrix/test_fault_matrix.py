"""A small version of the fault matrix: no row may lose anybody or leave a wrong value."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import matrix_crashes
import matrix_faults
import matrix_input
import matrix_races
import matrix_speed
import pytest
import run_matrix
from matrix_rows import Place, Row, Scenario, run
from matrix_table import document, table

PEOPLE = 500
# Of the whole matrix, one of each kind; many calls are hit, so that few people are enough.
FAULTS = [
    "body cut off, applied",
    "201, error without index",
    "201, but a removal not applied",
    "201 that rejects some",
    "201 that names some twice",
    "201, named and counted, applied",
    "silent about unknown people",
    "audience cut short",
    "output cut short",
]
CRASHES = [
    "kill -9, 3 random moments",
    "state store full while sending",
    "state store answers 409",
    "two schedulers, one delivery",
    "a newer delivery overtakes a stuck one",
]
SCENARIOS = {
    scenario.fault: scenario
    for scenario in (
        *matrix_faults.scenarios(share=0.1),
        *matrix_crashes.scenarios(seed=1, kills=3),
        *matrix_races.scenarios(),
        *matrix_input.scenarios(),
    )
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, run_matrix.PATHS))
    undo = matrix_speed.hasten()
    try:
        with run_matrix.opened(tmp_path_factory.mktemp("faults")) as opened:
            yield opened
    finally:
        undo()
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.parametrize("fault", FAULTS + CRASHES)
def test_nobody_is_lost_and_nothing_is_wrong(
    place: Place, fault: str, request: pytest.FixtureRequest
) -> None:
    row = run(SCENARIOS[fault], f"faults-{(FAULTS + CRASHES).index(fault)}", place, PEOPLE)
    assert row.good, row
    assert row.hits or fault.startswith("two "), "the fault struck nobody"
    assert (row.rejected > 0) == any(word in fault for word in ("rejects", "names some", "unknown"))


def test_a_loss_shows(place: Place) -> None:
    lied_to = {"path": "/users/track", "kind": "drop", "times": None, "object_probability": 0.2, "seed": 1}
    blind = Scenario("nobody verifies", faults=lambda world: [lied_to], verify_users=0)
    row = run(blind, "faults-blind", place, PEOPLE)
    assert not row.good
    assert row.lost > 20
    assert row.wrong >= row.lost


def test_the_table_says_what_is_wrong() -> None:
    row = Row("a fault", "2 %", hits=3, people=1_000, exact=True, rejected=7, seconds=1.5)
    bad = replace(row, fault="another", exact=False, note="FatalError: it stopped")
    text = table([row, bad])
    assert "| a fault |" in text
    assert text.count("| 1,000  |") == 2
    assert " NO " in text
    assert text.endswith("another: FatalError: it stopped")
    assert "2 rows, 1,000 people" in document([row, bad], 60.0)
