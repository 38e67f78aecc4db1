"""Describe one kind of Amazon Personalize resource: its operations, members, statuses and waits.

The API reference of each Describe operation lists the statuses; the service writes some of them with ``_`` for the
space. Everything that decides on a status asks here.

Names of operations and members follow one rule in the API: from ``datasetGroup`` come
``CreateDatasetGroup``, ``DescribeDatasetGroup``, ``datasetGroupArn`` and the reply member ``datasetGroup``.
The table in :mod:`airflow_personalize.resources` holds what does not follow from that rule.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

from botocore import xform_name

log = logging.getLogger(__name__)

_STOPPING = "CREATE STOPPING"
_STOPPED = "CREATE STOPPED"
_NOT_DELETED = "DELETE FAILED"


class State(StrEnum):
    """What a status means to whoever waits for a resource, uses it or removes it."""

    PENDING = "pending"
    """Changes by itself: being created, updated, started or stopped. Also a status that this package does not know."""

    READY = "ready"
    """Usable, or done."""

    FAILED = "failed"
    """Stays as it is and is not usable: a creation, update or deletion failed, or a creation was stopped."""

    GONE = "gone"
    """Being deleted, or deleted."""


_ENDS = {
    # COMPLETED: data deletion jobs. INACTIVE: recommenders that were stopped.
    **dict.fromkeys(("ACTIVE", "COMPLETED", "INACTIVE"), State.READY),
    **dict.fromkeys(
        ("FAILED", "CREATE FAILED", "UPDATE FAILED", "START FAILED", "STOP FAILED", _NOT_DELETED, _STOPPED),
        State.FAILED,
    ),
    **dict.fromkeys(("DELETE PENDING", "DELETE IN PROGRESS", "DELETED"), State.GONE),
}
_MOVING = {
    _STOPPING,
    "PENDING",
    "IN PROGRESS",
    *(
        f"{verb} {phase}"
        for verb in ("CREATE", "UPDATE", "START", "STOP")
        for phase in ("PENDING", "IN PROGRESS")
    ),
}


def status_of(description: Mapping[str, Any]) -> str:
    """Return the status in one spelling, from a description or a summary; a schema, which has none, is ACTIVE."""
    return str(description.get("status") or "ACTIVE").replace("_", " ").upper()


def state_of(description: Mapping[str, Any]) -> State:
    """Say what the status of a description or a summary means."""
    return _state(status_of(description))


def is_being_stopped(description: Mapping[str, Any]) -> bool:
    """Tell a creation that still changes, but never becomes ready."""
    return status_of(description) == _STOPPING


def was_stopped(description: Mapping[str, Any]) -> bool:
    """Tell a creation that was stopped: it failed, and is billed for what it did until then."""
    return status_of(description) == _STOPPED


def deletion_failed(description: Mapping[str, Any]) -> bool:
    """Tell a resource that should have been deleted and stays."""
    return status_of(description) == _NOT_DELETED


@cache
def _state(status: str) -> State:
    if state := _ENDS.get(status):
        return state
    if status not in _MOVING:
        # Whoever waits goes on until its time is up; nothing is removed, taken for ready or paid for again.
        log.warning(
            "Amazon Personalize reports the status %r, which recsync does not know: it counts as under way. "
            "If it is final, add it to airflow_personalize/resource.py.",
            status,
        )
    return State.PENDING


HOUR_SECONDS = 3600
READY = frozenset({State.READY})
GONE = frozenset({State.GONE})


class Arn(NamedTuple):
    """An Amazon Resource Name, taken apart."""

    partition: str
    region: str
    account: str
    tail: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """Take ``arn:PARTITION:personalize:REGION:ACCOUNT:TAIL`` apart.

        :raises ValueError: when the text has another form.
        """
        scheme, _, rest = text.partition(":")
        parts = rest.split(":", 4)
        if scheme != "arn" or len(parts) != 5:
            raise ValueError(f"{text!r} is not an ARN")
        return cls(parts[0], parts[2], parts[3], parts[4])

    def sibling(self, tail: str) -> str:
        """Return the ARN of another Personalize resource of the same account and region."""
        return f"arn:{self.partition}:personalize:{self.region}:{self.account}:{tail}"


class Compared(NamedTuple):
    """One request member that has to agree with what already exists under the name.

    :param path: dotted path in the request, and in the description unless ``found`` says otherwise.
    :param default: what the service takes an absent member for.
    :param if_asked: compare only when the request has the member, because the service fills it otherwise.
    :param found: dotted path in the description where it differs from the request's.
    """

    path: str
    default: object = None
    if_asked: bool = False
    found: str | None = None


class Update(NamedTuple):
    """How the Update operation of a resource shows in its description.

    :param member: the member with the newest update and its status, e.g. ``latestCampaignUpdate``; None when
        the resource's own status tells.
    :param compared: members that are in force once the update is done.
    """

    member: str | None
    compared: tuple[Compared, ...]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind of Amazon Personalize resource.

    :param member: the API's word, from which operation and member names follow.
    :param noun: what a person calls it.
    :param waiter: name of its model in ``waiters/personalize.json``; None when it has no status to wait for.
    :param compared: members in which a found resource must agree with the request.
    :param parent: request member with the ARN that narrows the listing.
    :param sibling: request member with the ARN that gives account and region. Default: the parent.
    :param arn_tail: tail of its ARN, over the request's members and ``dataset_group_name``; None when the
        service chooses the ARN or no parent tells the account.
    :param single_use: the name is gone for ever once used (no operation deletes such a job).
    :param one_per_parent: a dataset group holds one at most, so the one there is the one found.
    :param listed_apart: a member that Describe leaves out, with the listing that shows it.
    :param update: what its Update operation changes; None when it has none.
    :param quota: the limit that LimitExceededException most likely means, for its message.
    :param remedy: what a person can do when a found one differs from the request.
    :param patience_seconds: how long operators wait by default.
    """

    member: str
    noun: str
    waiter: str | None
    compared: tuple[Compared, ...]
    quota: str
    remedy: str
    parent: str | None = None
    sibling: str | None = None
    arn_tail: str | None = None
    name_member: str = "name"
    list_member: str | None = None
    single_use: bool = False
    one_per_parent: bool = False
    listed_apart: tuple[str, str] | None = None
    update: Update | None = None
    patience_seconds: int = HOUR_SECONDS // 2

    @property
    def arn_member(self) -> str:
        """The member holding the ARN, e.g. ``datasetGroupArn``."""
        return f"{self.member}Arn"

    @property
    def operation(self) -> str:
        """The API's word as boto3 spells it, e.g. ``dataset_group``."""
        return str(xform_name(self.member))

    @property
    def listing(self) -> str:
        """The member holding the summaries in a List reply; ListFilters alone begins with a capital."""
        return self.list_member or f"{self.member}s"

    def arn_of(self, request: Mapping[str, Any]) -> str | None:
        """Derive the ARN that the requested name has, None when it cannot be derived."""
        source = self.sibling or self.parent
        if self.arn_tail is None or source is None:
            return None
        sibling = Arn.parse(request[source])
        words = {**request, "dataset_group_name": sibling.tail.split("/")[-1]}
        return sibling.sibling(self.arn_tail.format(**words))


