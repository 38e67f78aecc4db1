"""Old path of recsync.alerts.late, kept for one release.

A run that was queued before an upgrade has this path of its deadline's callback in Airflow's database; the
triggerer imports it when the deadline passes. It can go when no run queued by the older release goes on.
"""

from recsync.alerts.late import tell_late

__all__ = ["tell_late"]
