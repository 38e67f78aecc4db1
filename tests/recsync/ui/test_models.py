"""The pages about models, from documents as evaluation stores them."""

from __future__ import annotations

import json

import pytest

MODELS = "/recsync/models"
METRICS = {"normalized_discounted_cumulative_gain_at_25": 0.3267, "coverage": 0.4}
SOLUTION = "arn:aws:personalize:us-east-1:000000000000:solution/grocery-user-personalization"


@pytest.fixture
def judged(put):
    entry = {
        "training_mode": "FULL",
        "promoted_at": "2026-11-22T05:00:00+00:00",
        "run_id": "r",
        "metrics": METRICS,
    }
    history = [
        {**entry, "solution_version_arn": f"{SOLUTION}/aa", "baseline_metrics": {**METRICS, "coverage": 0.1}},
        {**entry, "solution_version_arn": f"{SOLUTION}/bb", "outcome": "refused", "reason": "<b>too low</b>"},
    ]
    put("grocery/state/champion.json", {"history": history})


def test_a_viewer_sees_the_champion_and_what_was_refused(visit, judged):
    overview = visit(MODELS)
    assert overview.status_code == 200
    assert "grocery-user-personalization/aa" in overview.text
    assert "grocery-user-personalization/bb" not in overview.text
    history = visit(f"{MODELS}/grocery").text
    assert history.index("/bb") < history.index("/aa"), "the newest comes first"
    assert "&lt;b&gt;too low&lt;/b&gt;" in history
    assert "0.3267" in history
    assert "(0.1000)" in history


def test_metrics_over_time_with_the_champion_marked_and_the_baseline_named(visit, judged):
    page = visit(f"{MODELS}/grocery").text
    assert page.count("<svg") == 2, "of the metrics that there are"
    assert "Lines of champion, baseline aws-popularity-count, refused or rejected over time" in page
    (champion,) = (text for text in page.split("<tr>") if '<span class="passed">Champion</span>' in text)
    assert "/aa" in champion


def test_a_broken_history_is_told(visit, put):
    put("grocery/state/champion.json", {"history": [{"solution_version_arn": "x"}]})
    answer = visit(f"{MODELS}/grocery")
    assert answer.status_code == 200
    assert "is damaged (TypeError)" in answer.text


def test_solutions_of_one_training_stand_side_by_side(visit, put):
    contender = {"recipe": "aws-user-personalization", "settings": {}, "refusals": []}
    document = {
        "run": "20261122T050000-a",
        "at": "2026-11-22T05:00:00+00:00",
        "metric": "normalized_discounted_cumulative_gain_at_25",
        "chosen": "next",
        "baseline_metrics": {"coverage": 0.0125},
        "contenders": [
            {**contender, "name": "", "solution_version_arn": f"{SOLUTION}/aa", "metrics": METRICS},
            {
                **contender,
                "name": "next",
                "recipe": "aws-user-personalization-v2",
                "solution_version_arn": "x/bb",
                "metrics": {**METRICS, "coverage": 0.7},
            },
            {
                **contender,
                "name": "broken",
                "solution_version_arn": "",
                "metrics": None,
                "refusals": ["its <training> failed"],
            },
        ],
    }
    put("grocery/state/comparisons/20261122T050000-a.json", document)
    put("grocery/state/comparisons/20261115T050000-a.json", {**document, "at": "2026-11-15T05:00:00+00:00"})
    page = visit(f"{MODELS}/grocery").text
    assert page.index("2026-11-22") < page.index("2026-11-15"), "the newest comes first"
    rows = page.split("Trained on the same data")[1].split("<tr>")
    (own,) = (row for row in rows if ">own " in row)
    (chosen,) = (row for row in rows if "aws-user-personalization-v2" in row)
    assert "passes the gate" in own
    assert "judged" not in own
    assert "<strong>judged</strong>" in chosen
    assert "0.7000" in chosen
    assert "its &lt;training&gt; failed" in page
    assert "0.0125" in page


def test_a_program_without_versions_says_so(visit):
    assert "No version was evaluated yet." in visit(f"{MODELS}/grocery").text
    assert visit(f"{MODELS}/nobody").status_code in {403, 404}


@pytest.mark.parametrize("address", [MODELS, f"{MODELS}/grocery"])
def test_without_login_no_model_is_shown(visit, judged, address):
    answer = visit(address, role=None)
    assert answer.status_code == 401
    assert "0.3267" not in answer.text
    assert json.dumps(METRICS) not in answer.text
