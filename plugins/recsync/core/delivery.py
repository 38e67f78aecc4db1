"""A delivery: what must be written to Braze, and how every person of the audience was counted.

The plan compares what should be there with the last-sent state; Braze is never asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from recsync.core.payloads import Json, attributes_object, fingerprint, list_value
from recsync.core.program import Braze
from recsync.errors import FatalError


class Outcome(StrEnum):
    """How one person of the audience is counted; exactly one each."""

    SENT = "sent"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    REJECTED = "rejected"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True)
class Wanted:
    """What one person should have.

    :param item_ids: the list; empty when there is nothing fit to mail, and then ``reason`` says why.
    """

    external_id: str
    item_ids: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True)
class Write:
    """One attribute to write: ``value`` None removes it, and then there is no fingerprint."""

    external_id: str
    value: list[Any] | None
    fingerprint: str | None

    def attributes(self, braze: Braze) -> Json:
        """Build the object for the ``attributes`` array."""
        return attributes_object(braze, self.external_id, self.value)


@dataclass(frozen=True)
class Plan:
    """Everything one delivery has to do.

    :param audience: ids of the people the delivery must account for.
    :param writes: one per person whose attribute differs from what Braze was told last.
    :param unchanged: people who have it already.
    :param suppressed: people who get nothing and had nothing: id -> reason.
    """

    audience: frozenset[str]
    writes: tuple[Write, ...]
    unchanged: frozenset[str]
    suppressed: Mapping[str, str]


def plan_delivery(
    braze: Braze, wanted: Iterable[Wanted], items: Mapping[str, Json], last_sent: Mapping[str, str]
) -> Plan:
    """Compare the wanted lists with the last-sent fingerprints.

    :param items: item fields by item id, for ``payload: objects``.
    :param last_sent: fingerprint by external id, of everyone who has the attribute now.
    """
    audience: set[str] = set()
    unchanged: set[str] = set()
    suppressed: dict[str, str] = {}
    writes: list[Write] = []
    for person in wanted:
        if person.external_id in audience:
            raise FatalError(
                f"The audience holds the Braze user {person.external_id} twice; two writes for one user would race. "
                "Make external_id unique in audience.sql."
            )
        audience.add(person.external_id)
        if not person.item_ids:
            if person.external_id in last_sent:
                writes.append(Write(person.external_id, None, None))
            else:
                suppressed[person.external_id] = person.reason
            continue
        value = list_value(braze, person.item_ids, items)
        digest = fingerprint([braze.attribute, value])
        if last_sent.get(person.external_id) == digest:
            unchanged.add(person.external_id)
        else:
            writes.append(Write(person.external_id, value, digest))
    # Whoever left the audience must not be mailed old recommendations.
    gone = sorted(last_sent.keys() - audience)
    writes.sort(key=lambda write: write.external_id)
    writes.extend(Write(external_id, None, None) for external_id in gone)
    return Plan(frozenset(audience), tuple(writes), frozenset(unchanged), suppressed)


@dataclass
class Account:
    """The count of a delivery while it goes on.

    :param rejected: external id -> reason, in Braze's words.
    """

    plan: Plan
    sent: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    rejected: dict[str, str] = field(default_factory=dict)

    def settle(self, write: Write, reason: str | None) -> None:
        """Count one write: accepted, or rejected with a reason."""
        if reason is not None:
            self.rejected[write.external_id] = reason
        elif write.value is None:
            self.removed.add(write.external_id)
        else:
            self.sent.add(write.external_id)

    def outcomes(self) -> dict[str, int]:
        """Count the audience by outcome, and prove that everyone is counted exactly once.

        :raises FatalError: when the sum is not the audience.
        """
        groups = {
            Outcome.SENT: self.sent,
            Outcome.UNCHANGED: self.plan.unchanged,
            Outcome.REMOVED: self.removed & self.plan.audience,
            Outcome.REJECTED: self.rejected.keys() & self.plan.audience,
            Outcome.SUPPRESSED: self.plan.suppressed.keys(),
        }
        counted = Counter(person for group in groups.values() for person in group)
        wrong = [person for person in self.plan.audience if counted[person] != 1]
        if wrong or len(counted) != len(self.plan.audience):
            raise FatalError(
                f"The delivery does not add up: {len(self.plan.audience)} people in the audience, "
                f"{counted.total()} counted, {len(wrong)} not exactly once. Nothing more is sent; please report this."
            )
        return {outcome.value: len(group) for outcome, group in groups.items()}

    @property
    def left_audience(self) -> int:
        """How many people outside the audience lost the attribute."""
        return len(self.removed - self.plan.audience)
