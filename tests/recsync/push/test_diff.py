"""Which people and attributes a plan writes."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from delivery_reference import Case, Person
from hypothesis import given, settings
from hypothesis import strategies as st

from recsync.program import Braze
from recsync.push.plan_files import plan_files

IDS = Braze(attribute="recs", update_existing_only=False)


SOURCES = ("scores", "tier", "generated_at", "version")
SCORED = Braze(
    attribute="recs",
    attributes=[{"name": f"recs_{source}", "from": source} for source in SOURCES],
    update_existing_only=False,
)


SCORED_PERSON = Person(("1", "2"), scores=(0.5, None))


NEWEST = {"recs_generated_at": "2026-01-31T23:30:00Z", "recs_version": "shop/4f1e"}


EARLIER = {"recs_generated_at": "2026-01-30T23:30:00Z", "recs_version": "shop/0"}


SCORED_VALUE = {"recs": ["1", "2"], "recs_scores": [0.5, -2], "recs_tier": "personal"}


def written(case: Case, folder: Path) -> dict[str, Any]:
    found = {}
    for row in case.run(folder).writes:
        payload = json.loads(row["object"])
        found[payload.pop("external_id")] = payload
    return found


def test_only_what_changed_is_in_an_object(tmp_path: Path) -> None:
    braze = IDS.model_copy(update={"tier_attribute": "tier"})
    person = Person(("1",), tier="popular")
    shown = {
        "same": {"recs": ["1"], "tier": "popular"},
        "tier": {"recs": ["1"], "tier": "personal"},
        "list": {"recs": ["2"], "tier": "popular"},
        "former": {"recs": ["1"], "tier": "popular", "old": ["1"]},
    }
    planned = Case(braze, dict.fromkeys(shown, person), {"1": {}}, shown).run(tmp_path / "1")
    assert {row["external_id"]: json.loads(row["object"]) for row in planned.writes} == {
        "tier": {"external_id": "tier", "tier": "popular"},
        "list": {"external_id": "list", "recs": ["1"]},
        "former": {"external_id": "former", "old": None},
    }


@settings(deadline=None, max_examples=5)
@given(st.integers(1, 300), st.integers(0, 320), st.randoms(use_true_random=False))
def test_the_same_people_are_deferred_whatever_the_order_of_the_lists(
    people: int, cap: int, random: Any
) -> None:
    case = Case(IDS, {f"u-{n}": Person(("1",), priority=n % 3) for n in range(people)}, {"1": {}}, cap=cap)
    names = list(case.people)
    random.shuffle(names)
    shuffled = replace(case, people={name: case.people[name] for name in names})
    with tempfile.TemporaryDirectory() as folder:
        first, second = case.run(Path(folder) / "1"), shuffled.run(Path(folder) / "2")
        ids = [{row["external_id"] for row in planned.writes} for planned in (first, second)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == min(cap, people)


def test_lists_in_several_row_groups_are_read_although_each_has_its_own_ids(tmp_path: Path) -> None:
    # Row groups end where they like; the plan's chunks reach over several of them.
    items = [f"i-{n}" for n in range(40)]
    people = {f"u-{n}": Person((item,)) for n, item in enumerate(items)}
    planned = Case(IDS, people, {item: {} for item in items}, chunk_rows=7).run(tmp_path / "1")
    assert {row["external_id"]: json.loads(row["object"])["recs"] for row in planned.writes} == {
        who: list(person.items) for who, person in people.items()
    }


def test_time_and_version_are_written_along_and_never_alone(tmp_path: Path) -> None:
    shown = {
        "same": {**SCORED_VALUE, **EARLIER},
        "list": {**SCORED_VALUE, **EARLIER, "recs": ["2"]},
        "scores": {**SCORED_VALUE, **NEWEST, "recs_scores": [0.4, -2]},
        "former": {**SCORED_VALUE, **EARLIER, "old": ["1"]},
        "without": {**SCORED_VALUE},
        "left": {"recs_version": "shop/0"},
    }
    people = dict.fromkeys(["same", "list", "scores", "former", "without", "new"], SCORED_PERSON)
    case = Case(SCORED, people, {"1": {}, "2": {}}, shown)
    assert written(case, tmp_path / "1") == {
        "new": {**SCORED_VALUE, **NEWEST},
        "list": {"recs": ["1", "2"], **NEWEST},
        "scores": {"recs_scores": [0.5, -2]},
        "former": {**NEWEST, "old": None},
        "left": {"recs_version": None, "_update_existing_only": True},
    }


def test_the_date_of_an_unchanged_list_is_written_alone_before_it_is_too_old(tmp_path: Path) -> None:
    same = {**SCORED_VALUE, **EARLIER}
    shown = {
        "young": same,
        "old": same,
        "unknown age": same,
        "list": {**same, "recs": ["2"]},
        "without": SCORED_VALUE,
    }
    case = Case(
        SCORED, dict.fromkeys(shown, SCORED_PERSON), {"1": {}, "2": {}}, shown, refresh_seconds=100,
        confirmed={"young": 901, "old": 900, "list": 0, "without": 999},
    )  # fmt: skip
    planned = case.run(tmp_path / "1")
    assert written(case, tmp_path / "2") == {
        who: {"recs_generated_at": NEWEST["recs_generated_at"]} for who in ("old", "unknown age", "without")
    } | {"list": {"recs": ["1", "2"], **NEWEST}}
    assert (planned.figures.refreshed, planned.figures.data_points) == (3, 3 + 3)
    # Under a cap, lists go before mere dates.
    (row,) = replace(case, cap=1).run(tmp_path / "3").writes
    assert row["external_id"] == "list"


def test_old_lists_are_removed_and_everybody_is_accounted_for(tmp_path: Path) -> None:
    shown = {
        "old": {"recs": ["1"], "recs_tier": "x"},
        "young": {"recs": ["1"]},
        "unknown age": {"recs": ["1"]},
    }
    case = Case(IDS, {}, {}, shown, confirmed={"old": 99, "young": 100})
    planned = case.run(tmp_path / "1")
    figures = plan_files(replace(planned.inputs, oldest=100), tmp_path / "plan", tmp_path)
    rows = pq.read_table(tmp_path / "plan/writes/removals.parquet").to_pylist()
    assert [json.loads(row["object"]) for row in rows] == [
        {"external_id": "old", "recs": None, "recs_tier": None, "_update_existing_only": True}
    ]
    settled = pq.read_table(tmp_path / "plan/settled.parquet").to_pylist()
    assert {row["external_id"]: (row["outcome"], row["reason"]) for row in settled} == {
        "young": ("unchanged", ""),
        "unknown age": ("kept", "the age of the list is not known before the next push"),
    }
    assert (figures.audience, figures.removals, figures.losing, figures.had_list) == (3, 1, 1, 3)
    assert figures.data_points == 2


def test_lists_without_scores_leave_them_until_the_list_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown = {
        "same": {**SCORED_VALUE, **EARLIER},
        "list": {**SCORED_VALUE, **NEWEST, "recs": ["2"]},
    }
    case = Case(SCORED, dict.fromkeys(shown, SCORED_PERSON), {"1": {}, "2": {}}, shown, has_scores=False)
    assert written(case, tmp_path / "1") == {"list": {"recs": ["1", "2"], "recs_scores": None}}
    (warning,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert warning.startswith("No list has a value for attribute recs_scores (scores)")


def test_recommendations_without_a_version_take_the_former_one_away_with_the_list(tmp_path: Path) -> None:
    shown = {"same": {**SCORED_VALUE, **EARLIER}, "list": {**SCORED_VALUE, **EARLIER, "recs": ["2"]}}
    manifest = {"created_at": "2026-02-01T00:30:00+01:00", "solution_version_arn": ""}
    people = dict.fromkeys(shown, SCORED_PERSON)
    case = Case(SCORED, people, {"1": {}, "2": {}}, shown, manifest=manifest)
    assert written(case, tmp_path / "1") == {
        "list": {"recs": ["1", "2"], "recs_generated_at": NEWEST["recs_generated_at"], "recs_version": None}
    }
