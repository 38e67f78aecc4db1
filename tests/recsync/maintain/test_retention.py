"""What stays and what goes, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recsync.maintain.retention import (
    AccountResource,
    InUse,
    ListedObject,
    UnitName,
    decide_objects,
    decide_solutions,
    group_by_unit,
    owns_filter,
    owns_schema,
    owns_solution,
    unit_of,
    versions_needed,
)
from recsync.program import Program, names
from recsync.program.operations import Retention

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OLD = NOW - timedelta(days=200)
SETTINGS = Retention(days=30, export_days=30, snapshots=1)
PROGRAM = Program.model_validate({"name": "shop", "braze": {"attribute": "recs"}})
PREFIX = "arn:aws:personalize:eu-west-1:123456789012:solution/"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("shop/exports/interactions/2026-01-01T0000Z.csv", ("exports", "2026-01-01T0000Z")),
        ("shop/exports/manifests/2026-01-01T0000Z.json", ("exports", "2026-01-01T0000Z")),
        ("shop/exports/reports/items/2026-01-01T0000Z.html", ("exports", "2026-01-01T0000Z")),
        ("shop/exports/staging/items/2026-01-01T0000Z/part.gz", ("exports", "2026-01-01T0000Z")),
        ("shop/full/run/quarantine/items.jsonl", ("full", "run")),
        ("shop/imports/run/interactions/", ("imports", "run")),
        ("shop/tables/lists/date=2026-01-01/run.parquet", ("tables", "lists/date=2026-01-01")),
        ("shop/tables/lists/date=soon/run.parquet", None),
        ("shop/tables/notes.txt", None),
        ("shop/attribution/Aggregated - FULL - 1.csv", ("attribution", "Aggregated - FULL - 1.csv")),
        ("shop/state/champion.json", None),
        ("shop/exports/interactions/notes.txt", None),
        ("shop/other/thing", None),
    ],
)
def test_each_object_belongs_to_one_unit(key: str, name: tuple[str, str] | None) -> None:
    assert unit_of(key) == name


def test_state_is_neither_a_unit_nor_an_orphan() -> None:
    listing = [
        ListedObject(f"shop/{key}", 1, OLD)
        for key in ("state/imports.json", "other/thing", "batch/r/input/i")
    ]
    units, orphans = group_by_unit(listing)
    assert [unit.name for unit in units] == [UnitName("batch", "r")]
    assert [listed.key for listed in orphans] == ["shop/other/thing"]


def kept(keys: list[str], in_use: InUse, modified: datetime = OLD) -> dict[str, bool]:
    units, _ = group_by_unit(ListedObject(f"shop/{key}", 1, modified) for key in keys)
    return {"/".join(v.subject.name): v.keep for v in decide_objects(units, in_use, SETTINGS, NOW)}


def test_what_publishes_is_removed_first() -> None:
    keys = ["full/a/items.csv", "full/a/manifest.json", "full/a/reports/items.json"]
    units, _ = group_by_unit(ListedObject(f"shop/{key}", 1, OLD) for key in keys)
    assert next(listed.key for listed in units[0].objects) == "shop/full/a/manifest.json"
    assert units[0].size_bytes == 3


def test_the_newest_published_snapshot_stays_and_unpublished_remains_go() -> None:
    keys = ["full/a/manifest.json", "full/b/manifest.json", "full/c/items.csv"]
    assert kept(keys, InUse(exports_since=NOW)) == {"full/a": False, "full/b": True, "full/c": False}


def test_lists_and_what_was_sent_of_them_stay_as_long_as_a_rule_looks_at_them() -> None:
    keys = ["recommendations/a/manifest.json", "recommendations/b/manifest.json", "deliveries/a/plan.json"]
    keys += ["deliveries/b/plan.json", "batch/a/input/i"]
    modified = NOW - timedelta(days=80)
    stay = kept(keys, InUse(exports_since=NOW, list_days=90), modified)
    assert stay == {
        "recommendations/a": True,
        "recommendations/b": True,
        "deliveries/a": True,
        "deliveries/b": True,
        "batch/a": False,
    }
    assert kept(keys, InUse(exports_since=NOW, list_days=60), modified)["recommendations/a"] is False


def test_partitions_of_tables_go_by_their_day_also_when_an_erasure_wrote_them_again() -> None:
    days = [NOW - timedelta(days=days) for days in (399, 400)]
    keys = [f"tables/accounts/date={day:%Y-%m-%d}/d.parquet" for day in days]
    for modified in (OLD, NOW):
        assert list(kept(keys, InUse(), modified).values()) == [
            False,
            True,
        ]  # sorted by name, the older one first


def test_exports_stay_from_the_late_window_on() -> None:
    keys = [f"exports/manifests/2026-01-{day:02}T0000Z.json" for day in (1, 2, 3)]
    since = datetime(2026, 1, 2, tzinfo=UTC)
    found = kept(keys, InUse(exports_since=since, why_exports="late"))
    assert list(found.values()) == [False, True, True]
    assert all(kept(keys, InUse(exports_since=None)).values())
    assert all(kept(keys, InUse(exports_since=NOW), modified=NOW - timedelta(days=1)).values())


def test_a_batch_folder_stays_with_its_recommendations() -> None:
    keys = ["batch/r1/input/i", "batch/r2-abc/output/o", "batch/r3/input/i"]
    in_use = InUse(
        {UnitName("recommendations", "r1"): "sent", UnitName("recommendations", "r2"): "open"}, NOW
    )
    assert kept(keys, in_use) == {"batch/r1": True, "batch/r2-abc": True, "batch/r3": False}


def test_names_tell_whose_a_resource_is() -> None:
    recipe = PROGRAM.personalize.recipe
    assert owns_solution(PROGRAM, names.solution_name(PROGRAM, recipe))
    assert owns_solution(PROGRAM, names.solution_name(PROGRAM, recipe, {"a": 1}))
    assert not owns_solution(PROGRAM, "shop-experiment")
    assert owns_schema(PROGRAM, "shop-items-0a1b2c3d")
    assert not owns_schema(PROGRAM, "shop-items-items-0a1b2c3d")
    assert owns_filter(PROGRAM, "shop-filter-0a1b2c3d4e5f")
    assert not owns_filter(PROGRAM, "shop-filter-mine")


def test_going_back_and_forth_does_not_push_a_champion_out_of_reach() -> None:
    a, b, c = (f"{PREFIX}{name}/1" for name in "abc")
    needed = versions_needed([(a, ""), (b, ""), (c, f"{PREFIX}seg/1"), (b, ""), (c, f"{PREFIX}seg/1")], 3)
    assert set(needed) == {f"{PREFIX}{name}" for name in ("a", "b", "c", "seg")}
    assert set(versions_needed([(a, ""), (b, ""), (c, "")], 2)) == {f"{PREFIX}b", f"{PREFIX}c"}


def test_unused_solutions_go_by_age_and_when_there_are_too_many() -> None:
    def held(name: str, days: int, busy: str = "") -> AccountResource:
        return AccountResource(PREFIX + name, name, NOW - timedelta(days=days), busy)

    program = PROGRAM.model_copy(update={"retention": Retention(solutions=3, solution_days=14)})
    plain = names.solution_name(program, program.personalize.recipe)
    found = [held(plain, 300), held("used", 200), held("busy", 100, "training"), held("old", 50)]
    decisions = decide_solutions(program, found, {f"{PREFIX}used": "a campaign"}, NOW)
    assert {v.subject.name for v in decisions if not v.keep} == {"old"}
    young = [held(plain, 300), held("a", 5), held("b", 3), held("c", 2), held("d", 0)]
    gone = [v.subject.name for v in decide_solutions(program, young, {}, NOW) if not v.keep]
    assert gone == ["a", "b"]
    fresh = [held(f"s{number}", 0) for number in range(6)]
    assert all(v.keep for v in decide_solutions(program, fresh, {}, NOW))
