"""The explanation of one person's list, and its summary in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recsync.push.accounts import Outcome


@dataclass(frozen=True)
class Item:
    """An item of a list.

    :param name: as the catalog of the run has it; empty when it has none.
    """

    item_id: str
    name: str = ""
    score: float | None = None


@dataclass(frozen=True)
class SentList:
    """The list that was last sent to Braze for the person.

    :param delivery: that wrote the list; ``at``: when it was planned, ISO 8601.
    :param confirmed_at: when the newest recommendations that gave this list were generated, ISO 8601; empty: unknown.
    :param is_clear: False when the value in Braze is uncertain; the next push then writes it again.
    """

    delivery: str
    at: str
    confirmed_at: str
    is_clear: bool = True


@dataclass(frozen=True)
class Delivered:
    """The outcome of the newest delivery that includes the person.

    :param reason: of Braze or of the plan; empty when there is none.
    """

    delivery: str
    at: str
    outcome: str
    reason: str


@dataclass(frozen=True)
class Run:
    """The recommend run that made the list.

    :param filter: the expression of the filter; empty without one.
    """

    run: str
    generated_at: str
    version: str
    filter: str
    users: int
    lists: int


@dataclass(frozen=True)
class Explanation:
    """Everything recorded about one person's list.

    :param asked: the id as typed.
    :param user_id: empty when the person is not in the audience.
    :param person: the person's id in Braze; empty when it is unknown.
    :param erased: whether the person is on the suppression list.
    :param run: the newest published run; None when nothing was published.
    :param in_audience: whether its ``audience.sql`` returned the person.
    :param items: its list; empty without one.
    :param tier: the furthest source of the list: ``personal`` or a tier of the fallback.
    :param reason: why there is no list.
    :param unanswered: why Amazon Personalize has no answer.
    :param with_scores: whether the run read scores.
    :param left_out: by rule, the candidates that it left out; None when the run did not record them.
    :param all_rules: the rules that left out a candidate, also one of the fallback.
    :param bought: the last purchases that the fallback ``similar`` started from.
    :param braze: values in Braze now, by attribute; None when they could not be read.
    :param braze_problem: why the values in Braze could not be read.
    :param as_sent: whether the values in Braze equal the last sent ones; None when either is unknown.
    """

    program: str
    asked: str
    identifier: str
    user_id: str = ""
    person: str = ""
    erased: bool = False
    run: Run | None = None
    in_audience: bool = False
    items: tuple[Item, ...] = ()
    tier: str = ""
    reason: str = ""
    unanswered: str = ""
    segment: str = ""
    with_scores: bool = False
    left_out: Mapping[str, tuple[Item, ...]] | None = None
    all_rules: tuple[str, ...] = ()
    bought: tuple[Item, ...] = ()
    sent: SentList | None = None
    delivered: Delivered | None = None
    braze: Mapping[str, Any] | None = None
    braze_problem: str = ""
    as_sent: bool | None = None

    @property
    def summary(self) -> str:
        """Say in a sentence or two what the person has and why."""
        if self.erased:
            return (
                "This person was erased: on the suppression list, so in no export, no list and no delivery."
            )
        if self.run is None:
            return "The program has published no recommendations yet."
        if not self.in_audience:
            former = " Braze still has an earlier list, which the next push removes." if self.sent else ""
            return (
                f"Not in the audience of run {self.run.run}: audience.sql did not return this person.{former}"
            )
        if not self.items:
            rules = f" Rules that left out candidates: {', '.join(self.all_rules)}." if self.all_rules else ""
            return f"No list in run {self.run.run}: {self.reason}.{rules} {self._in_braze}".strip()
        return f"{_WHAT_BECAME[self._outcome].format(reason=self._why)} {self._in_braze}".strip()

    @property
    def _outcome(self) -> str:
        return self.delivered.outcome if self.delivered else ""

    @property
    def _why(self) -> str:
        return self.delivered.reason if self.delivered and self.delivered.reason else "no reason is known"

    @property
    def _in_braze(self) -> str:
        if self.sent is None:
            return "Braze has no list of this program." if self.delivered else ""
        if not self.sent.is_clear:
            return "What Braze has is not certain; the next push writes it again."
        return f"The list in Braze was sent at {self.sent.at}."


_WHAT_BECAME = {
    "": "The list is published and was not pushed yet.",
    Outcome.SENT: "The list was sent.",
    Outcome.UNCHANGED: "The list is the one that Braze has already.",
    Outcome.KEPT: "An earlier list stays in Braze: {reason}.",
    Outcome.DEFERRED: "The list waits for the next push: {reason}.",
    Outcome.REJECTED: "The list could not be written: {reason}.",
    Outcome.DEAD_LETTERED: "Braze gave no clear answer to the list: {reason}.",
    Outcome.REMOVED: "The list in Braze was removed, because it was too old.",
    Outcome.SUPPRESSED: "Nothing was sent: {reason}.",
}
