"""The report of one lift run: the arms of an experiment, compared with its control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

VALUE_PER_USER = "value_per_user"
CONVERSION = "conversion"
RECOMMENDED_ITEMS = "recommended_items"
METRICS = {
    VALUE_PER_USER: "value per user",
    CONVERSION: "share of users who converted",
    RECOMMENDED_ITEMS: "recommended items bought per user",
}


@dataclass(frozen=True)
class ArmFigures:
    """One arm's figures. Everybody in the arm counts, whether or not anything was sent (intention to treat).

    :param gets: what the program file gives the arm, in its words.
    :param share: of the program file, 0 to 1.
    :param users: people who never changed their arm.
    :param moved: people who changed their arm; no other figure includes them.
    :param delivered: users to whom at least one delivery sent a list since they were given the arm.
    :param converted: users with a conversion.
    :param conversion: ``converted`` by ``users``; 0 without users.
    :param value: sum of the conversions' values.
    :param value_per_user: ``value`` by ``users``; 0 without users.
    :param bought_recommended: conversions of an item in a list that the buyer was sent within the window before.
    """

    arm: str
    gets: str
    share: float
    users: int
    moved: int
    delivered: int
    converted: int
    conversion: float
    value: float
    value_per_user: float
    bought_recommended: int


@dataclass(frozen=True)
class ComparedArm:
    """One metric of one arm beside the control.

    An interval is None where too few users converted for a normal approximation. Relative figures are None where the
    control's mean is 0.

    :param metric: a key of ``METRICS``; ``label`` is its name for people.
    :param difference: arm minus control, in the metric's unit, after the CUPED adjustment.
    :param relative: ``difference`` by the control's mean: 0.05 is 5 % more.
    :param low: 95 % interval of ``difference`` for one look at a time fixed beforehand; ``high`` its upper end.
    :param p_value: of a difference of 0, for that one look; ``p_adjusted``: by Holm, over the arms of this metric.
    :param always_low: always-valid 95 % interval of ``difference``: it holds at all looks together; ``always_high`` its
        upper end.
    :param relative_low: 95 % interval of ``relative`` for one look; ``relative_high`` its upper end.
    :param variance_reduction: share of the variance that the pre-period explains, 0 to 1.
    :param always_relative_low: always-valid 95 % interval of ``relative``; ``always_relative_high`` its upper end.
    """

    arm: str
    control: str
    metric: str
    label: str
    difference: float
    relative: float | None
    low: float | None
    high: float | None
    p_value: float | None
    always_low: float | None
    always_high: float | None
    relative_low: float | None
    relative_high: float | None
    variance_reduction: float = 0.0
    p_adjusted: float | None = None
    always_relative_low: float | None = None
    always_relative_high: float | None = None

    @property
    def is_better(self) -> bool:
        """Whether the always-valid intervals, absolute and relative (if known), are above 0."""
        low, ratio = self.always_low, self.always_relative_low
        return low is not None and low > 0 and (ratio is None or ratio > 0)

    @property
    def is_worse(self) -> bool:
        """Whether the always-valid intervals, absolute and relative (if known), are below 0."""
        high, ratio = self.always_high, self.always_relative_high
        return high is not None and high < 0 and (ratio is None or ratio < 0)


@dataclass(frozen=True)
class SampleRatio:
    """The test of whether the people by arm match the shares.

    :param expected: arm -> people expected by the shares; ``observed``: arm -> people.
    :param p_value: of a chi-square test.
    :param mismatch: ``p_value`` is below 0.001: assignment or counting is broken, and the figures are invalid.
    """

    expected: dict[str, float]
    observed: dict[str, int]
    p_value: float
    mismatch: bool


@dataclass(frozen=True)
class Power:
    """How many people and days the planned effect needs.

    :param effect: relative, of the program file.
    :param users_needed: people of the arm and of the control together, for ``horizon_days``; None: not known.
    :param days_needed: since the start, with the present people; None: unknown, or never with so few people.
    :param days_left: remaining days of ``days_needed``.
    :param note: the sentence for people.
    :param horizon_days: days of outcomes that ``users_needed`` assumes.
    """

    effect: float
    users_needed: int | None
    days_needed: int | None
    days_left: int | None
    note: str
    horizon_days: int = 0


@dataclass(frozen=True)
class Guardrail:
    """The rate of one unwanted event in one arm.

    :param rate: share of the arm's users with the event.
    :param relative: rise beside control: 0.2 is 20 % more; None where control has no such event.
    :param low: lower end of the always-valid one-sided 95 % interval of ``relative``; None: too few events.
    :param high: upper end, of the other side.
    :param limit: of the program file.
    :param broken: ``relative`` is above ``limit`` and ``low`` above 0.
    """

    event: str
    arm: str
    rate: float
    control_rate: float
    relative: float | None
    low: float | None
    high: float | None
    limit: float
    broken: bool


@dataclass(frozen=True)
class LiftReport:
    """What one lift run found.

    :param run: key of the run; keys sort by time.
    :param at: time of the run, ISO 8601.
    :param since: when the first person was given an arm, ISO 8601.
    :param until: outcomes before this moment count, ISO 8601.
    :param days: days from ``since`` to ``until``.
    :param control: the arm that the others are compared with.
    :param comparisons: of each arm with ``control``; then of arms with another model with the champion's arm.
    :param window_days: days after a delivery in which a bought item counts as recommended.
    :param verdict: one sentence for people.
    :param outcomes: number of rows of ``outcomes.sql`` by treatment: counted, or the reason for leaving them out.
    :param notes: limits of the figures, as sentences for people.
    """

    program: str
    experiment: str
    layer: str
    run: str
    at: str
    since: str
    until: str
    days: float
    control: str
    window_days: int
    arms: tuple[ArmFigures, ...]
    comparisons: tuple[ComparedArm, ...]
    ratio: SampleRatio
    power: Power
    guardrails: tuple[Guardrail, ...]
    verdict: str
    outcomes: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def compared(self, arm: str, metric: str, control: str = "") -> ComparedArm | None:
        """Return one comparison; None when the report has none.

        :param control: the arm to compare with; empty: the report's control.
        """
        wanted = (arm, metric, control or self.control)
        return next((c for c in self.comparisons if (c.arm, c.metric, c.control) == wanted), None)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Parse the JSON document; unknown members are ignored."""
        found = _known(cls, document)
        for name, part in _LISTS.items():
            found[name] = tuple(part(**_known(part, each)) for each in document[name])
        for name, part in _PARTS.items():
            found[name] = part(**_known(part, document[name]))
        return cls(**{**found, "notes": tuple(document.get("notes", ()))})


_LISTS: Mapping[str, type] = {"arms": ArmFigures, "comparisons": ComparedArm, "guardrails": Guardrail}
_PARTS: Mapping[str, type] = {"ratio": SampleRatio, "power": Power}


def _known(part: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(part)}
    return {name: value for name, value in document.items() if name in names}
