"""Send one message to every destination of a program that asked for such messages."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from recsync.alerts.message import Message
from recsync.program import Alert, Event, Program

log = logging.getLogger(__name__)

_DAY = timedelta(days=1)


def send(program: Program, event: Event, subject: str, text: str, *, key: str = "") -> None:
    """Tell everybody who asked for this event; the pipeline goes on whatever becomes of it.

    :param subject: one line; messages of one subject keep the destination's distance.
    :param text: what happened, to which object, and what to do; no id of a person.
    :param key: the same key is sent once per day to each destination.
    """
    message = Message(program.name, event, subject, text)
    wanted = [alert for alert in program.alerts if alert.wants(event)]
    log.info(
        "%s; told through: %s",
        message.title,
        ", ".join(a.connection for a in wanted) or "nobody asked for it",
    )
    for alert in wanted:
        _tell(program, alert, message, key)


def _tell(program: Program, alert: Alert, message: Message, key: str) -> None:
    # Every DAG file imports this module; only a process that has something to tell needs these.
    from recsync.alerts.destinations import notifier
    from recsync.alerts.throttle import Memory

    distance = max(timedelta(minutes=alert.every_minutes), _DAY if key else timedelta())
    memory = Memory(program, alert, f"{message.event.value}: {key or message.subject}")
    if distance and not memory.may_send(distance):
        log.info("Held back: %s was told less than %s ago", alert.connection, distance)
        return
    try:
        # Not by calling it: that renders templates, and the text of an error is none.
        notifier(alert, replace(message, held_back=memory.held_back)).notify({})
    except Exception as error:  # ruff: ignore[blind-except] - whatever a provider raises, the pipeline goes on
        log.error("Alert not sent through %s (%s): %s", alert.connection, alert.via, error)
        memory.forget()
