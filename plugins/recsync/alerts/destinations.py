"""The destinations of alerts: notifiers, Airflow's own or a webhook, and a record on S3 that throttles repeated alerts.

Only a process that sends an alert imports this module.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from html import escape
from typing import TYPE_CHECKING, Any

import requests
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import BaseHook, BaseNotifier
from botocore.config import Config
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from recsync import settings
from recsync.alerts.message import Message
from recsync.errors import FatalError, RetriableError
from recsync.program import Alert, Program
from recsync.storage.bucket import Bucket
from recsync.storage.document import Document
from recsync.storage.keys import Keys

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context


# A failed task waits for this in its worker.
_TIMEOUT_SECONDS = 10
_TRIES = 3
# An S3 that does not answer may be what the alert is about; botocore would wait for it for minutes.
_IMPATIENT = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})


class WebhookNotifier(BaseNotifier):
    """Post JSON to the address that an Airflow connection holds.

    Airflow's ``HttpNotifier`` writes the address to the log when the server fails; the address of a Slack webhook is
    its secret.

    :param connection: host (with ``https://`` or a schema) and port; the password is the rest of the path, as in
        Slack's own connection type, or with a login the password of basic authentication. The extra ``headers`` is a
        mapping.
    :raises RetriableError: the server cannot be reached or fails, three times.
    :raises FatalError: the server refuses the message.
    """

    def __init__(self, *, connection: str, body: dict[str, Any]) -> None:
        super().__init__()
        self.connection = connection
        self.body = body

    def notify(self, context: Context) -> None:
        """Post the body, and retry while the server is unavailable."""
        self._post(BaseHook.get_connection(self.connection))

    @retry(
        retry=retry_if_exception_type(RetriableError),
        stop=stop_after_attempt(_TRIES),
        wait=wait_exponential(multiplier=0.5),
        reraise=True,
    )
    def _post(self, connection: Connection) -> None:
        try:
            answer = requests.post(
                address(connection),
                json=self.body,
                auth=(connection.login, connection.password or "") if connection.login else None,
                headers=connection.extra_dejson.get("headers"),
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # Its text holds the address.
            raise RetriableError(
                f"The webhook of connection {self.connection} cannot be reached: {type(error).__name__}."
            ) from None
        if answer.status_code == requests.codes.too_many_requests or answer.status_code >= 500:
            raise RetriableError(f"The webhook of connection {self.connection} answers {answer.status_code}.")
        if not answer.ok or answer.is_redirect:
            raise FatalError(
                f"The webhook of connection {self.connection} refuses the message with {answer.status_code}: correct "
                "the connection's host and password."
            )


def address(connection: Connection) -> str:
    """Return the address of a webhook's connection.

    :raises FatalError: the connection has no host, or a path as its schema.
    """
    host = (connection.host or "").rstrip("/")
    if not host:
        raise FatalError(f"Connection {connection.conn_id} has no host: the address of the webhook.")
    if (connection.schema or "https") not in {"http", "https"}:
        raise FatalError(
            f"Connection {connection.conn_id}: the schema must be http or https, or empty. Airflow reads the path of a "
            "URI as the schema; put the address into host as https://…, and what follows in it into password."
        )
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    if connection.port:
        host = f"{host}:{connection.port}"
    return (
        host if connection.login or not connection.password else f"{host}/{connection.password.lstrip('/')}"
    )


def notifier(alert: Alert, message: Message) -> BaseNotifier:
    """Create the notifier; providers are imported here, so that parsing DAG files does without."""
    match alert.via:
        case "slack":
            # Slack reads <…> as a link or a mention: https://docs.slack.dev/messaging/formatting-message-text
            text = escape(f"*{message.title}*\n{message.body}", quote=False)
            return WebhookNotifier(connection=alert.connection, body={"text": text})
        case "webhook":
            fields = {"program": message.program, "event": message.event.value}
            fields |= {"subject": message.title, "text": message.body}
            return WebhookNotifier(connection=alert.connection, body=fields)
        case "sns":
            from airflow.providers.amazon.aws.notifications.sns import SnsNotifier

            return SnsNotifier(
                aws_conn_id=alert.connection,
                target_arn=alert.to[0],
                subject=message.title,
                message=message.body,
                # For the filter policies of subscriptions.
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


def _html(message: Message) -> str:
    return f'<pre style="white-space: pre-wrap">{escape(message.body)}</pre>'


@dataclass(frozen=True)
class SentAlert:
    """The last alert about one thing.

    :param at: when it was sent, ISO 8601.
    :param held_back: how many alerts about it came too soon after it and were not sent.
    """

    about: str
    at: str
    held_back: int = 0


class Throttle:
    """Keep a minimum interval between the alerts about one thing to one destination."""

    def __init__(self, bucket: Bucket, keys: Keys, destination: str, about: str) -> None:
        digest = blake2b(f"{destination}\n{about}".encode(), digest_size=12).hexdigest()
        self.about = about
        self.last: SentAlert | None = None
        self._document: Document[SentAlert | None] = Document(
            bucket,
            keys.alert(digest),
            lambda found: found and SentAlert(**found),
            lambda sent: sent and asdict(sent),
        )

    @classmethod
    def of(cls, program: Program, alert: Alert, about: str) -> Throttle:
        """Open the throttle of one destination."""
        hook = S3Hook(aws_conn_id=program.aws)
        client = hook.get_client_type(config=hook.config.merge(_IMPATIENT))
        destination = " ".join((alert.via, alert.connection, *alert.to))
        return cls(Bucket(client, settings.bucket_of(program)), Keys(program.name), destination, about)

    @property
    def held_back(self) -> int:
        """How many alerts were held back since the last one."""
        return self.last.held_back if self.last else 0

    def acquire(self, interval: timedelta, now: datetime) -> bool:
        """Return whether an alert may be sent now, and record it; of two processes at once, one gets True.

        An alert that may not be sent is counted as held back.
        """
        self.last, etag = self._document.get_with_etag()
        if self.last and now - datetime.fromisoformat(self.last.at) < interval:
            self._document.replace(replace(self.last, held_back=self.held_back + 1), etag)
            return False
        return self._document.replace(SentAlert(self.about, now.isoformat()), etag) is not None

    def release(self) -> None:
        """Undo :meth:`acquire` after the alert could not be sent, so that the next one is sent at once."""
        bucket, key = self._document.bucket, self._document.key
        if self.last:
            bucket.put_json(key, asdict(self.last))
        else:
            bucket.delete(key)
