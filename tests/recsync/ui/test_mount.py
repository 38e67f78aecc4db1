"""The mount below Airflow's address."""

from __future__ import annotations


def test_the_mount_leads_to_the_reports(visit):
    answer = visit("/recsync/")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/airflow/recsync/reports"
