"""The files of a plan, its figures and its budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyarrow as pa

from braze_client.rate_plan import RatePlan
from recsync.program import Delivery

# In the order sent.
PARTS = ("canary", "removals", "rest")
CHANGES = pa.list_(pa.struct([("attribute", pa.string()), ("fingerprint", pa.uint64())]))
WRITES = pa.schema(
    [
        ("external_id", pa.string()),
        ("in_audience", pa.bool_()),
        ("removal", pa.bool_()),
        ("object", pa.binary()),
        ("data_points", pa.int64()),
        ("changes", CHANGES),
        # Reason for removing the attributes, written to the account; null: none.
        ("reason", pa.string()),
    ]
)
SETTLED = pa.schema([("external_id", pa.string()), ("outcome", pa.string()), ("reason", pa.string())])
STATE = pa.schema(
    [
        ("external_id", pa.string()),
        ("attribute", pa.string()),
        # Null: written, value unknown; the next plan writes it again.
        ("fingerprint", pa.uint64()),
        ("delivery", pa.string()),
        # Unix seconds since when the user keeps this list without an answer of Amazon Personalize; 0: a fallback list
        # that was written instead of an answer. Null: the list was an answer.
        ("kept_since", pa.int64()),
        # Unix seconds of the newest recommendations that gave the user this value; null: unknown.
        ("confirmed_at", pa.int64()),
    ]
)
UNANSWERED_FILE = "unanswered.parquet"


@dataclass(frozen=True)
class PlanFigures:
    """The counts of a plan.

    :param audience: users of the run; each is in exactly one of ``writes``, ``removals`` and ``settled``.
    :param rows: writes by part, in the order sent; those of users outside the audience among them.
    :param writes: users of the audience who get something.
    :param removals: users of the audience who lose the attributes.
    :param left_audience: users outside the audience who lose them.
    :param settled: users who need no write, by outcome.
    :param reasons: users without a list, and users who cannot be sent, by reason.
    :param object_bytes: of all rendered writes.
    :param had_list: users who have a list by the last-sent state.
    :param losing: those of them who lose it, over a cap or not; held-out people are not counted.
    :param losing_outside: those of them who are no longer in the audience.
    :param deferred: users over a cap, those outside the audience among them.
    :param refreshed: users who get nothing but the date of their unchanged list; a data point each.
    :param held_out: users who lose the attributes because an experiment holds them out; not among ``losing``.
    """

    audience: int
    rows: dict[str, int]
    writes: int
    removals: int
    left_audience: int
    settled: dict[str, int]
    reasons: dict[str, int]
    data_points: int
    object_bytes: int
    had_list: int = 0
    losing: int = 0
    losing_outside: int = 0
    deferred: int = 0
    refreshed: int = 0
    held_out: int = 0

    @property
    def total_rows(self) -> int:
        return sum(self.rows.values())


# So few removals never stop a delivery.
MIN_REMOVED = 10


@dataclass(frozen=True)
class Estimate:
    """The estimate of a delivery before it is sent.

    :param people: users written, removals among them.
    :param requests: calls of ``/users/track``, without retries.
    :param minutes: at the rate limit of the connection's rate plan.
    :param data_points: as Braze bills them on contracts that have them.
    """

    people: int
    requests: int
    minutes: float
    data_points: int


def estimate(figures: PlanFigures, rates: RatePlan) -> Estimate:
    """Estimate a delivery at the limits of the Braze connection."""
    people = figures.total_rows
    requests = max(
        math.ceil(people / rates.objects_per_call), math.ceil(figures.object_bytes / rates.bytes_per_call)
    )
    minutes = requests / rates.requests_per_second / 60
    return Estimate(people, requests, round(minutes, 2), figures.data_points)


def cap(delivery: Delivery, written_today: int) -> int | None:
    """Return how many users may be written now; None for all."""
    caps = [delivery.max_users_per_run] if delivery.max_users_per_run is not None else []
    if delivery.max_users_per_day is not None:
        caps.append(max(0, delivery.max_users_per_day - written_today))
    return min(caps) if caps else None


def removal_brake(delivery: Delivery, figures: PlanFigures, why: str = "") -> str:
    """Return why too many users would lose their list for this program; empty when they do not.

    Many removals at once mostly come from missing input, such as an audience query that returns too little.

    :param why: they would lose it; empty: for want of recommendations.
    """
    losing, had = figures.losing, figures.had_list
    if losing <= max(MIN_REMOVED, delivery.max_removed_share * had):
        return ""
    why = why or (
        f"{figures.losing_outside:,} are not in the audience any more, {losing - figures.losing_outside:,} have no "
        "recommendations any more"
    )
    return (
        f"{losing:,} of the {had:,} people who have a list would lose it ({losing / had:.0%}), more than "
        f"braze.delivery.max_removed_share ({delivery.max_removed_share:.0%}) allows: {why}"
    )
