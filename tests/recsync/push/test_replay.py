"""Reading dead letters that a person edited, and planning to send them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from delivery_reference import ODD, Shown, state_table
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import Kit

from braze_client.payloads import MAX_VALUE_BYTES, dumps
from recsync.errors import FatalError
from recsync.push.plan_format import PARTS, PlanFigures
from recsync.push.replay import Letter, parse_letters, plan_replay
from recsync.push.store import Deliveries


def letter(external_id: str = "a", **attributes: Any) -> dict[str, Any]:
    return {"external_id": external_id, **(attributes or {"recs": ["1"]})}


def line(payload: Any, **more: Any) -> bytes:
    return json.dumps({"object": payload, **more}, ensure_ascii=False).encode() + b"\n"


def plan(
    folder: Path,
    letters: list[Letter],
    shown: Shown | None = None,
    *,
    items: Any = None,
    delivery: str = "d-2",
) -> tuple[PlanFigures, dict[str, dict[str, Any]], dict[str, str]]:
    state = None
    if shown:
        state = folder / "state.parquet"
        pq.write_table(state_table(shown, delivery), state)
    figures = plan_replay(letters, "d-1", state, items, folder / "plan", folder)
    tables = {part: pq.read_table(folder / "plan" / "writes" / f"{part}.parquet") for part in PARTS}
    assert figures.rows == {part: len(table) for part, table in tables.items()}
    writes = {row["external_id"]: {**row, "part": p} for p, t in tables.items() for row in t.to_pylist()}
    settled = pq.read_table(folder / "plan" / "settled.parquet").to_pylist()
    assert figures.audience == sum(row["in_audience"] for row in writes.values()) + len(settled)
    return figures, writes, {row["external_id"]: row["reason"] for row in settled}


VALUES = st.one_of(st.none(), st.text(max_size=4), st.lists(st.text(max_size=4), max_size=3))
PAYLOADS = st.dictionaries(
    st.one_of(st.sampled_from(ODD), st.text(min_size=1, max_size=5)),
    st.dictionaries(st.sampled_from(["recs", "tier", "old"]), VALUES, min_size=1),
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(PAYLOADS, st.data())
def test_letters_are_read_as_they_were_written(
    payloads: dict[str, dict[str, Any]], data: st.DataObject
) -> None:
    body, expected = b"", {}
    for who, attributes in payloads.items():
        payload = letter(who, **attributes)
        as_text, inside = data.draw(st.booleans()), data.draw(st.booleans())
        body += data.draw(st.sampled_from([b"", b"\n", b"  \n", b"\r\n"]))
        body += line(dumps(payload).decode() if as_text else payload, in_audience=inside)
        expected[who] = (payload, inside)
    found = {found.external_id: (found.payload, found.in_audience) for found in parse_letters(body, name="x")}
    assert found == expected


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "line 1"),
        (b"[]", "needs an object"),
        (b"null", "needs an object"),
        (b"\xff", "line 1"),
        (line({"recs": ["1"]}), "needs an object with external_id"),
        (line({"external_id": 7, "recs": []}), "needs an object with external_id"),
        (line("{"), "line 1"),
        (line(letter(recs=7)), "recs must be a list, a text or null, not int"),
        (line(letter(recs={"add": ["1"]})), "not dict"),
        (line({"external_id": "a", "_update_existing_only": True}), "no attribute"),
        (line(letter()) * 2, "line 2: its external_id is there twice"),
        (line(letter(recs=[float("nan")])), "line 1"),
        (b'{"object":{"external_id":"a","recs":["\\ud800"]}}', "line 1"),
        (b'{"object":{"external_id":"\\ud800","recs":["1"]}}', "line 1"),
        (line(letter(recs=["x" * MAX_VALUE_BYTES])), "over"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_sent(body: bytes, problem: str) -> None:
    with pytest.raises(FatalError, match=r"(?s)Nothing was sent.*letters") as raised:
        parse_letters(body, name="letters")
    assert problem in str(raised.value)


def test_at_most_ten_problems_are_shown() -> None:
    with pytest.raises(FatalError) as raised:
        parse_letters(b"{\n" * 50, name="letters")
    assert str(raised.value).count("letters, line") == 10


def test_a_letter_of_somebody_who_is_held_out_by_now_is_not_sent_unless_it_removes(tmp_path: Path) -> None:
    letters = [Letter(who, letter(who), in_audience=True) for who in ("a", "b")]
    letters.append(Letter("c", letter("c", recs=None), in_audience=True))
    why = "held out by experiment autumn"
    figures = plan_replay(
        letters, "d-1", None, None, tmp_path / "plan", tmp_path, held_out={"a": why, "c": why}
    )
    assert (figures.settled, figures.reasons, figures.audience) == ({"held_out": 1}, {why: 1}, 3)
    assert (figures.rows["rest"], figures.rows["removals"]) == (1, 1)


def test_an_empty_file_plans_nothing(tmp_path: Path) -> None:
    figures, writes, settled = plan(tmp_path, parse_letters(b"\n", name="x"))
    assert (figures.total_rows, figures.audience, writes, settled) == (0, 0, {}, {})


def test_whoever_a_newer_delivery_wrote_is_left_alone(tmp_path: Path) -> None:
    letters = parse_letters(line(letter("a")) + line(letter("b")), name="x")
    _, writes, settled = plan(tmp_path, letters, {"a": {"recs": ["2"]}})
    assert writes.keys() == {"b"}
    assert settled == {"a": "written by the newer delivery d-2"}


@pytest.mark.parametrize("delivery", ["d-0", "d-1"])
def test_older_deliveries_are_no_obstacle(tmp_path: Path, delivery: str) -> None:
    letters = parse_letters(line(letter("a")), name="x")
    _, writes, settled = plan(tmp_path, letters, {"a": {"recs": ["2"]}}, delivery=delivery)
    assert (writes.keys(), settled) == ({"a"}, {})


def test_a_list_must_not_point_at_an_item_that_is_gone(tmp_path: Path) -> None:
    letters = parse_letters(line(letter("a", recs=["1", "9"])) + line(letter("b")), name="x")
    figures, writes, settled = plan(tmp_path, letters, items={"1": "f"})
    assert writes.keys() == {"b"}
    assert settled == {"a": "item 9 has left the catalogue"}
    assert figures.settled == {"suppressed": 1}


def test_objects_from_before_a_switch_to_ids_are_left_out(tmp_path: Path) -> None:
    letters = parse_letters(line(letter("a", recs=[{"id": "1", "name": "x"}])), name="x")
    _, writes, settled = plan(tmp_path, letters, items={"1": "f"})
    assert (writes, settled.keys()) == ({}, {"a"})


def test_scores_are_sent_again_beside_the_list(tmp_path: Path) -> None:
    letters = parse_letters(line(letter("a", recs=["1"], scores=[0.5, -2])), name="x")
    _, writes, _ = plan(tmp_path, letters, items={"1": "f"})
    assert writes.keys() == {"a"}


def test_removals_and_strangers_keep_their_places(tmp_path: Path) -> None:
    body = line(letter("gone", recs=None), in_audience=False) + line(letter("less", recs=["1"], old=None))
    figures, writes, _ = plan(tmp_path, parse_letters(body, name="x"))
    assert {who: row["part"] for who, row in writes.items()} == {"gone": "removals", "less": "rest"}
    assert (figures.audience, figures.writes, figures.removals, figures.left_audience) == (1, 1, 0, 1)


def test_dead_letters_are_replayed_after_repair(kit: Kit) -> None:
    from recsync.push.deliver import deliver
    from recsync.push.replay import replay

    bad = kit.name + "x" * 990
    first = kit.push(kit.publish("1", {**kit.lists(20), bad: ["p-1", "p-2", "p-3", "p-4", "p-5"]}))
    deliveries = kit.context.store(Deliveries)
    letter = json.loads(deliveries.dead_letters(first.delivery) or b"")
    repaired = {**json.loads(letter["object"]), "external_id": f"{kit.name}-mended"}
    key = f"{kit.name}/deliveries/{first.delivery}/dead_letters.jsonl"
    kit.context.bucket.put(key, json.dumps({**letter, "object": repaired}).encode() + b"\n")
    manifest = replay(kit.name, first.delivery, dag_run="replay")
    report = deliver(kit.name, manifest.delivery)
    assert report.outcomes["sent"] == report.audience == 1
    assert kit.in_braze()[f"{kit.name}-mended"] == ["p-1", "p-2", "p-3", "p-4", "p-5"]


def test_a_replay_leaves_people_alone_whom_a_newer_delivery_wrote(kit: Kit) -> None:
    from recsync.push.deliver import deliver
    from recsync.push.replay import replay

    bad = kit.name + "x" * 990
    first = kit.push(kit.publish("1", {**kit.lists(5), bad: ["p-1", "p-2", "p-3", "p-4", "p-5"]}))
    person = next(iter(kit.lists(1)))
    kit.push(kit.publish("2", kit.lists(5, shift=2)), dag_run="second")
    letter = {"object": {"external_id": person, "recs": ["p-1"]}, "in_audience": True}
    kit.context.bucket.put(
        f"{kit.name}/deliveries/{first.delivery}/dead_letters.jsonl", json.dumps(letter).encode()
    )
    report = deliver(kit.name, replay(kit.name, first.delivery, dag_run="replay").delivery)
    assert report.outcomes["suppressed"] == 1
    assert kit.in_braze() == kit.lists(5, shift=2)


def test_a_broken_dead_letter_is_named(kit: Kit) -> None:
    from recsync.push.replay import replay

    first = kit.push(kit.publish("1", kit.lists(5)))
    lines = b'{"object": {"external_id": "a", "recs": 3}}\nnot json\n{"object": {"recs": []}}\n'
    kit.context.bucket.put(f"{kit.name}/deliveries/{first.delivery}/dead_letters.jsonl", lines)
    with pytest.raises(FatalError, match=r"line 1: recs must be.*\n.*line 2.*\n.*line 3: needs an object"):
        replay(kit.name, first.delivery, dag_run="replay")
