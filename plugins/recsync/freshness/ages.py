"""Measure how old the lists in Braze are, and send an alert before they are too old."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from recsync.alerts.message import send
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.program import Event
from recsync.push.diff import count_ages
from recsync.push.plan_format import MIN_REMOVED
from recsync.push.store import LastSent, LastSentState
from recsync.storage import duck
from recsync.storage.bucket import Bucket
from recsync.storage.document import Document
from recsync.storage.duck import work_folder
from recsync.storage.keys import Keys

# A daily run starts a little earlier or later than the one before.
_NOTICE_TIME = timedelta(hours=20)


@dataclass(frozen=True)
class Ages:
    """The lists in Braze by age.

    :param people: people with a list by the last-sent state.
    :param ageing: of these, people with a list at least half as old as allowed, but not too old.
    :param too_old: people with a list older than ``recommendations.max_age_days``.
    :param unknown: people with a list of unknown age: an earlier version wrote the state; the next push corrects it.
    :param newest: generation time of the newest pushed recommendations, ISO 8601; empty: none were pushed.
    """

    people: int
    ageing: int
    too_old: int
    unknown: int
    newest: str


@dataclass(frozen=True)
class Notice:
    """The last alert that a program's lists become too old.

    It allows the removal of all lists only while the newest lists and the limit are those of the alert.
    """

    told_at: str = ""
    newest: str = ""
    max_age_days: int = 0


@dataclass(frozen=True)
class NoticeStore:
    """The notice of one program on S3."""

    bucket: Bucket
    keys: Keys

    @property
    def document(self) -> Document[Notice]:
        """The document, which a retry may write again."""
        return Document(
            self.bucket,
            self.keys.state("freshness.json"),
            lambda found: Notice(**found) if found else Notice(),
            asdict,
        )


def max_age(context: StageContext) -> timedelta:
    """Return how old a list may be.

    :raises FatalError: when the program does not limit it.
    """
    allowed = context.program.recommendations.max_age
    if allowed is None:
        raise FatalError(
            f"{context.program.name} has no recommendations.max_age_days; say it in the program file."
        )
    return allowed


def measure(context: StageContext, state: LastSentState, now: datetime) -> Ages:
    """Count the people of the last-sent state by the age of their list."""
    allowed = max_age(context)
    with work_folder() as work:
        table = context.store(LastSent).download(state, work / "state.parquet")
        if table is None:
            return Ages(0, 0, 0, 0, state.newest.created_at)
        with duck.opened(work) as database:
            counted = count_ages(database, table, int(now.timestamp()), int(allowed.total_seconds()))
    return Ages(*counted, state.newest.created_at)


def check(program_name: str, now: datetime) -> dict[str, Any]:
    """Measure the ages, and send an alert when the newest lists, or many people's, are half as old as allowed.

    :returns: the ages.
    """
    context = StageContext.of(program_name)
    program, allowed = context.program, max_age(context)
    state, _ = context.store(LastSent).read()
    ages = measure(context, state, now)
    if not ages.people or not ages.newest:
        return asdict(ages)
    generated = datetime.fromisoformat(ages.newest)
    old = ages.ageing + ages.too_old
    if now - generated >= allowed / 2:
        ends = generated + allowed
        send(
            program,
            Event.STALE,
            f"no newer lists for {(now - generated).days} days",
            f"What happened: the newest lists of {program.name} in Braze were generated at {ages.newest}, and no push "
            f"brought newer ones since. From {ends:%Y-%m-%d %H:%M} UTC on they are older than "
            f"recommendations.max_age_days ({allowed.days}): e-mails show their fallback, and {program.name}_freshness "
            f"removes the lists of {ages.people:,} people.\n"
            f"What to do: look at the last runs of {program.name}_recommend and {program.name}_push: one fails, is "
            "paused, or waits for an answer. To keep older lists, raise max_age_days in the program file.",
            key=f"stale: {ages.newest}",
        )
        _note(context, Notice(now.isoformat(), ages.newest, allowed.days))
    elif old > max(MIN_REMOVED, program.braze.delivery.max_removed_share * ages.people):
        send(
            program,
            Event.STALE,
            f"{old:,} people have old lists",
            f"What happened: newer lists of {program.name} are pushed, but {old:,} of {ages.people:,} people have one "
            f"that is more than {allowed.days / 2:g} days old; {ages.too_old:,} of them one that is too old.\n"
            f"What to do: see why the last deliveries did not write them (docs/explain.md): over a cap of "
            "braze.delivery, refused by Braze, or without an answer of Amazon Personalize.",
            key="old lists",
        )
    return asdict(ages)


def _note(context: StageContext, notice: Notice) -> None:
    """Record a notice; keep the time of an earlier one about the same lists and limit."""

    def change(former: Notice) -> Notice:
        same = (former.newest, former.max_age_days) == (notice.newest, notice.max_age_days)
        return former if same else notice

    context.store(NoticeStore).document.update(change)


def was_told(context: StageContext, newest: str, now: datetime) -> bool:
    """Return whether the alert that these lists become too old is a day old, so that people could act."""
    notice, allowed = context.store(NoticeStore).document.get(), max_age(context)
    if not newest or (notice.newest, notice.max_age_days) != (newest, allowed.days):
        return False
    return now - datetime.fromisoformat(notice.told_at) >= _NOTICE_TIME
