"""The plan against a slow and obvious one."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from delivery_reference import OUT, UNKNOWN, Case, Person, Planned, cases, digest, state_rows
from hypothesis import given, settings

from braze_client.payloads import MAX_VALUE_BYTES
from recsync.program import Braze
from recsync.program.braze import SOURCES
from recsync.push.accounts import merge_state, settle
from recsync.push.ledger import EntryKind, Ledger, LedgerEntry

IDS = Braze(attribute="recs", update_existing_only=False)


@settings(deadline=None, max_examples=15)
@given(cases())
def test_a_plan_writes_what_a_slow_one_would(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        planned = case.run(Path(folder) / "1")
        check_rows(case, planned)
        check_partition(case, planned)
        check_cap(case, planned)
        check_canary(case, planned)
        check_figures(case, planned)
        assert used_items(planned) == {item for person in case.people.values() for item in person.items}


@settings(deadline=None, max_examples=8)
@given(cases(capped=False))
def test_after_everything_was_taken_the_same_plan_has_nothing_to_write(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        planned = case.run(Path(folder) / "1")
        merged = take_everything(planned)
        there = {who: case.after(who) for who in case.people}
        assert state_rows(merged) == {(who, n): digest(v) for who in there for n, v in there[who].items()}
        noted = {row["external_id"]: row["kept_since"] for row in pq.read_table(merged).to_pylist()}
        assert noted == {who: case.kept_since(who) for who in there if there[who]}
        again = Path(folder) / "2"
        again.mkdir()
        second = case.plan(again, planned.inputs.lists, planned.inputs.catalogue, merged)
        assert second.figures.total_rows == 0
        kept = [who for who in case.people if case.is_kept(who)]
        outcomes = Counter(row["outcome"] for row in second.settled)
        assert outcomes.keys() <= {"unchanged", "suppressed", "kept", "held_out"}
        assert outcomes["held_out"] == sum(person.arm == OUT for person in case.people.values())
        assert outcomes["kept"] == len(kept)
        assert outcomes["unchanged"] == sum(case.has_list(who) for who in case.people if who not in kept)


def check_rows(case: Case, planned: Planned) -> None:
    for part in ("canary", "removals", "rest"):
        for row in planned.part(part):
            who = row["external_id"]
            assert json.loads(row["object"]) == case.payload(who)
            assert {c["attribute"]: c["fingerprint"] for c in row["changes"]} == {
                name: digest(value) for name, value in case.changes(who).items()
            }
            assert row["data_points"] == case.points(who)
            assert row["in_audience"] == (who in case.people)
            assert row["removal"] == (part == "removals") == (not case.has_list(who))
            is_out = case.people.get(who, Person()).arm == OUT
            assert row["reason"] == ("held out by experiment autumn" if is_out else None)


def check_partition(case: Case, planned: Planned) -> None:
    written = [row["external_id"] for row in planned.writes]
    settled = {row["external_id"]: (row["outcome"], row["reason"]) for row in planned.settled}
    inside = [who for who in written if who in case.people]
    assert Counter(inside + [row["external_id"] for row in planned.settled]) == Counter(list(case.people))
    assert len(set(written)) == len(written)
    for who, (outcome, reason) in settled.items():
        if who in case.todo():
            assert outcome == "deferred" or (outcome == "rejected" and case.is_too_large(who))
        else:
            person = case.people[who]
            without = "held_out" if person.arm == OUT else "suppressed"
            nothing = ("unchanged", "") if case.has_list(who) else (without, person.reason)
            assert (outcome, reason) == (("kept", person.unanswered) if case.is_kept(who) else nothing)
    assert {who for who in written if who not in case.people} <= case.todo()


def check_cap(case: Case, planned: Planned) -> None:
    rejected = {row["external_id"] for row in planned.settled if row["outcome"] == "rejected"}
    chosen = {row["external_id"] for row in planned.writes} | rejected
    left = case.todo() - chosen
    assert len(chosen) == (len(case.todo()) if case.cap is None else min(case.cap, len(case.todo())))
    assert chosen <= case.todo()
    if left and chosen:
        assert max(map(case.rank, chosen)) <= min(map(case.rank, left))
    assert left & case.people.keys() == {
        row["external_id"] for row in planned.settled if row["outcome"] == "deferred"
    }


def check_canary(case: Case, planned: Planned) -> None:
    canary, rest = planned.part("canary"), planned.part("rest")
    assert len(canary) == math.ceil(case.canary_share * (len(canary) + len(rest)))


def check_figures(case: Case, planned: Planned) -> None:
    figures, writes = planned.figures, planned.writes
    assert figures.audience == len(case.people)
    assert figures.rows == {part: len(planned.part(part)) for part in ("canary", "removals", "rest")}
    assert figures.writes == len(planned.part("canary")) + len(planned.part("rest"))
    assert figures.removals == sum(row["removal"] and row["in_audience"] for row in writes)
    assert figures.left_audience == sum(not row["in_audience"] for row in writes)
    assert figures.settled == Counter(row["outcome"] for row in planned.settled)
    assert figures.reasons == Counter(row["reason"] for row in planned.settled if row["reason"])
    assert figures.data_points == sum(row["data_points"] for row in writes)
    assert figures.object_bytes == sum(len(row["object"]) for row in writes)
    assert figures.audience == figures.writes + figures.removals + sum(figures.settled.values())
    gone = {who for who in case.todo() if not case.has_list(who)}
    out = {who for who in gone if case.people.get(who, Person()).arm == OUT}
    assert figures.losing == len(gone - out)
    assert figures.held_out == len(out & {row["external_id"] for row in writes})


def used_items(planned: Planned) -> set[str]:
    rows = pq.read_table(planned.path / "items.parquet").to_pylist()
    return {row["item_id"] for row in rows if row["used"]}


def take_everything(planned: Planned) -> Path:
    rows = planned.figures.total_rows
    ledger = Ledger.of(
        rows, [LedgerEntry(EntryKind.PROGRESS, "now", sending=((0, rows),), taken=((0, rows),))]
    )
    state, folder = planned.inputs.state, planned.folder
    account = settle(planned.path, planned.figures, ledger, state, folder / "accounts.parquet", folder)
    assert account.outcomes["sent"] == planned.figures.writes
    assert account.outcomes["removed"] == planned.figures.removals
    assert account.data_points == planned.figures.data_points
    merge_state(state, planned.path, planned.figures, ledger, "d-1", folder / "merged.parquet", folder)
    return folder / "merged.parquet"


LONG = {letter * 30_000: {} for letter in "abcd"}


def test_a_value_that_braze_would_drop_is_rejected_before_it_is_sent(tmp_path: Path) -> None:
    people = {"fits": Person(tuple(LONG)[:3]), "too long": Person(tuple(LONG)), "plain": Person(("x",))}
    case = Case(IDS, people, {**LONG, "x": {}}, canary_share=0.4)
    planned = case.run(tmp_path / "1")
    assert {row["external_id"] for row in planned.writes} == {"fits", "plain"}
    assert [(row["external_id"], row["outcome"]) for row in planned.settled] == [("too long", "rejected")]
    assert str(MAX_VALUE_BYTES) in planned.settled[0]["reason"]
    check_partition(case, planned)
    assert planned.figures.writes == 2
    merged = take_everything(planned)
    assert {who for who, _ in state_rows(merged)} == {"fits", "plain"}


@pytest.mark.parametrize("over", [0, 1])
def test_the_limit_is_met_to_the_byte(tmp_path: Path, over: int) -> None:
    empty = len(b'{"external_id":"u","recs":[""]}')
    item = "i" * (MAX_VALUE_BYTES - empty + over)
    case = Case(IDS, {"u": Person((item,))}, {item: {}})
    planned = case.run(tmp_path / "1")
    assert (len(planned.writes), len(planned.settled)) == (1 - over, over)
    assert case.is_too_large("u") == bool(over)


@pytest.mark.parametrize("shown", [{}, {"left": {"recs": ["1"]}, "unsure": {"recs": UNKNOWN}}])
def test_an_empty_audience_is_planned(tmp_path: Path, shown: dict[str, Any]) -> None:
    planned = Case(IDS, {}, {}, shown).run(tmp_path / "1")
    assert {row["external_id"] for row in planned.part("removals")} == set(shown)
    assert planned.figures.audience == 0
    assert planned.figures.left_audience == planned.figures.total_rows == len(shown)


def test_nobody_has_a_list_and_the_catalogue_is_empty(tmp_path: Path) -> None:
    planned = Case(IDS, {"a": Person(), "b": Person()}, {}, {"b": {"recs": ["1"]}}).run(tmp_path / "1")
    assert [row["external_id"] for row in planned.settled] == ["a"]
    assert [row["external_id"] for row in planned.writes] == ["b"]


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
