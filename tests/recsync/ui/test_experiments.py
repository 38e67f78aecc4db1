"""The pages about experiments, from reports as the lift stage writes them."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from documents import layer, lift_reports

from recsync.experiments.report import Guardrail, SampleRatio

EXPERIMENTS = "/recsync/experiments"
INCLUDE = Path(__file__).parents[3] / "include"
REPORTS = list(lift_reports("grocery", datetime(2026, 11, 30, 12, tzinfo=UTC)))
NEWEST = REPORTS[-1]


@pytest.fixture
def measured(put):
    def write(*reports):
        for report in reports:
            put(f"grocery/lift/{report.run}/report.json", report.to_json())

    return write


def test_the_verdict_the_arms_and_the_lift_over_time(visit, measured):
    measured(*REPORTS[-4:])
    page = visit(f"{EXPERIMENTS}/grocery").text
    assert NEWEST.verdict in page
    assert "Experiment <strong>grocery_2026</strong>, layer grocery_2026" in page
    (row,) = (text for text in page.split("<tr>") if "value per user" in text and ">recommended<" in text)
    assert '<span class="passed">better</span>' in row
    assert [f"{100 * each:+.1f}%" in row for each in (NEWEST.comparisons[0].relative_low,)] == [True]
    (arm,) = (text for text in page.split("<tr>") if ">holdout" in text and ">nothing<" in text)
    assert '<span class="note">control</span>' in arm
    assert ">2,507<" in arm
    assert page.count("<svg") == 7 - 2, "nothing is recommended to the holdout, so nothing relative is drawn"
    assert "Value per user: recommended beside holdout" in page
    assert "4 of them" in page


def test_one_report_is_enough_and_figures_may_be_missing(visit, measured):
    compared = replace(
        NEWEST.comparisons[0], relative=None, low=None, high=None, p_value=None, always_low=None,
        always_high=None, relative_low=None, relative_high=None,
    )  # fmt: skip
    power = replace(NEWEST.power, users_needed=None, days_needed=None, days_left=None, note="Not known yet.")
    measured(replace(NEWEST, comparisons=(compared,), power=power, arms=(), guardrails=()))
    page = visit(f"{EXPERIMENTS}/grocery").text
    assert "not\u00a0seen\u00a0yet" in page
    assert "Not known yet." in page
    assert page.count("<svg") == 0


def test_a_difference_without_an_interval_is_not_shown(visit, measured):
    compared = replace(
        NEWEST.comparisons[0], relative=-0.982, low=None, high=None, p_value=None, always_low=None,
        always_high=None, relative_low=None, relative_high=None, always_relative_low=None, always_relative_high=None,
    )  # fmt: skip
    measured(replace(NEWEST, comparisons=(compared,)))
    page = visit(f"{EXPERIMENTS}/grocery").text
    assert "98.2" not in page
    assert page.count("<svg") == 1, "the people of each arm"


def test_a_wrong_ratio_and_a_broken_guardrail_stand_out(visit, measured):
    guardrail = Guardrail("unsubscribe", "<b>arm</b>", 0.02, 0.01, 1.0, 0.4, 1.9, 0.2, broken=True)
    ratio = SampleRatio({"holdout": 250.7}, {"holdout": 500}, 1e-9, mismatch=True)
    measured(replace(NEWEST, guardrails=(guardrail,), ratio=ratio, verdict="<i>Look</i>"))
    page = visit(f"{EXPERIMENTS}/grocery").text
    assert "Do not trust the figures" in page
    assert '<span class="stop">broken</span>' in page
    assert "0 of 1" in page
    assert "&lt;b&gt;arm&lt;/b&gt;" in page
    assert "&lt;i&gt;Look&lt;/i&gt;" in page


def test_the_changes_of_the_layer(visit, measured, put):
    measured(NEWEST)
    for key, document in layer("grocery", datetime(2026, 11, 30, 12, tzinfo=UTC), 30):
        put(key, document)
    page = visit(f"{EXPERIMENTS}/grocery").text
    started, changed = page.index("recommended none → 42.5%"), page.index("recommended 42.5% → 85%")
    assert changed < started, "the newest comes first"
    assert "holdout 5% → 10%" in page
    put("_experiments/grocery_2026/layer.json", {"experiments": {}})
    assert "is damaged (KeyError)" in visit(f"{EXPERIMENTS}/grocery").text


def test_the_overview_leads_to_the_program(visit, measured):
    measured(NEWEST)
    page = visit(EXPERIMENTS).text
    assert NEWEST.verdict in page
    assert f'href="/airflow{EXPERIMENTS}/grocery"' in page
    assert "<svg" not in page


def test_without_an_experiment(visit, tmp_path, monkeypatch):
    include = shutil.copytree(INCLUDE, tmp_path / "include")
    program = include / "programs" / "grocery.yaml"
    document = yaml.safe_load(program.read_text())
    del document["experiment"]
    document["braze"]["attributes"] = []
    program.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(include))
    for address in (EXPERIMENTS, f"{EXPERIMENTS}/grocery"):
        assert "The program file has no experiment." in visit(address).text


def test_a_broken_report_is_told(visit, put, measured):
    put(f"grocery/lift/{NEWEST.run}/report.json", {**asdict(NEWEST), "arms": [{"arm": "a"}]})
    page = visit(f"{EXPERIMENTS}/grocery")
    assert page.status_code == 200
    assert "A document on S3 is damaged, or of another version: TypeError" in page.text


@pytest.mark.parametrize("address", [EXPERIMENTS, f"{EXPERIMENTS}/grocery"])
def test_without_login_no_experiment_is_shown(visit, measured, address):
    measured(NEWEST)
    answer = visit(address, role=None)
    assert answer.status_code == 401
    assert NEWEST.verdict not in answer.text
