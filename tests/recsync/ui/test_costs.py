"""The pages about costs, from ledgers as the stages write them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

COSTS = "/recsync/costs"
NOW = datetime.now(UTC)
MONTH = f"{NOW:%Y-%m}"


@pytest.fixture
def used(put):
    entry = {"at": f"{MONTH}-01T04:00:00+00:00"}
    entries = {
        "arn:version/1": {**entry, "kind": "training_hours", "quantity": 2.0},
        "arn:version/2": {**entry, "kind": "training_hours", "quantity": 3.0},
        "delivery": {**entry, "kind": "data_points", "quantity": 1_234},
        "expected/r/x": {"at": NOW.isoformat(), "kind": "training_hours", "quantity": 1.0, "expected": True},
    }
    put(f"grocery/state/money/{MONTH}.json", {"entries": entries})
    put(
        "grocery/state/money/2025-12.json",
        {"entries": {"a": {**entry, "kind": "training_hours", "quantity": 50}}},
    )


@pytest.fixture
def budget(tmp_path, monkeypatch):
    include = tmp_path / "include"
    shutil.copytree(Path(__file__).resolve().parents[3] / "include", include)
    with (include / "programs" / "grocery.yaml").open("a") as file:
        file.write("\nbudget: {monthly: 1.25, data_points_per_month: 1000}\n")
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(include))


def test_a_month_by_step_beside_its_budget(visit, used, budget):
    page = visit(f"{COSTS}/grocery").text
    assert "1.20 USD" in page, "5 hours at 0.24"
    assert "0.24 USD</strong>expected" in page
    assert '<strong class="warn">96%</strong>of the budget, 1.25 USD' in page
    assert '<strong class="stop">123.4%</strong>of the data points, 1,000' in page
    row = next(text for text in page.split("<tr>") if ">training<" in text and "training hours" in text)
    assert [cell in row for cell in (">2<", ">5.00<", ">1.20 USD<")] == [True] * 3
    assert "no price" in page
    assert "2025-12: 12.00 USD" in page
    assert page.count("<svg") == 2
    assert "A line marks the budget." in page


def test_the_overview_shows_this_month_and_the_months_by_program(visit, used):
    page = visit(COSTS).text
    assert "1.20 USD" in page
    assert f'href="/airflow{COSTS}/grocery"' in page
    assert "2025-12: " not in page
    assert page.count("<svg") == 1


def test_nothing_was_billed_yet(visit):
    for address in (COSTS, f"{COSTS}/grocery"):
        assert "No billed use was recorded yet." in visit(address).text
    assert visit(f"{COSTS}/nowhere").status_code == 404


def test_a_broken_ledger_is_told(visit, put):
    put(f"grocery/state/money/{MONTH}.json", {"entries": {"a": {"kind": "gold", "quantity": 1}}})
    page = visit(f"{COSTS}/grocery")
    assert page.status_code == 200
    assert "is damaged (ValueError)" in page.text


@pytest.mark.parametrize("address", [COSTS, f"{COSTS}/grocery"])
def test_without_login_no_cost_is_shown(visit, used, address):
    answer = visit(address, role=None)
    assert answer.status_code == 401
    assert "1.20 USD" not in answer.text