@dataclass(frozen=True, kw_only=True)
class Wait:
    """One thing to wait for: a resource that is being made, updated, deleted, started or stopped.

    :param resource: its Describe operation is polled.
    :param waiter: name of the model in ``waiters/personalize.json``.
    :param path: dotted path in the Describe reply to what holds ``status`` and ``failureReason``.
    :param ends: states that end the wait well.
    :param outcome: how a log line calls the end.
    :param patience_seconds: how long operators wait by default.
    :param status: the only ready status that ends the wait. Default: any.
    """

    resource: Resource
    waiter: str
    path: str
    ends: frozenset[State]
    outcome: str
    patience_seconds: int
    status: str | None = None

    @property
    def gone(self) -> bool:
        """Whether the wait ends when the service no longer knows the resource."""
        return self.ends == GONE

    @property
    def status_queries(self) -> list[str]:
        """JMESPath of what to log of each poll: the status, and the reason where there is one."""
        return [f"{self.path}.status", f"{self.path}.failureReason"]

    def polls(self, delay_seconds: int) -> int:
        """Return how many polls, one each ``delay_seconds``, cover the default patience."""
        return math.ceil(self.patience_seconds / max(delay_seconds, 1))

    def watched(self, reply: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the part of a Describe reply that holds the status; empty when there is none."""
        part: Any = reply
        for member in self.path.split("."):
            part = part.get(member) or {}
        return dict(part)

    def state(self, reply: Mapping[str, Any]) -> State:
        """Say what a Describe reply means to this wait."""
        found = self.watched(reply)
        state = state_of(found)
        is_other = state is State.READY and self.status not in {None, status_of(found)}
        return State.PENDING if is_other else state


def ready(resource: Resource) -> Wait:
    """Wait until a resource or job that is being made is ready."""
    return Wait(
        resource=resource,
        waiter=resource.waiter or "",
        path=resource.member,
        ends=READY,
        outcome="ready",
        patience_seconds=resource.patience_seconds,
    )


def in_status(resource: Resource, status: str, outcome: str) -> Wait:
    """Wait until a resource that is started or stopped has one status, whatever ready status it had before."""
    return Wait(
        resource=resource,
        waiter=f"{resource.operation}_{outcome}",
        path=resource.member,
        ends=READY,
        outcome=outcome,
        patience_seconds=HOUR_SECONDS,
        status=status,
    )


def updated(resource: Resource) -> Wait:
    """Wait until the newest update of a resource is in force."""
    latest = resource.update.member if resource.update else None
    return Wait(
        resource=resource,
        waiter=f"{resource.operation}_updated" if latest else resource.waiter or "",
        path=f"{resource.member}.{latest}" if latest else resource.member,
        ends=READY,
        outcome="updated",
        patience_seconds=HOUR_SECONDS,
    )


def deleted(resource: Resource) -> Wait:
    """Wait until the service no longer knows a resource."""
    return Wait(
        resource=resource,
        waiter=f"{resource.operation}_deleted",
        path=resource.member,
        ends=GONE,
        outcome="deleted",
        patience_seconds=HOUR_SECONDS,
    )


def stopped(resource: Resource) -> Wait:
    """Wait until a creation that is being stopped has ended, in whatever way."""
    return Wait(
        resource=resource,
        waiter=f"{resource.operation}_stopped",
        path=resource.member,
        ends=frozenset({State.READY, State.FAILED}),
        outcome="stopped",
        patience_seconds=HOUR_SECONDS,
    )
