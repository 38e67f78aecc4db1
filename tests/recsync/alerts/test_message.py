"""Which alerts are sent, how often, and with which text."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from recsync.alerts import Event, send

# Without a distance S3 is not asked, which saves most of a test's time.
SLACK = {"via": "slack", "connection": "team", "every_minutes": 0}


def test_each_destination_is_told_what_it_asked_for(program: Any, webhook: Any) -> None:
    shop = program(
        {"via": "webhook", "connection": "team", "events": ["failure", "late"]},
        SLACK | {"events": ["drift"]},
    )
    send(shop, Event.FAILURE, "a", "text")
    send(shop, Event.DRIFT, "b", "text")
    send(shop, Event.BUDGET_STOPPED, "c", "text")
    assert [body.get("event", "slack") for body in webhook.bodies] == ["failure", "slack"]


def test_messages_of_one_subject_keep_their_distance_and_are_counted(program: Any, webhook: Any) -> None:
    shop = program(SLACK | {"every_minutes": 60})
    with time_machine.travel("2026-11-22T10:00:00Z", tick=False) as clock:
        for _ in range(3):
            send(shop, Event.FAILURE, "export failed", "text")
        send(shop, Event.FAILURE, "push failed", "text")
        clock.shift(timedelta(minutes=60))
        send(shop, Event.FAILURE, "export failed", "text")
        clock.shift(timedelta(minutes=60))
        send(shop, Event.FAILURE, "export failed", "text")
    subjects = [body["text"].split(": ")[1].split("*")[0] for body in webhook.bodies]
    assert subjects == ["export failed", "push failed", "export failed", "export failed"]
    assert ["2 more were held back" in body["text"] for body in webhook.bodies] == [False, False, True, False]


def test_the_same_key_is_told_once_a_day_whatever_the_subject(program: Any, webhook: Any) -> None:
    shop = program(SLACK)
    with time_machine.travel("2026-11-22T10:00:00Z", tick=False) as clock:
        send(shop, Event.BUDGET_WARNING, "81 % spent", "text", key="2026-11")
        send(shop, Event.BUDGET_WARNING, "82 % spent", "text", key="2026-11")
        clock.shift(timedelta(hours=24))
        send(shop, Event.BUDGET_WARNING, "83 % spent", "text", key="2026-11")
    assert ["81" in body["text"] or "83" in body["text"] for body in webhook.bodies] == [True, True]


def test_without_distance_every_message_is_sent(program: Any, webhook: Any) -> None:
    shop = program(SLACK)
    for _ in range(2):
        send(shop, Event.FAILURE, "export failed", "text")
    assert len(webhook.posted) == 2


def test_what_could_not_be_sent_holds_nothing_back(
    program: Any, webhook: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop = program(SLACK | {"every_minutes": 60})
    webhook.statuses = [403]
    send(shop, Event.FAILURE, "export failed", "first")
    send(shop, Event.FAILURE, "export failed", "second")
    assert [body["text"].splitlines()[-1] for body in webhook.bodies] == ["first", "second"]
    assert "refuses the message with 403" in caplog.text


def test_one_destination_that_cannot_be_reached_keeps_no_other_from_being_told(
    program: Any, webhook: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GONE", "http://127.0.0.1:9/")
    shop = program(
        {"via": "sns", "connection": "aws_default", "to": ["arn:aws:sns:us-east-1:123456789012:gone"]},
        {"via": "slack", "connection": "gone", "every_minutes": 0},
        SLACK,
    )
    send(shop, Event.FAILURE, "export failed", "text")
    assert len(webhook.posted) == 1
    assert "connection gone cannot be reached: ConnectionError" in caplog.text
    assert "Alert not sent through aws_default (sns)" in caplog.text


def test_people_are_told_although_s3_fails(
    program: Any, webhook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__RECSYNC__BUCKET", "there-is-no-such-bucket")
    shop = program(SLACK | {"every_minutes": 60})
    send(shop, Event.FAILURE, "export failed", "text")
    assert len(webhook.posted) == 1


def test_no_message_holds_a_secret_or_an_address(program: Any, webhook: Any) -> None:
    from airflow.sdk.log import mask_secret

    mask_secret("sesame-open-7")
    send(program(SLACK), Event.FAILURE, "export failed", "sesame-open-7 of jo.doe+x@example.co.uk: 3 of 4")
    # No words: those that other tests gave as passwords are masked in this process as well.
    assert webhook.bodies[0]["text"].endswith("\n*** of ***: 3 of 4")


def test_templates_in_a_text_are_not_rendered(program: Any, webhook: Any) -> None:
    send(program(SLACK), Event.FAILURE, "export failed", "{{ nothing.here }} {% of this")
    assert webhook.bodies[0]["text"].endswith("{{ nothing.here }} {% of this")


def test_long_texts_are_cut(program: Any, webhook: Any) -> None:
    send(program(SLACK), Event.FAILURE, "x" * 500, "y" * 100_000)
    title, text = webhook.bodies[0]["text"].split("\n")
    assert len(title) < 110
    assert len(text) < 4000
    assert text.endswith("(cut; see the log)")
