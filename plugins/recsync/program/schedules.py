"""The program file: when."""

from __future__ import annotations

from typing import Annotated, Self
from zlib import crc32

from croniter import croniter
from pydantic import AfterValidator

from recsync.program.section import Strict

_PRESETS = {
    "hourly": "0 * * * *",
    "daily": "0 5 * * *",
    "weekly": "0 3 * * 0",
    "monthly": "0 3 1 * *",
    "midnight": "0 0 * * *",
}
# In place of the minute, as Jenkins writes it.
_MINUTE_BY_NAME = "H"


def _cron(value: str) -> str:
    if len(value.split()) == 5 and croniter.is_valid(_with_minute(value, "0")):
        return value
    wanted = _PRESETS.get(value.strip().strip("@").casefold())
    example = f"write '{wanted}'" if wanted else "such as '0 * * * *' for every full hour"
    raise ValueError(
        f"must be a cron expression: minute, hour, day of the month, month and day of the week; {example}"
    )


def _with_minute(cron: str, minute: str) -> str:
    first, _, rest = cron.strip().partition(" ")
    return f"{minute} {rest}" if first == _MINUTE_BY_NAME else cron


CronExpression = Annotated[str, AfterValidator(_cron)]


class Schedules(Strict):
    """Cron expressions in UTC; None leaves a stage to manual runs and asset events.

    ``H`` as the minute stands for one that is derived from the program's name, so that many programs on the same
    schedule do not all start in the same minute. Exports start at the full hour by default, because their schedule
    also cuts time into intervals.

    :param export: also the length of one export interval.
    :param tune: searches for hyperparameters, where ``personalize.tuning`` is set; each search is many trainings.
    :param push: looks for recommendations that did not reach the push by themselves, because it was paused, or its
        program file broken, when they were published; a run that finds none skips.
    :param recommend_after_update: recommend on every champion that an UPDATE made, not only on those of a FULL
        training; a batch inference job for the whole audience each time.
    """

    export: CronExpression | None = "0 * * * *"
    train_full: CronExpression | None = "H 3 * * 0"
    tune: CronExpression | None = None
    recommend: CronExpression | None = "H 5 * * *"
    push: CronExpression | None = "H * * * *"
    maintain: CronExpression | None = "H 2 * * *"
    recommend_after_update: bool = True

    def resolve(self, program: str) -> Self:
        """Replace ``H`` by the program's own minute, another one for each stage."""
        crons = {stage: cron for stage, cron in self if isinstance(cron, str)}
        return self.model_copy(
            update={
                stage: _with_minute(cron, str(crc32(f"{program} {stage}".encode()) % 60))
                for stage, cron in crons.items()
            }
        )
