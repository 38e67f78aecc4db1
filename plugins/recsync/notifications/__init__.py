"""Tell people: what happened, to which object, and what to do."""

from recsync.core.program.alerts import Event
from recsync.notifications.send import send

__all__ = ["Event", "send"]
