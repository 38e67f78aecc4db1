"""Make Airflow's notifier for one destination of the program file."""

from __future__ import annotations

from html import escape

from airflow.sdk import BaseNotifier

from recsync.alerts.message import Message
from recsync.alerts.webhook import WebhookNotifier
from recsync.program import Alert


def notifier(alert: Alert, message: Message) -> BaseNotifier:
    """Make the notifier; the providers' ones are imported where they are used, DAG files are parsed without."""
    match alert.via:
        case "slack":
            # Slack reads <…> as a link or a mention: https://docs.slack.dev/messaging/formatting-message-text
            text = escape(f"*{message.title}*\n{message.body}", quote=False)
            return WebhookNotifier(connection=alert.connection, body={"text": text})
        case "webhook":
            return WebhookNotifier(connection=alert.connection, body=_fields(message))
        case "sns":
            from airflow.providers.amazon.aws.notifications.sns import SnsNotifier

            return SnsNotifier(
                aws_conn_id=alert.connection,
                target_arn=alert.to[0],
                subject=message.title,
                message=message.body,
                # What a subscription's filter policy can look at.
                message_attributes={"event": message.event.value, "program": message.program},
            )
        case "ses":
            from airflow.providers.amazon.aws.notifications.ses import SesNotifier

            return SesNotifier(
                aws_conn_id=alert.connection,
                mail_from=str(alert.sender),
                to=list(alert.to),
                subject=message.title,
                html_content=_html(message),
            )
        case "smtp":
            from airflow.providers.smtp.notifications.smtp import SmtpNotifier

            return SmtpNotifier(
                smtp_conn_id=alert.connection,
                from_email=alert.sender,
                to=list(alert.to),
                subject=message.title,
                html_content=_html(message),
            )


def _fields(message: Message) -> dict[str, str]:
    return {
        "program": message.program,
        "event": message.event.value,
        "subject": message.title,
        "text": message.body,
    }


def _html(message: Message) -> str:
    return f'<pre style="white-space: pre-wrap">{escape(message.body)}</pre>'
