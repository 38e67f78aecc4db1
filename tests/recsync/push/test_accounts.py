"""The end of a delivery against a dict: how people are counted, and what Braze was told."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from delivery_reference import OUT, Case, Person, Planned, cases, data_points, digest, state_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from recsync.errors import FatalError
from recsync.program import Braze
from recsync.push.accounts import DeliveryAccount, Outcome, dead_letters, merge_state, settle
from recsync.push.ledger import EntryKind, Ledger, LedgerEntry, Refusal, Status, ranges
from recsync.push.plan_format import PARTS
from recsync.push.replay import parse_letters, plan_replay

GONE = "external_id is not an existing user"
IDS = Braze(attribute="recs", update_existing_only=False)
FATES = [Status.TAKEN, Status.REJECTED, Status.DEAD]


def ledger_of(statuses: list[Status], reason: str, permitted: int) -> Ledger:
    rows: dict[Status, list[int]] = {s: [n for n, found in enumerate(statuses) if found == s] for s in Status}
    entry = LedgerEntry(
        EntryKind.PROGRESS,
        "now",
        permitted=permitted,
        taken=ranges([rows[Status.TAKEN]]),
        rejected=tuple(Refusal(row, reason) for row in rows[Status.REJECTED]),
        dead=tuple(Refusal(row, reason) for row in rows[Status.DEAD]),
    )
    return Ledger.of(len(statuses), [entry])


def count(planned: Planned, ledger: Ledger) -> DeliveryAccount:
    folder = planned.folder
    return settle(
        planned.path, planned.figures, ledger, planned.inputs.state, folder / "accounts.parquet", folder
    )


def merge(planned: Planned, ledger: Ledger) -> dict[tuple[str, str], int | None]:
    folder, target = planned.folder, planned.folder / "merged.parquet"
    merge_state(planned.inputs.state, planned.path, planned.figures, ledger, "d-1", target, folder)
    return state_rows(target)


def outcome_of(row: dict[str, Any], status: Status, reason: str) -> Outcome:
    if row["removal"] and (status == Status.TAKEN or (status == Status.REJECTED and GONE in reason)):
        return Outcome.REMOVED
    return {
        Status.TAKEN: Outcome.SENT,
        Status.REJECTED: Outcome.REJECTED,
        Status.DEAD: Outcome.DEAD_LETTERED,
    }[status]


def expected_state(
    case: Case, planned: Planned, statuses: list[Status], reason: str, permitted: int
) -> dict[tuple[str, str], int | None]:
    """Tell what Braze has, one attribute at a time."""
    state = {(who, n): digest(v) for who, attributes in case.shown.items() for n, v in attributes.items()}
    for number, (row, status) in enumerate(zip(planned.writes, statuses, strict=True)):
        who = row["external_id"]
        if status == Status.REJECTED and GONE in reason:
            # Braze does not have the person, and so nothing of theirs.
            state = {key: value for key, value in state.items() if key[0] != who}
            continue
        for name, value in case.changes(who).items():
            if status == Status.DEAD or (status == Status.OPEN and number < permitted):
                state[who, name] = None
            elif status == Status.TAKEN:
                state[who, name] = digest(value)
                if value is None:
                    del state[who, name]
    return state


@settings(deadline=None, max_examples=15)
@given(cases(), st.data(), st.sampled_from(["too bad", GONE, "odd \"' \\ reason"]))
def test_everybody_is_counted_once_and_the_state_says_what_braze_took(
    case: Case, data: st.DataObject, reason: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        planned = case.run(Path(folder) / "1")
        writes = planned.writes
        statuses = [data.draw(st.sampled_from(FATES)) for _ in writes]
        ledger = ledger_of(statuses, reason, len(statuses))
        account = count(planned, ledger)
        fates = [outcome_of(row, status, reason) for row, status in zip(writes, statuses, strict=True)]
        check_account(case, planned, account, fates, statuses)
        assert merge(planned, ledger) == expected_state(case, planned, statuses, reason, len(statuses))
        check_letters(planned, ledger, fates)


def test_what_newer_recommendations_confirm_gets_their_time(tmp_path: Path) -> None:
    braze = Braze(
        attribute="recs",
        attributes=[{"name": "recs_at", "from": "generated_at"}, {"name": "recs_tier", "from": "tier"}],
    )
    old = {"recs": ["1"], "recs_at": "2025-12-01T00:00:00Z", "recs_tier": "personal"}
    people = dict.fromkeys(["same", "list", "refused", "unclear", "left out"], Person(("1",)))
    people |= {"kept": Person((), unanswered="no line")}
    shown = {who: {**old, "recs": ["2"]} for who in people} | {"same": old}
    case = Case(braze, people, {"1": {}, "2": {}}, shown, cap=3, confirmed=dict.fromkeys(people, 10))
    planned = case.run(tmp_path / "1")
    fates = dict(zip(["list", "refused", "unclear"], FATES, strict=True))
    names = [row["external_id"] for row in planned.writes]
    renamed = dict(zip(names, fates, strict=True))
    ledger = ledger_of([fates[renamed[who]] for who in names], "too bad", len(names))
    target = tmp_path / "merged.parquet"
    merge_state(
        planned.inputs.state, planned.path, planned.figures, ledger, "d-1", target, tmp_path,
        moment=1_000, run_level=["recs_at"],
    )  # fmt: skip
    found: dict[str, dict[str, int]] = {}
    for row in pq.read_table(target).to_pylist():
        found.setdefault(row["external_id"], {})[row["attribute"]] = row["confirmed_at"]
    # The date in Braze is of the former run until it is written.
    assert found.pop("same") == {"recs": 1_000, "recs_at": 10, "recs_tier": 1_000}
    (taken,) = (who for who, fate in renamed.items() if fate == "list")
    assert found.pop(taken) == {"recs": 1_000, "recs_at": 1_000, "recs_tier": 1_000}
    # Refused, unclear, over the cap, kept without an answer: Braze may have the former list.
    assert len(found) == 4
    assert all(set(each.values()) == {10} for each in found.values())


def check_account(
    case: Case, planned: Planned, account: DeliveryAccount, fates: list[Outcome], statuses: list[Status]
) -> None:
    writes = planned.writes
    inside = Counter(f for row, f in zip(writes, fates, strict=True) if row["in_audience"])
    expected = inside + Counter(row["outcome"] for row in planned.settled)
    assert account.outcomes == {outcome: expected[outcome] for outcome in Outcome}
    assert sum(account.outcomes.values()) == account.audience == len(case.people)
    outside = [f for row, f in zip(writes, fates, strict=True) if not row["in_audience"]]
    assert account.left_audience == outside.count(Outcome.REMOVED)
    assert account.left_audience_kept == len(outside) - account.left_audience
    assert account.data_points == sum(
        case.points(row["external_id"])
        for row, status in zip(writes, statuses, strict=True)
        if status == Status.TAKEN
    )
    kept = (Outcome.REJECTED, Outcome.DEAD_LETTERED, Outcome.DEFERRED, Outcome.KEPT)
    left = {row["external_id"] for row, f in zip(writes, fates, strict=True) if f in kept}
    left |= {row["external_id"] for row in planned.settled if row["outcome"] in kept}
    assert account.left_behind == len(left & case.shown.keys())


def check_letters(planned: Planned, ledger: Ledger, fates: list[Outcome]) -> None:
    """Everybody whom Braze did not take is in a letter, and the letters can be replayed as they are."""
    left = (Outcome.REJECTED, Outcome.DEAD_LETTERED)
    wanted = {row["external_id"]: row for row, f in zip(planned.writes, fates, strict=True) if f in left}
    table = dead_letters(planned.path, planned.figures, ledger, planned.folder)
    body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()).encode()
    letters = parse_letters(body, name="letters")
    target = planned.folder / "replay"
    target.mkdir()
    figures = plan_replay(letters, "d-0", None, None, target, planned.folder)
    replayed = Planned(planned.folder, figures, planned.inputs)
    again = {row["external_id"]: row for row in replace(replayed, folder=_moved(target)).writes}
    assert again.keys() == wanted.keys()
    for who, row in wanted.items():
        assert json.loads(again[who]["object"]) == json.loads(row["object"])
        assert again[who]["in_audience"] == row["in_audience"]
        # A replay sees the letter only: whoever keeps a list and loses another attribute is a removal there.
        assert again[who]["removal"] == all(change["fingerprint"] is None for change in row["changes"])
        assert again[who]["data_points"] == row["data_points"]
        assert sorted(again[who]["changes"], key=str) == sorted(row["changes"], key=str)
    assert figures.data_points == sum(
        data_points(v)
        for row in wanted.values()
        for n, v in json.loads(row["object"]).items()
        if n not in ("external_id", "_update_existing_only")
    )


def _moved(target: Path) -> Path:
    folder = target.parent / "moved"
    folder.mkdir()
    target.rename(folder / "plan")
    return folder


@settings(deadline=None, max_examples=10)
@given(cases(), st.data())
def test_a_delivery_that_was_broken_off_leaves_what_nobody_knows_unknown(
    case: Case, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        planned = case.run(Path(folder) / "1")
        rows = planned.figures.total_rows
        permitted = data.draw(st.integers(0, rows))
        fates = st.sampled_from([*FATES, Status.OPEN])
        statuses = [data.draw(fates) if row < permitted else Status.OPEN for row in range(rows)]
        ledger = ledger_of(statuses, "bad", permitted)
        merged = merge(planned, ledger)
        assert merged == expected_state(case, planned, statuses, "bad", permitted)
        # Whoever is unknown is written anew, with whole values, unless there is no answer to write.
        again = Path(folder) / "2"
        again.mkdir()
        inputs = planned.inputs
        second = replace(case, cap=None).plan(
            again, inputs.lists, inputs.catalogue, planned.folder / "merged.parquet"
        )
        unknown = {who for (who, _), fingerprint in merged.items() if fingerprint is None}
        kept = {row["external_id"] for row in second.settled if row["outcome"] == Outcome.KEPT}
        assert unknown <= {row["external_id"] for row in second.writes} | kept


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    people = {"a": Person(("1",)), "b": Person(("1",)), "c": Person()}
    return Case(IDS, people, {"1": {}}, {"left": {"recs": ["9"]}}).run(tmp_path / "1")


def test_an_open_row_does_not_add_up(planned: Planned) -> None:
    statuses = [Status.TAKEN] * planned.figures.total_rows
    statuses[-1] = Status.OPEN
    with pytest.raises(FatalError, match="not settled"):
        count(planned, ledger_of(statuses, "", len(statuses)))


def test_a_lost_person_does_not_add_up(planned: Planned) -> None:
    figures = replace(planned.figures, audience=4)
    rows = figures.total_rows
    with pytest.raises(FatalError, match="4 people in the audience, 3 counted"):
        count(replace(planned, figures=figures), ledger_of([Status.TAKEN] * rows, "", rows))


def test_somebody_counted_twice_does_not_add_up(tmp_path: Path) -> None:
    case = Case(IDS, {"a": Person(("1",)), "b": Person()}, {"1": {}})
    planned = case.run(tmp_path / "1")
    settled = pq.read_table(planned.path / "settled.parquet")
    row = {"external_id": ["a"], "outcome": ["unchanged"], "reason": [""]}
    pq.write_table(pa.Table.from_pydict(row, settled.schema), planned.path / "settled.parquet")
    with pytest.raises(FatalError, match="2 people in the audience, 2 counted, 1 different"):
        count(planned, ledger_of([Status.TAKEN], "", 1))


def test_a_ledger_that_is_too_short_does_not_add_up(planned: Planned) -> None:
    with pytest.raises(FatalError, match="does not add up"):
        count(planned, ledger_of([Status.TAKEN], "", 1))


def test_what_braze_refused_stays_what_it_was(tmp_path: Path) -> None:
    case = Case(IDS, {"a": Person(("1",))}, {"1": {}}, {"a": {"recs": ["0"]}})
    planned = case.run(tmp_path / "1")
    ledger = ledger_of([Status.REJECTED], "bad", 1)
    assert merge(planned, ledger) == {("a", "recs"): digest(["0"])}
    account = count(planned, ledger)
    assert (account.left_behind, account.reasons, account.data_points) == (1, {"bad": 1}, 0)


def test_who_is_held_out_loses_the_list_once_and_is_then_left_alone(tmp_path: Path) -> None:
    out = {who: Person(arm=OUT) for who in ("had", "gone", "new")}
    case = Case(IDS, {**out, "in": Person(("1",))}, {"1": {}}, {w: {"recs": ["0"]} for w in ("had", "gone")})
    planned = case.run(tmp_path / "1")
    assert (planned.figures.held_out, planned.figures.losing, planned.figures.removals) == (2, 0, 2)
    fates = {"had": Status.TAKEN, "gone": Status.REJECTED, "in": Status.TAKEN}
    ledger = ledger_of([fates[row["external_id"]] for row in planned.writes], GONE, 3)
    account = count(planned, ledger)
    assert {name: people for name, people in account.outcomes.items() if people} == {
        "sent": 1, "removed": 2, "held_out": 1,
    }  # fmt: skip
    why = "held out by experiment autumn"
    assert account.reasons == {why: 3}
    rows = pq.read_table(tmp_path / "1" / "accounts.parquet").to_pylist()
    assert {row["external_id"]: row["reason"] for row in rows} == {**dict.fromkeys(out, why), "in": ""}
    # A plan of the release before, which knew no reasons, is settled too.
    for part in PARTS:
        path = planned.path / "writes" / f"{part}.parquet"
        pq.write_table(pq.read_table(path).drop_columns(["reason"]), path)
    assert count(planned, ledger).outcomes == account.outcomes
    merge_state(
        planned.inputs.state, planned.path, planned.figures, ledger, "d-1", tmp_path / "state", tmp_path
    )
    again = tmp_path / "2"
    again.mkdir()
    second = case.plan(again, planned.inputs.lists, planned.inputs.catalogue, tmp_path / "state")
    assert (second.figures.total_rows, second.figures.settled) == (0, {"held_out": 3, "unchanged": 1})


def test_somebody_who_is_no_braze_user_any_more_is_removed(tmp_path: Path) -> None:
    case = Case(IDS, {}, {}, {"left": {"recs": ["0"]}})
    planned = case.run(tmp_path / "1")
    ledger = ledger_of([Status.REJECTED], GONE, 1)
    assert merge(planned, ledger) == {}
    assert count(planned, ledger).left_audience == 1
    assert len(dead_letters(planned.path, planned.figures, ledger, planned.folder)) == 0
