"""The one reader of the statuses of Amazon Personalize resources.

The statuses stand in the API reference of each Describe operation; the service writes some of them with ``_`` for the
space. Everything that decides on a status asks here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any

log = logging.getLogger(__name__)

_STOPPING = "CREATE STOPPING"
_STOPPED = "CREATE STOPPED"
_NOT_DELETED = "DELETE FAILED"


class State(StrEnum):
    """What a status means to whoever waits for a resource, uses it or removes it."""

    PENDING = "pending"
    """Changes by itself: being created, updated, started or stopped. Also a status that this package does not know."""

    READY = "ready"
    """Usable, or done."""

    FAILED = "failed"
    """Stays as it is and is not usable: a creation, update or deletion failed, or a creation was stopped."""

    GONE = "gone"
    """Being deleted, or deleted."""


_ENDS = {
    # COMPLETED: data deletion jobs. INACTIVE: recommenders that were stopped.
    **dict.fromkeys(("ACTIVE", "COMPLETED", "INACTIVE"), State.READY),
    **dict.fromkeys(
        ("FAILED", "CREATE FAILED", "UPDATE FAILED", "START FAILED", "STOP FAILED", _NOT_DELETED, _STOPPED),
        State.FAILED,
    ),
    **dict.fromkeys(("DELETE PENDING", "DELETE IN PROGRESS", "DELETED"), State.GONE),
}
_MOVING = {
    _STOPPING,
    "PENDING",
    "IN PROGRESS",
    *(
        f"{verb} {phase}"
        for verb in ("CREATE", "UPDATE", "START", "STOP")
        for phase in ("PENDING", "IN PROGRESS")
    ),
}


def status_of(description: Mapping[str, Any]) -> str:
    """Return the status in one spelling, from a description or a summary; a schema, which has none, is ACTIVE."""
    return str(description.get("status") or "ACTIVE").replace("_", " ").upper()


def state_of(description: Mapping[str, Any]) -> State:
    """Say what the status of a description or a summary means."""
    return _state(status_of(description))


def is_being_stopped(description: Mapping[str, Any]) -> bool:
    """Tell a creation that still changes, but never becomes ready."""
    return status_of(description) == _STOPPING


def was_stopped(description: Mapping[str, Any]) -> bool:
    """Tell a creation that was stopped: it failed, and is billed for what it did until then."""
    return status_of(description) == _STOPPED


def deletion_failed(description: Mapping[str, Any]) -> bool:
    """Tell a resource that should have been deleted and stays."""
    return status_of(description) == _NOT_DELETED


@cache
def _state(status: str) -> State:
    if state := _ENDS.get(status):
        return state
    if status not in _MOVING:
        # Whoever waits goes on until its time is up; nothing is removed, taken for ready or paid for again.
        log.warning(
            "Amazon Personalize reports the status %r, which recsync does not know: it counts as under way. "
            "If it is final, add it to airflow_personalize/status.py.",
            status,
        )
    return State.PENDING
