"""Alerts: what happened, to which object, and what to do."""

from recsync.alerts.message import send
from recsync.program.operations import Event

__all__ = ["Event", "send"]
