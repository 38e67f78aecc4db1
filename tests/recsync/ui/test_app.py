"""The pages: who may see which, what they forbid the browser, reports, and solution versions."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import report_samples as samples

REPORTS, MODELS = "/recsync/reports", "/recsync/models"
KEY = "grocery/exports/reports/interactions/2025-11-15T0000Z.json"
PAGE = f"{REPORTS}/{KEY.removesuffix('.json')}"
ADDRESSES = ["/recsync/", REPORTS, f"{REPORTS}/grocery", PAGE]
METRICS = {"normalized_discounted_cumulative_gain_at_25": 0.3267, "coverage": 0.4}
SOLUTION = "arn:aws:personalize:us-east-1:000000000000:solution/grocery-user-personalization"


@pytest.fixture
def report(put):
    put(KEY, samples.interactions())


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_login_no_page_is_shown(visit, report, address):
    answer = visit(address, role=None)
    assert answer.status_code == 401
    assert "grocery" not in answer.text.replace(answer.request.url.path, "").split("next=")[0]
    assert (
        f'href="/airflow/api/v2/auth/login?next=http%3A%2F%2Ftestserver%2Fairflow{address.replace("/", "%2F")}"'
        in answer.text
    )


def test_a_forged_token_is_refused(airflow_app, report):
    from starlette.testclient import TestClient

    with TestClient(airflow_app) as client:
        answer = client.get(PAGE, headers={"Authorization": "Bearer e30.e30.e30"})
    assert answer.status_code == 403


def test_a_viewer_reads_a_report(visit, report):
    answer = visit(PAGE)
    assert answer.status_code == 200
    assert "696,067" in answer.text
    assert f'<a href="/airflow{REPORTS}/grocery">grocery</a>' in answer.text


@pytest.mark.parametrize(
    "address",
    [
        f"{REPORTS}/nowhere",
        f"{REPORTS}/..%2Fprograms%2Fgrocery",
        f"{REPORTS}/nowhere/exports/reports/interactions/2025-11-15T0000Z",
        f"{REPORTS}/grocery/exports/reports/interactions/2030-11-15T0000Z",
        f"{REPORTS}/grocery/state/champion",
        f"{REPORTS}/grocery/exports/reports/interactions/..%2F..%2F..%2Fstate%2Fchampion",
        "/recsync/docs",
        "/recsync/openapi.json",
    ],
)
def test_what_is_not_there(visit, put, report, address):
    put("grocery/state/champion.json", {"program": "kept apart"})
    answer = visit(address)
    assert answer.status_code == 404
    assert "kept apart" not in answer.text
    assert "<h1" in answer.text


@pytest.mark.parametrize("address", [REPORTS, PAGE, f"{REPORTS}/nowhere", "/recsync/openapi.json"])
@pytest.mark.parametrize("role", ["viewer", None])
def test_every_answer_is_private_and_loads_nothing(visit, report, address, role):
    headers = visit(address, role).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; ")
    assert "script" not in policy
    assert "frame-ancestors 'self'" in policy
    assert headers["cache-control"] == "no-store, private"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_a_bucket_that_cannot_be_read_says_why(visit, report, monkeypatch):
    monkeypatch.setenv("AIRFLOW__RECSYNC__BUCKET", "no-such-bucket")
    overview, page = visit(REPORTS), visit(PAGE)
    assert overview.status_code == 200
    assert page.status_code == 502
    for text in (overview.text, page.text):
        assert "Create the bucket or correct the setting [recsync] bucket." in text


def test_a_deployment_without_a_bucket_says_what_to_set(visit, report, monkeypatch):
    monkeypatch.setenv("AIRFLOW__RECSYNC__BUCKET", "")
    assert "AIRFLOW__RECSYNC__BUCKET" in visit(PAGE).text


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
    assert "No version was judged yet." in visit(f"{MODELS}/grocery").text
    assert visit(f"{MODELS}/nobody").status_code in {403, 404}


@pytest.mark.parametrize("address", [MODELS, f"{MODELS}/grocery"])
def test_without_login_no_model_is_shown(visit, judged, address):
    answer = visit(address, role=None)
    assert answer.status_code == 401
    assert "0.3267" not in answer.text
    assert json.dumps(METRICS) not in answer.text


def test_the_lists_lead_to_the_newest_reports(visit, put):
    for hour in range(8):
        interval = {
            "start": f"2025-11-15T{hour:02d}:00:00+00:00",
            "end": f"2025-11-15T{hour + 1:02d}:00:00+00:00",
        }
        put(
            f"grocery/exports/reports/interactions/2025-11-15T{hour:02d}00Z.json",
            samples.stopped() | interval,
        )
    put("grocery/full/20251116T000000-0a1b2c3d/reports/users.json", samples.users())
    overview, of_program = visit(REPORTS).text, visit(f"{REPORTS}/grocery").text
    for text, count in ((overview, 6), (of_program, 9)):
        links = re.findall(r'href="/airflow(/recsync/reports/grocery/[^"]+)"', text)
        assert len(links) == count
        assert {visit(link).status_code for link in (links[0], links[-1])} == {200}
        assert text.count("Stopped") == count - 1
    assert "full, until 2025-11-29 00:00:00 UTC" in overview
    assert "2025-11-15 07:00:00 UTC" in overview
    assert "2025-11-15 01:00:00 UTC" not in overview
    assert of_program.index("INTERACTIONS") < of_program.index("USERS")


def test_values_of_the_warehouse_are_text_also_in_lists(visit, put):
    put(KEY, samples.hostile("<script>alert('1')</script>"))
    for address in ADDRESSES[1:]:
        text = visit(address).text
        assert "<script" not in text
        assert "&lt;script&gt;" in text


def test_no_report_yet(visit):
    assert "No export has written a report yet." in visit(REPORTS).text
    assert "No export has written a report yet." in visit(f"{REPORTS}/grocery").text


def test_a_program_over_the_data_of_another_one_has_no_reports_and_shows_whose_model_it_asks(
    visit, put, report, tmp_path, monkeypatch
):
    include = tmp_path / "include"
    shutil.copytree(Path(__file__).resolve().parents[3] / "include", include)
    (include / "sql" / "winback").mkdir()
    for query in ("audience", "catalogue"):
        (include / "sql" / "winback" / f"{query}.sql").write_text("SELECT 1")
    text = "data: grocery\npersonalize: {model: grocery}\nbraze: {attribute: winback}\n"
    (include / "programs" / "winback.yaml").write_text(text)
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(include))
    overview = visit(REPORTS).text
    assert "696,067" in visit(PAGE).text
    assert "Latest export reports of grocery" in overview
    assert "winback" not in overview
    assert "winback uses the data of grocery" in visit(f"{REPORTS}/winback").text
    assert visit(PAGE.replace("/grocery/", "/winback/")).status_code == 404
    assert "winback: the model of grocery" in visit(MODELS).text
