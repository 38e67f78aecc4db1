"""Who is told what, how often, and through what."""

from __future__ import annotations

import base64
import email
import json
import logging
from datetime import timedelta
from typing import Any

import boto3
import pytest
import time_machine
from moto.backends import get_backend

from recsync.alerts import Event, send

# Without a distance S3 is not asked, which saves most of a test's time.
SLACK = {"via": "slack", "connection": "team", "every_minutes": 0}


def test_a_slack_message_holds_program_subject_and_text(program: Any, webhook: Any) -> None:
    shop = program(SLACK)
    send(shop, Event.FAILURE, "push failed", "Braze refuses <!channel>.\nClear the task.")
    assert [path for path, _, _ in webhook.posted] == ["/services/T0/B0/hush"]
    assert webhook.bodies == [
        {"text": f"*[recsync] {shop.name}: push failed*\nBraze refuses &lt;!channel&gt;.\nClear the task."}
    ]


def test_a_webhook_gets_the_fields_apart(program: Any, webhook: Any) -> None:
    shop = program({"via": "webhook", "connection": "team"})
    send(shop, Event.LATE, "push is late", "Look.")
    assert webhook.bodies == [
        {
            "program": shop.name,
            "event": "late",
            "subject": f"[recsync] {shop.name}: push is late",
            "text": "Look.",
        }
    ]


def test_a_path_in_the_uri_of_a_connection_is_told_from_a_scheme(
    program: Any, webhook: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TEAM", "http://127.0.0.1:9/hook")
    send(program(SLACK), Event.FAILURE, "push failed", "Look.")
    assert webhook.bodies == []
    assert "Connection team: the schema must be http or https, or empty" in caplog.text


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


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_webhook_that_cannot_take_it_now_is_asked_again(program: Any, webhook: Any, status: int) -> None:
    webhook.statuses = [status]
    send(program(SLACK), Event.FAILURE, "export failed", "text")
    assert len(webhook.posted) == 2


def test_a_redirect_is_not_followed_with_the_message(
    program: Any, webhook: Any, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.statuses = [302]
    send(program(SLACK), Event.FAILURE, "export failed", "text")
    assert "refuses the message with 302" in caplog.text


def test_the_address_of_a_webhook_reaches_no_log(
    program: Any, webhook: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv(
        "AIRFLOW_CONN_GONE",
        json.dumps({"conn_type": "http", "host": "http://127.0.0.1:9", "password": "T0/hush"}),
    )
    send(
        program({"via": "slack", "connection": "gone", "every_minutes": 0}),
        Event.FAILURE,
        "export failed",
        "text",
    )
    webhook.statuses = [404]
    send(program(SLACK), Event.FAILURE, "export failed", "text")
    assert "Alert not sent" in caplog.text
    assert "hush" not in caplog.text


def test_a_login_is_basic_authentication_and_extra_headers_go_along(
    program: Any, webhook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {
        "conn_type": "http",
        "host": "127.0.0.1",
        "schema": "http",
        "port": webhook.port,
        "login": "ops",
        "password": "secret",
        "extra": {"headers": {"X-Team": "crm"}},
    }
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps(connection))
    send(
        program({"via": "webhook", "connection": "hook", "every_minutes": 0}),
        Event.FAILURE,
        "export failed",
        "text",
    )
    ((path, headers, _),) = webhook.posted
    assert path == "/"
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'ops:secret').decode()}"
    assert headers["X-Team"] == "crm"


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


def test_sns_gets_subject_text_and_what_its_filters_can_look_at(program: Any, aws_url: str) -> None:
    sns, sqs = (boto3.client(s, endpoint_url=aws_url, region_name="us-east-1") for s in ("sns", "sqs"))
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    queue = sqs.create_queue(QueueName="alerts")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    shop = program({"via": "sns", "connection": "aws_default", "to": [topic]})
    send(shop, Event.DRIFT, "a resource → changed\nby hand", "It differs.")

    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    body = json.loads(message["Body"])
    assert body["Subject"] == f"[recsync] {shop.name}: a resource ? changed by hand"
    assert body["Message"] == "It differs."
    assert {name: a["Value"] for name, a in body["MessageAttributes"].items()} == {
        "event": "drift",
        "program": shop.name,
    }


def test_ses_sends_a_mail(program: Any, aws_url: str) -> None:
    ses = boto3.client("ses", endpoint_url=aws_url, region_name="us-east-1")
    ses.verify_email_identity(EmailAddress="airflow@example.com")
    shop = program(
        {
            "via": "ses",
            "connection": "aws_default",
            "sender": "airflow@example.com",
            "to": ["crm@example.com"],
        }
    )
    send(shop, Event.FAILURE, "push failed", "Is 1 < 2?")
    # Moto's server has no page of the mails that it took, but runs in this process.
    sent = get_backend("ses")["123456789012"]["us-east-1"].sent_messages
    mail = email.message_from_string(sent[-1].raw_data)
    assert mail["Subject"] == f"[recsync] {shop.name}: push failed"
    assert mail["To"] == "crm@example.com"
    assert "Is 1 &lt; 2?" in mail.get_payload(0).get_payload(decode=True).decode()


def test_smtp_sends_a_mail(program: Any, mail_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": mail_server.server_address[1],
        "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(connection))
    shop = program({"via": "smtp", "connection": "mail", "to": ["crm@example.com"]})
    send(shop, Event.FAILURE, "push failed", "Is 1 < 2?")
    (mail,) = map(email.message_from_string, mail_server.mails)
    assert mail["Subject"] == f"[recsync] {shop.name}: push failed"
    assert mail["From"] == "airflow@example.com"
    assert "Is 1 &lt; 2?" in mail.get_payload(0).get_payload(decode=True).decode()
