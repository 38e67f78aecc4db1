"""Write an alert, and send it to every destination that wants alerts of its kind."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import redact

from recsync.program import Alert, Event, Program

if TYPE_CHECKING:
    from recsync.alerts.destinations import Throttle

log = logging.getLogger(__name__)

_DAY = timedelta(days=1)
# Enough for every text of ours; what a service answers can be longer. Slack cuts at 40,000, SNS at 262,144 bytes.
_TEXT_CHARACTERS = 3000
# SNS: up to 100 ASCII characters, https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_SUBJECT_CHARACTERS = 100
# The longest local part is 64 characters (RFC 5321, 4.5.3.1.1); without a bound a long word takes quadratic time.
_EMAIL = re.compile(r"[^\s@<>\"'(),;:]{1,64}@[^\s@<>\"'(),;:]{1,255}\.\w+")


@dataclass(frozen=True)
class Message:
    """One alert.

    :param held_back: how many alerts of the same subject were not sent since the last one.
    """

    program: str
    event: Event
    subject: str
    text: str
    held_back: int = 0

    @property
    def title(self) -> str:
        """The subject with the program, one line that fits every service."""
        line = " ".join(f"[recsync] {self.program}: {_clean(self.subject)}".split())
        return line.encode("ascii", "replace").decode()[:_SUBJECT_CHARACTERS]

    @property
    def body(self) -> str:
        """The text without secrets, not too long."""
        more = f"\nSince the last message of this subject, {self.held_back} more were held back."
        return _clean(self.text) + (more if self.held_back else "")


def _clean(text: str) -> str:
    """Mask Airflow's secrets and e-mail addresses, and cut a long text."""
    masked = _EMAIL.sub("***", str(redact(text)))
    return masked if len(masked) <= _TEXT_CHARACTERS else f"{masked[:_TEXT_CHARACTERS]}… (cut; see the log)"


def send(program: Program, event: Event, subject: str, text: str, *, key: str = "") -> None:
    """Send an alert to the destinations that want its event; log errors, and raise none.

    :param subject: one line; alerts of one subject are throttled by the destination's ``every_minutes``.
    :param text: what happened, to which object, and what to do; without ids of users.
    :param key: the same key is sent once per day to each destination.
    """
    message = Message(program.name, event, subject, text)
    wanted = [alert for alert in program.alerts if alert.wants(event)]
    log.info(
        "%s; sent through: %s", message.title, ", ".join(a.connection for a in wanted) or "no destination"
    )
    for alert in wanted:
        _send(program, alert, message, key)


def _send(program: Program, alert: Alert, message: Message, key: str) -> None:
    # Every DAG file imports this module; only a process that sends an alert needs these.
    from recsync.alerts.destinations import Throttle, notifier

    interval = max(timedelta(minutes=alert.every_minutes), _DAY if key else timedelta())
    throttle: Throttle | None = None
    if interval:
        try:
            throttle = Throttle.of(program, alert, f"{message.event.value}: {key or message.subject}")
            if not throttle.acquire(interval, datetime.now(UTC)):
                log.info(
                    "Held back: %s got an alert of this subject less than %s ago", alert.connection, interval
                )
                return
        except Exception as error:  # ruff: ignore[blind-except] - S3 may be what the alert is about
            log.warning("Earlier alerts to %s are unknown, so this one is sent: %s", alert.connection, error)
            throttle = None
    try:
        # Not by calling it: that renders templates, and the text of an error is none.
        notifier(alert, replace(message, held_back=throttle.held_back if throttle else 0)).notify({})
    except Exception as error:  # ruff: ignore[blind-except] - whatever a provider raises, the pipeline goes on
        log.error("Alert not sent through %s (%s): %s", alert.connection, alert.via, error)
        if throttle:
            try:
                throttle.release()
            except Exception as failed:  # ruff: ignore[blind-except] - as above
                log.warning("The next alert of this subject may be held back: %s", failed)
