"""The table of people without a list; tests/e2e/test_explain.py has it after a whole run."""

from __future__ import annotations

import csv
import io

import pytest
from kit import Kit

from recsync.errors import FatalError
from recsync.explain.without_list import NOT_PUSHED, _cells, csv_lines


def table(kit: Kit) -> dict[str, str]:
    rows = csv.DictReader(io.StringIO(b"".join(csv_lines(kit.name)).decode()))
    return {row["external_id"]: row["why"] for row in rows}


def test_who_has_no_list_before_and_after_a_push(kit: Kit) -> None:
    with pytest.raises(FatalError, match="has published no recommendations"):
        next(csv_lines(kit.name))
    lists = kit.lists(5)
    people = list(lists)
    kit.write_program(delivery={"max_users_per_run": 3})
    kit.publish("1", {**lists, people[0]: []})
    none = {people[0]: "nothing fit to mail"}
    assert table(kit) == none | dict.fromkeys(people[1:], NOT_PUSHED)
    kit.push()
    after = table(kit)
    assert after.pop(people[0]) == "nothing fit to mail"
    assert list(after.values()) == ["deferred: over the cap of the program file"]
    # Whoever keeps an earlier list has one.
    kit.push(allow_removals=True)
    kit.publish("2", {who: [] for who in people}, unanswered=dict.fromkeys(people, "no line"))
    assert table(kit).keys() == {people[0]}


def test_no_cell_is_a_formula() -> None:
    assert _cells(("=1", "+4915112345678", "-x", None, "@a"), "phone") == [
        "'=1",
        "+4915112345678",
        "'-x",
        "",
        "'@a",
    ]
    assert _cells(("u", "+1", "", "", ""), "external_id")[1] == "'+1"
