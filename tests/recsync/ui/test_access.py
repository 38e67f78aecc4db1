"""Which programs' pages a user may see."""

from __future__ import annotations

import pytest
import report_samples as samples

REPORTS = "/recsync/reports"
PAGES = ("reports", "models", "deliveries", "costs", "experiments")
KEY = "grocery/exports/reports/interactions/2025-11-15T0000Z.json"
PAGE = f"{REPORTS}/{KEY.removesuffix('.json')}"


@pytest.fixture
def report(put):
    put(KEY, samples.interactions())


@pytest.mark.parametrize("address", [REPORTS, f"{REPORTS}/grocery", PAGE])
def test_a_user_without_a_role_reads_nothing(visit, report, address):
    answer = visit(address, role="")
    assert answer.status_code in {401, 403} or "no program whose export DAG you may read" in answer.text
    assert "696,067" not in answer.text


def test_who_may_not_read_the_export_dag_reads_nothing(visit, report, monkeypatch):
    from airflow.api_fastapi.app import get_auth_manager

    asked = []

    def refuse(*, details, access_entity, method, **_):
        asked.append((method, details.id, access_entity.value))
        return False

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", refuse)
    pages = [PAGE, *(f"/recsync/{page}/grocery" for page in PAGES)]
    assert [visit(page).status_code for page in pages] == [403] * len(pages)
    overview = visit(REPORTS)
    assert overview.status_code == 200
    assert "696,067" not in overview.text
    assert "no program whose export DAG you may read" in overview.text
    assert set(asked) == {("GET", "grocery_export", "XCOM")}
