import json

import pytest
from benchmarks.contenders import PLAN
from benchmarks.data import PlanData, plan_data
from benchmarks.planning import plan
from benchmarks.settings import Settings

USERS = 3_000


@pytest.fixture(scope="module")
def data() -> PlanData:
    return plan_data(USERS)


def lists(path) -> dict[str, list[str]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["input"]["userId"]: line["output"]["recommendedItems"] for line in lines}


def test_the_expected_counts_are_what_the_files_hold(data):
    first, second = lists(data.first), lists(data.second)
    both = first.keys() & second.keys()
    changed = sum(first[user] != second[user] for user in both)
    assert data.expected.changed == changed > 0
    assert data.expected.unchanged == len(both) - changed
    assert data.expected.new == len(second.keys() - first.keys()) > 0
    assert data.expected.gone == len(first.keys() - second.keys()) > 0
    assert all(len(set(items)) == 10 for items in second.values())


def test_every_contender_finds_the_truth(data):
    _, markdown = plan(Settings.quick(USERS))

    rows = markdown.splitlines()[2:]
    assert len(rows) == len(PLAN)
    assert [row.rstrip(" |").rpartition("| ")[2] for row in rows] == [
        "all read" if contender.role == "floor" else "right" for contender in PLAN
    ]
