import json
from dataclasses import replace

import pytest
from benchmarks.contenders import LISTS, PLAN, Contender
from benchmarks.data import (
    BOUGHT_DAYS,
    LENGTH,
    PlanData,
    lists_data,
    plan_data,
    purchases,
    right_list,
    user_id,
)
from benchmarks.job import digested
from benchmarks.planning import lists, plan
from benchmarks.settings import Settings

USERS = 3_000
SETTINGS = replace(Settings.quick(USERS), repeats=1)


@pytest.fixture(scope="module")
def data() -> PlanData:
    return plan_data(USERS)


def lists_of(path) -> dict[str, list[str]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["input"]["userId"]: line["output"]["recommendedItems"] for line in lines}


def test_the_expected_counts_are_what_the_files_hold(data):
    first, second = lists_of(data.first), lists_of(data.output)
    both = first.keys() & second.keys()
    changed = sum(first[user] != second[user] for user in both)
    assert data.expected.changed == changed > 0
    assert data.expected.unchanged == len(both) - changed
    assert data.expected.new == len(second.keys() - first.keys()) > 0
    assert data.expected.gone == len(first.keys() - second.keys()) > 0
    assert all(len(set(items)) == 10 for items in second.values())


@pytest.mark.long(reason="make bench checks its contenders, too")
def test_every_contender_finds_the_truth(data):
    _, markdown = plan(SETTINGS)

    assert_right(markdown, PLAN)


@pytest.mark.long(reason="make bench checks its contenders, too")
def test_every_contender_builds_the_right_lists():
    _, markdown = lists(SETTINGS)

    assert_right(markdown, LISTS)


def test_every_rule_drops_items():
    data = lists_data(USERS)
    offered, right = lists_of(data.output), dict(map(right_list, range(USERS)))
    dropped = {user: set(items) - set(right[user]) for user, items in offered.items()}

    bought = {f"item-{item:05d}" for item, days in purchases(0) if days <= BOUGHT_DAYS}
    assert len(bought) == 2
    assert bought <= dropped[user_id(0)]
    # The limit per brand leaves some users fewer than ten of their candidates.
    assert LENGTH * USERS * 0.9 < data.expected.items < LENGTH * USERS


def test_a_digest_tells_lists_of_another_order_apart():
    built = {"ann": ["tea", "salt"], "bob": ["salt"]}

    assert digested(built.items()) == digested(reversed(built.items()))
    assert digested(built.items()) != digested({**built, "ann": ["salt", "tea"]}.items())
    assert digested(built.items()) != digested({"ann": ["salt"], "bob": ["tea", "salt"]}.items())


def assert_right(markdown: str, contenders: list[Contender]) -> None:
    rows = markdown.splitlines()[2:]
    assert [row.rstrip(" |").rpartition("| ")[2] for row in rows] == [
        "all read" if contender.role == "floor" else "right" for contender in contenders
    ]
