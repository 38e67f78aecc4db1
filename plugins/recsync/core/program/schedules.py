"""The program file: when."""

from __future__ import annotations

from typing import Annotated

from croniter import croniter
from pydantic import Field, field_validator

from recsync.core.program.section import Strict

CronExpression = Annotated[str, Field(min_length=9, max_length=100)]


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

    @field_validator("export", "train_full", "tune", "recommend", "maintain")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is not None and not croniter.is_valid(value):
            raise ValueError("must be a cron expression of five fields, e.g. '0 * * * *'")
        return value
