"""The order in which tasks that wait for a slot start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

# Below the weight of every stage.
BACKFILL_WEIGHT = 1
_BACKFILL = "backfill__"


class BackfillsLast(PriorityWeightStrategy):
    """The weight of the task's stage; in a backfill, the lowest.

    Airflow starts tasks of one weight in the order of their runs' dates, so those of a backfill would all come before
    the run of this hour, of every program.
    """

    def get_weight(self, ti: TaskInstance) -> int:
        """Return the weight of a task instance."""
        if ti.run_id and ti.run_id.startswith(_BACKFILL):
            return BACKFILL_WEIGHT
        return ti.task.priority_weight if ti.task else BACKFILL_WEIGHT


# By its name: Airflow 3.3.2 does not recognise an instance as the weight rule of a mapped task.
BACKFILLS_LAST = f"{BackfillsLast.__module__}.{BackfillsLast.__qualname__}"
