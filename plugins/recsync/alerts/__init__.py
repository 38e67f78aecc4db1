"""Tell people: what happened, to which object, and what to do."""

from recsync.alerts.send import send
from recsync.program.operations import Event

__all__ = ["Event", "send"]
