"""The explanation of one person's list: its summary in a sentence, and its text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsync.push.accounts import Outcome


@dataclass(frozen=True)
class Item:
    """An item of a list.

    :param name: as the catalog of the run has it; empty when it has none.
    :param put_by: what put it into the list: ``personal``, a rule with a share or a tier of the fallback; empty when
        the run did not record it.
    """

    item_id: str
    name: str = ""
    score: float | None = None
    put_by: str = ""


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

    :param version: of the list, by the person's arm; empty when the list is of no model.
    :param filter: the expression of the filter; empty without one.
    :param experiment: name of the program's experiment; empty without one.
    """

    run: str
    generated_at: str
    version: str
    filter: str
    users: int
    lists: int
    experiment: str = ""


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
    :param arm: of the experiment; empty outside it.
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
    arm: str = ""
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
    Outcome.HELD_OUT: "Nothing was sent: {reason}.",
}


_NO_RECORD = "not recorded: the run is of an earlier version"


def as_text(found: Explanation) -> str:
    """Return the explanation of one person."""
    lines = [found.summary, *(f"  {name:<12} {value}" for name, value in facts(found))]
    if found.items:
        lines += ["", "  list"]
        lines += [
            f"  {place:>4}  {_item(item)}  {score_text(item, found)}  {put_by_text(item)}"
            for place, item in enumerate(found.items, 1)
        ]
    if found.left_out is None:
        lines += ["", f"  left out by rules: {_NO_RECORD}"] if found.in_audience else []
    for rule, items in (found.left_out or {}).items():
        lines += ["", f"  left out: {rule} ({len(items)})", *(f"        {name}" for name in named(items))]
    if found.bought:
        lines += [
            "",
            "  last purchases that the fallback started from",
            *(f"        {_item(i)}" for i in found.bought),
        ]
    return "\n".join(lines)


def facts(found: Explanation) -> Iterator[tuple[str, str]]:
    """Yield labels and values about run, delivery and Braze."""
    if found.user_id:
        yield "user_id", found.user_id
    yield found.identifier, found.person
    if found.run:
        yield "run", f"{found.run.run}, generated at {found.run.generated_at}"
        if found.run.experiment:
            yield "arm", f"{found.arm or 'outside'} of experiment {found.run.experiment}"
        no_model = "the arm gets no model" if found.arm else "published from an existing batch output"
        yield "version", found.run.version or f"none: {no_model}"
        yield "filter", found.run.filter or "none"
    if found.tier:
        yield "tier", found.tier + (f", segment {found.segment}" if found.segment else "")
    if found.unanswered:
        yield "unanswered", found.unanswered
    if found.delivered:
        reason = f": {found.delivered.reason}" if found.delivered.reason else ""
        yield "delivery", f"{found.delivered.delivery}, {found.delivered.outcome}{reason}"
    if found.sent:
        confirmed = found.sent.confirmed_at or "an unknown time"
        yield "sent", f"{found.sent.at} by {found.sent.delivery}, confirmed by recommendations of {confirmed}"
    yield "Braze now", braze_text(found)


def braze_text(found: Explanation) -> str:
    """Describe the values in Braze now, and whether they equal those sent."""
    if found.braze is None:
        return found.braze_problem
    same = {True: ", as sent", False: ", NOT what was sent", None: ""}[found.as_sent]
    shown = ", ".join(f"{name} = {_short(value)}" for name, value in found.braze.items())
    return f"{shown or 'no attribute of this program'}{same}"


def _short(value: object) -> str:
    if isinstance(value, list):
        ids = [str(one.get("id", "?")) if isinstance(one, dict) else str(one) for one in value]
        return f"[{', '.join(ids)}]"
    return str(value)


def named(items: Sequence[Item]) -> list[str]:
    """Return the names of items, and the number of unknown items: their ids were not kept."""
    unknown = sum(not item.item_id for item in items)
    return [_item(item) for item in items if item.item_id] + ([f"{unknown} unknown items"] if unknown else [])


def _item(item: Item) -> str:
    return f"{item.item_id}  {item.name}".rstrip()


def score_text(item: Item, found: Explanation) -> str:
    """Return the score of an item of the list, or why it has none."""
    if not found.with_scores:
        return "not read"
    if item.score is not None:
        return f"{item.score:.7f}"
    return "none" if item.put_by else "none: fallback or promoted"


def put_by_text(item: Item) -> str:
    """Return what put an item into the list."""
    return item.put_by or "not recorded"
