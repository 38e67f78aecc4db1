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
from list_kit import bought, with_ids
from list_reference import NOW, Event, Item, Person, Reference, Row, World

from recsync.errors import FatalError
from recsync.program import Recommendations
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.build import build_lists
from recsync.recommend.lists.catalog import ItemCatalog, positions_in, read_catalog
from recsync.recommend.lists.history import PAST_LISTS
from recsync.recommend.lists.left_out import names_in
from recsync.recommend.lists.list_partition import LISTS, ListsReport
from recsync.warehouse.column_types import Kind


def policy(**fields: Any) -> Recommendations:
    """Make a policy; positions above its length are left out."""
    if promoted := fields.get("rules", {}).get("promoted"):
        positions = [position for position in promoted["positions"] if position <= fields["length"]]
        fields["rules"]["promoted"] = {**promoted, "positions": positions}
    return Recommendations.model_validate(fields)


def output(items: list[str], world: World) -> dict[str, Any]:
    if not world.scores:
        return {"recommendedItems": items}
    return {"recommendedItems": items, "scores": [world.scores.get(item) for item in items]}


def sources(world: World, objects: int = 2) -> Iterator[tuple[str, io.BytesIO]]:
    """Write the output as some objects, one after another."""
    lines = [
        json.dumps(
            {"input": {"userId": user_id}, "output": output(line, world), "error": None}
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
) -> tuple[dict[str, Row], ListsReport, list[dict[str, Any]]]:
    people = [
        {"user_id": p.user_id, "external_id": p.external_id, "priority": None, "segment": p.segment}
        for p in world.people
    ]
    pq.write_table(pa.Table.from_pylist(people, schema=AUDIENCE), folder / "audience.parquet")
    held = list(world.items.values())
    columns = pa.RecordBatch.from_pydict({
        "item_id": pa.array(world.items, pa.string()),
        "in_stock": pa.array([{True: "t", False: "f", None: None}[item.in_stock] for item in held], pa.string()),
        "department": pa.array([item.category for item in held], pa.string()),
        "brand": pa.array([item.brand for item in held], pa.string()),
        "promoted": pa.array(["t" if item.promoted else "f" for item in held], pa.string()),
        "boosted": pa.array(["1" if item.boosted else None for item in held], pa.string()),
        "created": pa.array([item.created for item in held], pa.string()),
    })  # fmt: skip
    kinds = {
        **dict.fromkeys(["in_stock", "promoted", "boosted"], Kind.BOOLEAN),
        **dict.fromkeys(["department", "brand"], Kind.TEXT),
        "created": Kind.MOMENT,
    }
    catalog = read_catalog(
        [columns], kinds, {"department": "string"}, chosen.rules, moment=NOW, name="catalogue.sql"
    )
    (folder / "work").mkdir()
    events = [{"user_id": e.user_id, "item_id": e.item_id, "timestamp": e.timestamp} for e in world.events]
    position = {item_id: number for number, item_id in enumerate(catalog.item_ids.to_pylist())}
    past_lists = {}
    for rule, lists in world.past.items():
        # Two runs, of which one may be empty.
        past_lists[rule] = [folder / f"{rule}-{number}" for number in range(2)]
        for path, part in zip(past_lists[rule], (lists[::2], lists[1::2]), strict=True):
            rows = [{"user_id": who, "items": [position.get(i, -1) for i in items]} for who, items in part]
            pq.write_table(pa.Table.from_pylist(rows, schema=PAST_LISTS), path)
    report = build_lists(
        sources(world),
        folder / "audience.parquet",
        catalog,
        chosen,
        folder / "lists.parquet",
        folder / "work",
        moment=NOW,
        purchases=bought(events, catalog, folder / "purchases.parquet"),
        past_lists=past_lists,
        with_scores=bool(world.scores),
        people_per_partition=per_partition,
        left_out=folder / "left_out.parquet",
    )
    table = pq.read_table(folder / "lists.parquet")
    assert table.schema.equals(LISTS)
    assert table.schema.metadata == {b"catalog": positions_in(catalog.table)["catalog"].encode()}
    rows = with_ids(table, catalog)
    for row, recorded in zip(rows, left_out(folder / "left_out.parquet", catalog), strict=True):
        assert row["external_id"] == recorded["external_id"]
        row |= recorded
    made = {r["external_id"]: (r["items"], r["tier"], r["reason"], r["unanswered"]) for r in rows}
    assert len(made) == table.num_rows
    return made, report, rows


def left_out(path: Path, catalog: ItemCatalog) -> list[dict[str, Any]]:
    """Read what was recorded, with ids and names of rules."""
    names, ids = names_in(pq.read_metadata(path).metadata), [*catalog.item_ids.to_pylist(), ""]
    return [
        {
            "external_id": row["external_id"],
            "left_out": Counter(
                (names[rule], ids[item]) for rule, item in zip(row["rules"], row["items"], strict=True)
            ),
            "all_rules": {name for number, name in enumerate(names) if row["all_rules"] >> number & 1},
            "seeds": [ids[item] for item in row["seeds"]],
        }
        for row in pq.read_table(path).to_pylist()
    ]


ITEM_IDS = [f"p{n}" for n in range(9)]
USER_IDS = [f"u{n}" for n in range(7)]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    users = draw(st.lists(st.sampled_from(USER_IDS), min_size=1, max_size=8))
    segments = st.sampled_from([None, "red", "blue"])
    item = st.builds(
        Item,
        st.booleans() | st.just(True),
        st.sampled_from([None, "a", "b", "a|b", "b|c"]),
        st.sampled_from([None, "a", "m"]),
        st.booleans(),
        st.booleans(),
        st.sampled_from([None, 1, 3, 8]),
    )
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
    former = st.tuples(
        st.sampled_from([*USER_IDS, "stranger"]), st.lists(st.sampled_from([*ITEM_IDS, "gone"]), max_size=3)
    )
    return World(
        [Person(user, f"b{number}", draw(segments)) for number, user in enumerate(users)],
        {item_id: draw(item) for item_id in held},
        lines,
        draw(st.lists(event, max_size=25)),
        draw(
            st.dictionaries(st.sampled_from(["not_in", "not_mailed_in_days"]), st.lists(former, max_size=6))
        ),
        draw(
            st.dictionaries(st.sampled_from([*ITEM_IDS, "unknown"]), st.integers(1, 9).map(lambda n: n / 8))
        ),
    )


SHARES = st.sampled_from([0, 0.2, 0.34, 0.5])
ORDERED = st.fixed_dictionaries(
    {},
    optional={
        "boost": st.sampled_from([0.4, 3]).map(lambda factor: {"column": "boosted", "factor": factor}),
        "promoted": st.builds(
            lambda share, positions: {"column": "promoted", "share": share, "positions": positions},
            SHARES | st.just(0.5),
            st.sampled_from([[], [1], [2, 1], [1, 3, 2]]),
        ),
        "new_items_share": SHARES.map(lambda share: {"days": 3, "column": "created", "share": share}),
        "diversity": st.builds(
            lambda by, strength: {"by": by, "strength": strength},
            st.sampled_from(["brand", "department"]),
            st.sampled_from([0, 0.3, 0.5, 1]),
        ),
    },
)
TIERS = st.permutations(["similar", "popular_in_segment", "popular"])
POLICIES = st.builds(
    lambda length, shorter, stock, days, cap, brands, distinct, min_score, ordered, tiers, kept, fallback_days: (
        policy(
            length=length,
            min_length=max(1, length - shorter) if shorter is not None else None,
            rules={
                "in_stock": "in_stock" if stock else None,
                "not_bought_in_days": days,
                "max_per_category": cap,
                "category": "department" if cap else None,
                "max_per": brands,
                "distinct": [c for c in distinct if c not in brands and not (cap and c == "department")],
                "min_score": min_score,
                **ordered,
                # What a rule leaves out comes with the world; without lists it leaves out nothing.
                "not_in": ["other"],
                "not_mailed_in_days": 7,
            },
            fallback=tiers[:kept],
            fallback_days=fallback_days,
        )
    ),
    st.integers(1, 5),
    st.none() | st.integers(0, 4),
    st.booleans(),
    st.none() | st.sampled_from([7, 30]),
    st.none() | st.integers(1, 2),
    st.sampled_from([{}, {}, {"brand": 1}, {"brand": 2}]),
    st.sampled_from([[], [], ["brand"], ["department"], ["department", "brand"]]),
    st.sampled_from([None, 0.5]),
    st.just({}) | ORDERED,
    TIERS,
    st.integers(0, 3),
    st.sampled_from([10, 45]),
)


@settings(deadline=None, max_examples=25)
@given(worlds(), POLICIES, st.sampled_from([1, 3, 100]))
def test_lists_are_those_of_the_reference(world: World, chosen: Recommendations, per_partition: int) -> None:
    if "popular_in_segment" in chosen.fallback and not any(p.segment for p in world.people):
        world.people[0] = Person(world.people[0].user_id, world.people[0].external_id, "red")
    reference = Reference(world, chosen)
    expected = reference.rows()
    with tempfile.TemporaryDirectory() as folder:
        made, report, rows = build(world, chosen, Path(folder), per_partition=per_partition)
    assert made == expected
    for row in rows:
        user = next(p.user_id for p in world.people if p.external_id == row["external_id"])
        line = reference.lines.get(user)
        answer = line if isinstance(line, list) else []
        of_item = [world.scores.get(item) if item in answer else None for item in row["items"]]
        if row["tier"] == "personal" or not world.scores:
            assert row["scores"] == (of_item if world.scores else None)
        else:
            # What the fallback added stands behind, without a score.
            own = [score for score in row["scores"] or [] if score is not None]
            assert own == [score for score in of_item if score is not None][: len(own)]
        who = row["external_id"]
        assert row["put_by"] == [reference.put_by[who][item] for item in row["items"]]
        assert row["left_out"] == reference.left_out[who]
        assert row["all_rules"] == reference.costs[who]
        assert row["seeds"] == reference.seeds[who]
    assert report.dropped == reference.dropped
    assert report.short == reference.short
    assert report.missed == reference.missed
    assert (report.users, report.lists) == (len(world.people), sum(bool(row[0]) for row in expected.values()))
    assert report.suppressed.total() == report.users - report.lists
    assert report.tiers.total() == report.lists
    users = {person.user_id for person in world.people}
    lines = [user for user, _ in world.lines]
    assert report.unknown_users == sum(user not in users for user in lines)
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
    _, report, rows = build(world, policy(length=1), tmp_path)
    assert [row["segment"] for row in rows] == ["red", None]
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


def test_scores_are_kept_for_the_answer_and_not_for_the_fallback(tmp_path: Path) -> None:
    items = {item_id: Item() for item_id in ["p1", "p2", "p3", "p4"]}
    lines: list[tuple[str, list[str] | str]] = [("u", ["p1", "p2", "p3"]), ("v", ["p2", "p1"])]
    scores = {"p1": 0.5, "p2": 0.25, "p3": 0.125}
    events = [Event("x", "p4", 1)]
    world = World([Person("u", "b"), Person("v", "c"), Person("w", "d")], items, lines, events, scores=scores)
    chosen = policy(length=2, min_length=2, rules={"min_score": 0.25}, fallback=["popular"])
    _, report, rows = build(world, chosen, tmp_path)
    lists = {row["external_id"]: (row["items"], row["scores"]) for row in rows}
    assert lists == {"b": (["p1", "p2"], [0.5, 0.25]), "c": (["p2", "p1"], [0.25, 0.5]), "d": ([], [])}
    assert report.dropped == {"score below min_score": 1}
    (tmp_path / "again").mkdir()
    chosen = policy(length=2, min_length=2, rules={"min_score": 0.5}, fallback=["popular"])
    _, _, rows = build(world, chosen, tmp_path / "again")
    lists = {row["external_id"]: (row["items"], row["scores"]) for row in rows}
    assert lists == {"b": (["p1", "p4"], [0.5, None]), "c": (["p1", "p4"], [0.5, None]), "d": ([], [])}


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
