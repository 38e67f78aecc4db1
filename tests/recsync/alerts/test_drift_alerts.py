"""What people are told of an export that is not as usual."""

from __future__ import annotations

from typing import Any

from recsync.export.checks import ExportReport
from recsync.export.checks.report import DriftFinding
from recsync.export.dataset import send_drift_alert

WEBHOOK = {"via": "webhook", "connection": "team", "every_minutes": 0}
MIX = DriftFinding(
    "event_mix", 0.4, 0.0, 7, "warn", "items.sql returns another mix of event types than usual."
)
VOLUME = DriftFinding("volume", 9, 900.0, 7, "stop", "items.sql returns 9 rows where 900 are usual.")


def report(*drift: DriftFinding) -> ExportReport:
    return ExportReport({}, 9, 9, 0, (), drift, {})


def test_every_figure_that_differs_is_in_one_message(program: Any, webhook: Any) -> None:
    send_drift_alert(program(WEBHOOK), "items", report(MIX, VOLUME), "s3://b/report.json")
    (body,) = webhook.bodies
    assert body["event"] == "drift"
    assert MIX.text in body["text"]
    assert VOLUME.text in body["text"]
    assert "Report: s3://b/report.json" in body["text"]


def test_the_same_figures_are_told_once_and_others_anew(program: Any, webhook: Any) -> None:
    shop = program(WEBHOOK)
    for drift in ((MIX,), (MIX,), (MIX, VOLUME), ()):
        send_drift_alert(shop, "items", report(*drift), "s3://b/report.json")
    send_drift_alert(shop, "users", report(MIX), "s3://b/report.json")
    assert len(webhook.posted) == 3
