"""The program file: who is told when something goes wrong, and from when on a run is late."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from recsync.program.section import Strict


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
