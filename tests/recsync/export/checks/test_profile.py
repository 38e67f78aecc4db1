"""Checks of random tables against a plain reference, at every block size and in every order."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from check_runs import AT, run, table
from hypothesis import example, given, settings
from hypothesis import strategies as st

Row = tuple[str | None, str | None, str | None, str | None, str | None]

IDS = st.sampled_from(
    [
        "a",
        "b",
        "c,d",
        "é" * 9,
        "x" * 8,
        "x" * 9,
        "x" * 16,
        "x" * 17,
        "x\\y",
        "",
        'q"q',
        "n\nn",
        "z" * 257,
        None,
        "USER_ID",
    ]
)
TIMES = st.sampled_from(
    [str(AT), str(AT + 1), str(AT + 3599), str(AT + 3600), f"{AT}000", "0", "-5", "77", "soon", " 7", None]
)
EVENTS = st.sampled_from(
    ["buy", "view", "add, to cart", 'say "hi"', "", None, "back\\slash", "two\nlines", "EVENT_TYPE"]
)
VALUES = st.sampled_from(["1", "2.5", "-3e2", "", "NaN", "0x1", "1e39", None, "one"])
LENIENT = {"rules": {"timestamp_range": "warn"}, "max_quarantined_share": 1}


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Give tables in which most rows are good."""
    good: st.SearchStrategy[Row] = st.tuples(
        st.sampled_from(["a", "b", "c", "u,1", "zoë", "back\\slash"]),
        st.sampled_from(["x", "y", "ten chars.", "i" * 40]),
        st.integers(AT, AT + 3599).map(str),
        st.sampled_from(["buy", "view", "add, to cart", 'say "hi"', "two\nlines"]),
        st.sampled_from(["1", "2.5", "", None]),
    )
    anything: st.SearchStrategy[Row] = st.tuples(IDS, IDS, TIMES, EVENTS, VALUES)
    return draw(st.lists(st.one_of(good, good, good, anything), max_size=40))


def reason(row: Row) -> str | None:
    """Say which rule a row breaks first, value by value."""
    user, item, at, event, value = row
    if user is None or item is None or not at or not event:
        return "missing"
    ids = (user, item)
    if "" in ids:
        return "id_empty"
    if any(len(one) > 256 for one in ids):
        return "id_length"
    if any(re.search(r'["\x00-\x1f]', one) for one in ids):
        return "id_characters"
    if not re.fullmatch(r"-?\d+", at) or (value and not is_float(value)):
        return "type"
    if int(at) <= 0:
        return "timestamp_positive"
    if not 10**8 <= int(at) < 10**11:
        return "timestamp_unit"
    if not AT <= int(at) < AT + 3600:
        return "timestamp_range"
    return "keyword" if {*ids, event} & {"USER_ID", "EVENT_TYPE"} else None


def is_float(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and abs(float(text)) < 3.5e38
    except ValueError:
        return False


@settings(max_examples=150, deadline=None)
@given(tables(), st.integers(1, 400))
@example([("a", "x", str(AT), None, "1"), ("a", "x", str(AT), "", "1")], 1)
def test_rows_figures_and_quarantine_are_those_of_a_plain_reference(
    rows: list[Row], block_bytes: int
) -> None:
    with TemporaryDirectory() as folder:
        found = run(Path(folder), table(rows), block_bytes=block_bytes, checks=LENIENT)
        whole = run(Path(folder) / "whole", table(rows), checks=LENIENT)
    reasons = [reason(row) for row in rows]
    good = [row for row, why in zip(rows, reasons, strict=True) if why is None]
    assert found.rows == [[cell or "" for cell in row] for row in good]
    assert sorted((line["row"], line["rule"]) for line in found.quarantine) == [
        (number, why) for number, why in enumerate(reasons, 1) if why
    ]
    assert {tuple(line["values"].values()) for line in found.quarantine} == {
        row for row, why in zip(rows, reasons, strict=True) if why
    }
    document = found.report.to_json()
    users = Counter(row[0] for row in good)
    assert document["figures"]["users"] == len(users)
    assert document["figures"]["items"] == len({row[1] for row in good})
    assert document["figures"]["users_with_two_interactions"] == sum(n > 1 for n in users.values())
    same = {(u, i, t, e, float(v) if v else None) for u, i, t, e, v in good}
    assert document["figures"]["duplicate_rows"] == len(good) - len(same)
    events = Counter(row[3] for row in good)
    assert {one["event_type"]: one["rows"] for one in document["event_types"]} == events
    assert document["figures"]["oldest"] == min((int(row[2] or 0) for row in good), default=None)
    assert sum(bar["users"] for bar in document["history"]) == len(users)
    assert [column["nulls"] for column in document["columns"]][4] == sum(not row[4] for row in good)
    # Where the stream was cut is seen nowhere.
    assert found.exported == whole.exported
    assert found.checks.digest == whole.checks.digest
    assert document == whole.report.to_json()


@settings(max_examples=60, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_the_digest_knows_rows_but_not_their_order(rows: list[Row], shuffle: random.Random) -> None:
    mixed = rows.copy()
    shuffle.shuffle(mixed)
    with TemporaryDirectory() as folder:
        first = run(Path(folder) / "first", table(rows), checks=LENIENT)
        again = run(Path(folder) / "again", table(mixed), checks=LENIENT)
        more = run(Path(folder) / "more", table([*rows, ("a", "x", str(AT), "buy", "7")]), checks=LENIENT)
    assert first.checks.digest == again.checks.digest != more.checks.digest


def test_a_digest_sees_values_that_change_places(tmp_path: Path) -> None:
    rows = {
        name: run(tmp_path / name, f"{text}\n".encode()).checks.digest
        for name, text in {
            "plain": f"a,x,{AT},buy,1",
            "quoted": f'"a",x,"{AT}",buy,1.0',
            "swapped": f"x,a,{AT},buy,1",
            "joined": f"ax,,{AT},buy,1",
            "null": f"a,x,{AT},buy,",
            "zero": f"a,x,{AT},buy,0",
        }.items()
    }
    assert rows["plain"] == rows["quoted"]
    assert len(set(rows.values())) == 5
