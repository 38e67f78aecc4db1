"""Send an alert through each kind of destination."""

from __future__ import annotations

import base64
import email
import json
import logging
from typing import Any

import boto3
import pytest
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
