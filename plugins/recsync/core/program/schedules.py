"""The program file: when."""

from __future__ import annotations

from typing import Annotated

from croniter import croniter
from pydantic import AfterValidator

from recsync.core.program.section import Strict

_PRESETS = {
    "hourly": "0 * * * *",
    "daily": "0 5 * * *",
    "weekly": "0 3 * * 0",
    "monthly": "0 3 1 * *",
    "midnight": "0 0 * * *",
}


def _cron(value: str) -> str:
    if len(value.split()) == 5 and croniter.is_valid(value):
        return value
    wanted = _PRESETS.get(value.strip().strip("@").casefold())
    example = f"write '{wanted}'" if wanted else "such as '0 * * * *' for every full hour"
    raise ValueError(
        f"must be a cron expression: minute, hour, day of the month, month and day of the week; {example}"
    )


CronExpression = Annotated[str, AfterValidator(_cron)]


class Schedules(Strict):
    """Cron expressions in UTC; None leaves a stage to manual runs and asset events.

    :param export: also the length of one export interval.
    :param tune: searches for hyperparameters, where ``personalize.tuning`` is set; each search is many trainings.
    :param recommend_after_update: recommend on every champion that an UPDATE made, not only on those of a FULL
        training; a batch inference job for the whole audience each time.
    """

    export: CronExpression | None = "0 * * * *"
    train_full: CronExpression | None = "0 3 * * 0"
    tune: CronExpression | None = None
    recommend: CronExpression | None = "30 5 * * *"
    maintain: CronExpression | None = "15 2 * * *"
    recommend_after_update: bool = True
