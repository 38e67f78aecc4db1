"""All pages: who may see one, what they forbid the browser, and what is not there."""

from __future__ import annotations

import pytest
import report_samples as samples

REPORTS = "/recsync/reports"
KEY = "grocery/exports/reports/interactions/2025-11-15T0000Z.json"
PAGE = f"{REPORTS}/{KEY.removesuffix('.json')}"
ADDRESSES = ["/recsync/", REPORTS, f"{REPORTS}/grocery", PAGE]


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
