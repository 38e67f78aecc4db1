"""Lists from a batch output, against a slow and obvious way of making them."""

from __future__ import annotations

import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from list_reference import NOW, Event, Item, Person, Reference, Row, World
from pydantic import ValidationError

from recsync.errors import FatalError
from recsync.program import Recommendations
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.build import ListsReport, build_lists
from recsync.recommend.lists.catalogue import read_catalogue
from recsync.recommend.lists.history import EVENTS
from recsync.recommend.lists.list_partition import LISTS
from recsync.warehouse.query_columns import Kind


def policy(**fields: Any) -> Recommendations:
    return Recommendations.model_validate(fields)


def sources(world: World, objects: int = 2) -> Iterator[tuple[str, io.BytesIO]]:
    """Write the output as some objects, one after another."""
    lines = [
        json.dumps(
            {"input": {"userId": user_id}, "output": {"recommendedItems": line}, "error": None}
            if isinstance(line, list)
            else {"input": {"userId": user_id}, "output": {"recommendedItems": []}, "error": line}
        ).encode()
        for user_id, line in world.lines
    ]
    cut = len(lines) // objects
    for number, part in enumerate([lines[:cut], lines[cut:]]):
        yield f"{number}.out", io.BytesIO(b"\n".join(part))


def build(
    world: World, chosen: Recommendations, folder: Path, *, per_partition: int = 100
) -> tuple[dict[str, Row], ListsReport, pa.Table]:
    people = [
        {"user_id": p.user_id, "external_id": p.external_id, "priority": None, "segment": p.segment}
        for p in world.people
    ]
    pq.write_table(pa.Table.from_pylist(people, schema=AUDIENCE), folder / "audience.parquet")
    events = [{"user_id": e.user_id, "item_id": e.item_id, "timestamp": e.timestamp} for e in world.events]
    pq.write_table(pa.Table.from_pylist(events, schema=EVENTS), folder / "events.parquet")
    held = list(world.items.values())
    rows = pa.RecordBatch.from_pydict({
        "item_id": pa.array(world.items, pa.string()),
        "in_stock": pa.array([{True: "t", False: "f", None: None}[item.in_stock] for item in held], pa.string()),
        "department": pa.array([item.category for item in held], pa.string()),
    })  # fmt: skip
    kinds = {"in_stock": Kind.BOOLEAN, "department": Kind.TEXT}
    catalogue = read_catalogue([rows], kinds, {"department": "string"}, chosen.rules, name="catalogue.sql")
    (folder / "work").mkdir()
    report = build_lists(
        sources(world),
        folder / "audience.parquet",
        catalogue,
        chosen,
        folder / "lists.parquet",
        folder / "work",
        moment=NOW,
        events=folder / "events.parquet",
        people_per_partition=per_partition,
    )
    table = pq.read_table(folder / "lists.parquet")
    made = {
        r["external_id"]: (r["item_ids"], r["tier"], r["reason"], r["unanswered"]) for r in table.to_pylist()
    }
    assert len(made) == table.num_rows
    return made, report, table


ITEM_IDS = [f"p{n}" for n in range(9)]
USER_IDS = [f"u{n}" for n in range(7)]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    users = draw(st.lists(st.sampled_from(USER_IDS), min_size=1, max_size=8))
    segments = st.sampled_from([None, "red", "blue"])
    item = st.builds(Item, st.booleans() | st.just(True), st.sampled_from([None, "a", "b", "a|b", "b|c"]))
    held = draw(st.lists(st.sampled_from(ITEM_IDS), min_size=1, unique=True))
    answer = st.lists(st.sampled_from([*ITEM_IDS, "unknown"]), max_size=9)
    answers = draw(st.dictionaries(st.sampled_from([*USER_IDS, "stranger"]), answer))
    # The same answer may stand there several times, and an error before or behind it.
    again = (
        st.sampled_from(sorted(answers)).map(lambda user: (user, answers[user])) if answers else st.nothing()
    )
    failed = st.tuples(st.sampled_from([*USER_IDS, "stranger"]), st.sampled_from(["failed", "broken"]))
    lines = draw(st.permutations([*answers.items(), *draw(st.lists(again | failed, max_size=6))]))
    event = st.builds(
        Event,
        st.sampled_from([*USER_IDS, "other"]),
        st.sampled_from(ITEM_IDS),
        st.integers(0, 60).map(lambda d: d + 0.5),
    )
    return World(
        [Person(user, f"b{number}", draw(segments)) for number, user in enumerate(users)],
        {item_id: draw(item) for item_id in held},
        lines,
        draw(st.lists(event, max_size=25)),
    )


TIERS = st.permutations(["similar", "popular_in_segment", "popular"])
POLICIES = st.builds(
    lambda length, shorter, stock, days, cap, tiers, kept, fallback_days: policy(
        length=length,
        min_length=max(1, length - shorter) if shorter is not None else None,
        rules={
            "in_stock": "in_stock" if stock else None,
            "not_bought_in_days": days,
            "max_per_category": cap,
            "category": "department" if cap else None,
        },
        fallback=tiers[:kept],
        fallback_days=fallback_days,
    ),
    st.integers(1, 5),
    st.none() | st.integers(0, 4),
    st.booleans(),
    st.none() | st.sampled_from([7, 30]),
    st.none() | st.integers(1, 2),
    TIERS,
    st.integers(0, 3),
    st.sampled_from([10, 45]),
)


