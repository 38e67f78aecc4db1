"""The program file: when its stages run, who is told, what it may cost, and how long things are kept."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self
from zlib import crc32

from croniter import croniter
from pydantic import AfterValidator, Field, field_validator, model_validator

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


class Event(StrEnum):
    """What people can be told about."""

    FAILURE = "failure"
    LATE = "late"
    PROMOTION_REFUSED = "promotion_refused"
    BUDGET_WARNING = "budget_warning"
    BUDGET_STOPPED = "budget_stopped"
    DRIFT = "drift"


EventName = Literal["failure", "late", "promotion_refused", "budget_warning", "budget_stopped", "drift"]
Via = Literal["slack", "webhook", "sns", "ses", "smtp"]
_WITHOUT_ADDRESS = frozenset({"slack", "webhook"})


class Alert(Strict):
    """One destination of messages.

    :param via: ``slack`` posts ``{"text": …}``, which Slack, Mattermost and Google Chat read; ``webhook`` posts the
        fields apart; the others are the notifiers of the Amazon and SMTP providers.
    :param connection: Airflow connection; it alone holds what is secret, a webhook's address included.
    :param to: ``sns``: the topic's ARN; ``ses`` and ``smtp``: addresses.
    :param sender: address that ``ses`` and ``smtp`` write from.
    :param events: what this destination is told; empty means everything.
    :param every_minutes: messages of one subject are at least so far apart; 0 sends each.
    """

    via: Via
    connection: str = Field(min_length=1)
    to: tuple[str, ...] = ()
    sender: str | None = None
    events: tuple[EventName, ...] = ()
    every_minutes: int = Field(default=180, ge=0)

    @field_validator("connection")
    @classmethod
    def _named(cls, value: str) -> str:
        if "/" in value or ":" in value:
            raise ValueError(
                "must be the id of an Airflow connection; addresses and keys stand in the connection"
            )
        return value

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if self.via in _WITHOUT_ADDRESS and (self.to or self.sender):
            raise ValueError(f"via {self.via} takes no to and no sender: the connection holds the address")
        if self.via not in _WITHOUT_ADDRESS and not self.to:
            raise ValueError(f"via {self.via} needs to")
        if self.via == "sns" and (len(self.to) != 1 or not self.to[0].startswith("arn:") or self.sender):
            raise ValueError("via sns needs exactly one to, the ARN of a topic, and no sender")
        if self.via == "ses" and not self.sender:
            raise ValueError("via ses needs sender, an address that Amazon SES has verified")
        return self

    def wants(self, event: Event) -> bool:
        """Tell whether this destination is told about an event."""
        return not self.events or event.value in self.events


class TaskTimeoutHours(Strict):
    """After how many hours of work a try of a task ends as failed, by stage; None never does.

    Counts the work in a worker. What is waited for without a worker has ends of its own: a job of Amazon Personalize,
    room for one, an approval, the lock of a dataset group.
    """

    setup: float | None = Field(default=1.0, gt=0)
    export: float | None = Field(default=6.0, gt=0)
    train_full: float | None = Field(default=12.0, gt=0)
    train_update: float | None = Field(default=6.0, gt=0)
    recommend: float | None = Field(default=12.0, gt=0)
    push: float | None = Field(default=24.0, gt=0)
    tune: float | None = Field(default=6.0, gt=0)
    maintain: float | None = Field(default=6.0, gt=0)
    rollback: float | None = Field(default=1.0, gt=0)
    forget: float | None = Field(default=24.0, gt=0)
    retire: float | None = Field(default=24.0, gt=0)

    def of(self, stage: str) -> timedelta | None:
        """Return the limit of one stage's tasks; None when they have none."""
        hours: float | None = getattr(self, stage, None)
        return None if hours is None else timedelta(hours=hours)


class DeadlineHours(Strict):
    """After how many hours a run counts as late, from when it was queued; None never does.

    Runs of Amazon Personalize take hours on small data already: imports and batch jobs half an hour and more each,
    trainings one to several. Runs that wait for a person's approval become late, too.
    """

    setup: float | None = Field(default=2.0, gt=0)
    export: float | None = Field(default=2.0, gt=0)
    train_full: float | None = Field(default=24.0, gt=0)
    train_update: float | None = Field(default=12.0, gt=0)
    recommend: float | None = Field(default=12.0, gt=0)
    push: float | None = Field(default=12.0, gt=0)
    tune: float | None = Field(default=72.0, gt=0)
    maintain: float | None = Field(default=6.0, gt=0)
    rollback: float | None = Field(default=1.0, gt=0)
    forget: float | None = Field(default=48.0, gt=0)
    retire: float | None = Field(default=48.0, gt=0)

    def of(self, stage: str) -> float | None:
        """Give the hours of one stage; None when a run of it is never late."""
        hours: float | None = getattr(self, stage, None)
        return hours


class Budget(Strict):
    """What a program may cost in a calendar month (UTC), in the currency of ``include/prices.yaml``.

    Looked at before each billed step, with what that step and the rest of its run are expected to cost. A step that
    would go beyond it is not begun, and its run fails; what Braze has stays as it is. The next month starts anew.

    :param monthly: None: no limit; what is used is counted all the same.
    :param warn_at: share of the limit from which on each step warns.
    :param data_points_per_month: Braze data points, which have no public price; None: no limit.
    """

    monthly: float | None = Field(default=None, gt=0)
    warn_at: float = Field(default=0.8, gt=0, le=1)
    data_points_per_month: int | None = Field(default=None, ge=1)


class Retention(Strict):
    """How long objects and resources stay; what is in use, or needed for a rollback, stays whatever its age.

    :param days: for snapshots, imports, batch jobs' input and output, recommendations and deliveries. At least a week,
        so that a run that waits for a person never loses what it works with.
    :param export_days: for exported intervals, counted from when they were last written; exports compare
        themselves with those of a week before.
    :param snapshots: so many of the newest published snapshots stay; exports compare themselves with them.
    :param champions: the solutions of so many of the last champions stay, so that a rollback can reach them.
    :param solution_days: for solutions, filters and schemas that nothing uses any more.
    :param solutions: above so many solutions the oldest unused ones go, though younger than ``solution_days``. Amazon
        Personalize takes 10 in a dataset group: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    :param idle_campaign_hours: a campaign that was not changed for so long is reported, with its price.
    """

    days: int = Field(default=30, ge=7, le=3650)
    export_days: int = Field(default=90, ge=14, le=3650)
    snapshots: int = Field(default=5, ge=1, le=100)
    champions: int = Field(default=3, ge=2, le=100)
    solution_days: int = Field(default=14, ge=1, le=3650)
    solutions: int = Field(default=8, ge=3, le=100)
    idle_campaign_hours: int = Field(default=24, ge=1, le=8760)


class Erasure(Strict):
    """What becomes of somebody who is to be forgotten.

    :param braze: ``profile`` deletes the whole profile, ``attributes`` only the attributes that recsync wrote,
        ``nothing`` leaves Braze to somebody else.
    """

    braze: Literal["profile", "attributes", "nothing"] = "profile"
