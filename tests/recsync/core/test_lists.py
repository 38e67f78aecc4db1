"""Lists from a batch output, against a slow and obvious way of making them."""

from __future__ import annotations

import io
import json
import tempfile
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

from recsync.core.lists.audience import AUDIENCE
from recsync.core.lists.build import ListsReport, build_lists
from recsync.core.lists.catalogue import read_catalogue
from recsync.core.lists.history import EVENTS
from recsync.core.lists.list_partition import LISTS
from recsync.core.program import Recommendations
from recsync.errors import FatalError


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
    rows = [(item_id, item.in_stock, item.category) for item_id, item in world.items.items()]
    columns = ["item_id", "in_stock", "department"]
    catalogue = read_catalogue(rows, columns, ["department"], chosen.rules, name="catalogue.sql")
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
    made = {r["external_id"]: (r["item_ids"], r["tier"], r["reason"]) for r in table.to_pylist()}
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
    line = st.lists(st.sampled_from([*ITEM_IDS, "unknown"]), max_size=9) | st.sampled_from(
        ["failed", "broken"]
    )
    event = st.builds(
        Event,
        st.sampled_from([*USER_IDS, "other"]),
        st.sampled_from(ITEM_IDS),
        st.integers(0, 60).map(lambda d: d + 0.5),
    )
    return World(
        [Person(user, f"b{number}", draw(segments)) for number, user in enumerate(users)],
        {item_id: draw(item) for item_id in held},
        draw(st.lists(st.tuples(st.sampled_from([*USER_IDS, "stranger"]), line), max_size=9)),
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
    assert report.repeated == sum(user in users for user in lines) - len(users & set(lines))
    assert report.matched == sum(person.user_id in lines for person in world.people)


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
    assert made["b"] == made["c"] == (["p"], "personal", "")
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


def test_very_many_errors_are_told_together(tmp_path: Path) -> None:
    people = [Person(f"u{n}", f"b{n}") for n in range(150)]
    world = World(people, {"p": Item()}, [(p.user_id, f"failed for {p.user_id}") for p in people])
    _, report, _ = build(world, policy(), tmp_path)
    assert report.suppressed.total() == 150
    assert len(report.suppressed) == 101
    assert report.suppressed["Amazon Personalize: other errors, see the batch output"] == 50


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