@settings(deadline=None, max_examples=60)
@given(worlds(), POLICIES, st.sampled_from([1, 3, 100]))
def test_lists_are_those_of_the_reference(world: World, chosen: Recommendations, per_partition: int) -> None:
    if "popular_in_segment" in chosen.fallback and not any(p.segment for p in world.people):
        world.people[0] = Person(world.people[0].user_id, world.people[0].external_id, "red")
    reference = Reference(world, chosen)
    expected = reference.rows()
    with tempfile.TemporaryDirectory() as folder:
        made, report, _ = build(world, chosen, Path(folder), per_partition=per_partition)
    assert made == expected
    assert report.dropped == reference.dropped
    assert (report.users, report.lists) == (len(world.people), sum(bool(row[0]) for row in expected.values()))
    assert report.suppressed.total() == report.users - report.lists
    assert report.tiers.total() == report.lists
    users = {person.user_id for person in world.people}
    lines = [user for user, _ in world.lines]
    assert report.strangers == sum(user not in users for user in lines)
    answered = [user for user, line in world.lines if isinstance(line, list) and user in users]
    assert report.repeated == len(answered) - len(set(answered))
    assert report.matched == sum(person.user_id in lines for person in world.people)
    assert (report.questions, report.answered) == (
        len(world.people),
        sum(person.user_id in answered for person in world.people),
    )
    assert report.unanswered == Counter(row[3] for row in expected.values() if row[3])


def test_what_is_published_has_the_agreed_columns_and_carries_the_audience_over(tmp_path: Path) -> None:
    world = World([Person("u", "b", "red"), Person("v", "c")], {"p": Item()}, [("u", ["p"])])
    _, report, table = build(world, policy(length=1), tmp_path)
    assert table.schema.equals(LISTS)
    assert table.column("segment").to_pylist() == ["red", None]
    assert report.suppressed == {"the batch output has no line for this person": 1}
    assert report.tiers == {"personal": 1}


def test_two_braze_users_may_share_one_user_but_not_one_braze_id(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    world = World([Person("u", "b"), Person("u", "c")], {"p": Item()}, [("u", ["p"])])
    made, *_ = build(world, policy(length=1), tmp_path / "shared")
    assert made["b"] == made["c"] == (["p"], "personal", "", "")
    people = [Person(f"u{n}", f"b{n}") for n in range(50)] + [Person("x", "b31"), Person("y", "b7")]
    with pytest.raises(FatalError, match=r"audience\.sql returns 2 Braze user\(s\) more than once"):
        build(World(people, {"p": Item()}, []), policy(), tmp_path)


def test_segments_are_needed_for_popular_in_segment(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"audience\.sql returns no segment"):
        build(World([Person("u", "b")], {"p": Item()}, []), policy(fallback=["popular_in_segment"]), tmp_path)


def test_a_long_list_does_not_widen_the_others(tmp_path: Path) -> None:
    everything = [f"p{n:05}" for n in range(20_000)]
    world = World(
        [Person(f"u{n:03}", f"b{n}") for n in range(400)],
        {item_id: Item() for item_id in everything},
        [("u007", everything[::-1]), *((f"u{n:03}", everything[n : n + 3]) for n in range(400) if n != 7)],
    )
    made, *_ = build(world, policy(length=3), tmp_path, per_partition=1000)
    assert made["b7"][0] == everything[:-4:-1]
    assert made["b8"][0] == everything[8:11]


def test_errors_are_counted_and_their_texts_logged_without_ids(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    people = [Person(f"u{n}", f"b{n}") for n in range(150)]
    world = World(people, {"p": Item()}, [(p.user_id, f"failed for {p.user_id}") for p in people])
    _, report, _ = build(world, policy(), tmp_path)
    assert report.suppressed == report.unanswered == {"the batch output has an error for this person": 150}
    assert "at least 75 lines have the error: failed for [withheld]" in caplog.text


@pytest.mark.parametrize("per_partition", [1, 100])
def test_two_different_lists_of_one_person_are_an_error(tmp_path: Path, per_partition: int) -> None:
    people = [Person(f"u{n}", f"b{n}") for n in range(9)]
    items = {item_id: Item() for item_id in ITEM_IDS}
    lines: list[tuple[str, list[str] | str]] = [(p.user_id, ITEM_IDS[:3]) for p in people]
    lines += [("u1", ["p1", "p0", "p2"]), ("u4", ITEM_IDS[:2]), ("u4", ITEM_IDS[:4]), ("u5", ITEM_IDS[:3])]
    with pytest.raises(FatalError, match=r"^2 people have two different lists in the batch output") as raised:
        build(
            World(people, items, [*lines, ("stranger", ["p1"]), ("stranger", [])]),
            policy(),
            tmp_path,
            per_partition=per_partition,
        )
    assert "u1" not in str(raised.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"length": 3, "min_length": 4}, r"min_length \(4\) must not be above length \(3\)"),
        ({"rules": {"max_per_category": 2}}, "belong together"),
        ({"rules": {"category": "aisle"}}, "belong together"),
        ({"fallback": ["popular", "popular"]}, "names a tier twice"),
    ],
)
def test_policies_that_cannot_be_met_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        policy(**fields)


def test_only_what_is_asked_for_is_read_from_the_history() -> None:
    assert policy().history_days == 0
    assert policy(fallback=["popular"]).history_days == 30
    assert policy(rules={"not_bought_in_days": 90}, fallback=["popular"]).history_days == 90
