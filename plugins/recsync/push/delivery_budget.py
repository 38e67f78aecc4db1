"""What a delivery costs: requests, minutes, data points; how many people a cap leaves; and how many may lose a list."""

from __future__ import annotations

import math
from dataclasses import dataclass

from braze_client.payloads import MAX_BODY_BYTES
from recsync.program import Delivery
from recsync.push.schemas import Figures

# A handful of removals stops no delivery, however few people there are.
MIN_REMOVED = 10


@dataclass(frozen=True)
class Estimate:
    """What a delivery will take, before it is sent.

    :param people: people written, removals among them.
    :param requests: calls of ``/users/track``, without retries.
    :param minutes: at the rate limit of the connection's rate plan.
    :param data_points: as Braze bills them on contracts that have them.
    """

    people: int
    requests: int
    minutes: float
    data_points: int


def estimate(
    people: int,
    object_bytes: int,
    data_points: int,
    *,
    objects_per_call: int,
    bytes_per_call: int = MAX_BODY_BYTES,
    requests_per_second: float,
) -> Estimate:
    """Estimate a delivery.

    :param object_bytes: of all rendered objects.
    """
    requests = max(math.ceil(people / objects_per_call), math.ceil(object_bytes / bytes_per_call))
    minutes = requests / requests_per_second / 60
    return Estimate(people, requests, round(minutes, 2), data_points)


def cap(delivery: Delivery, written_today: int) -> int | None:
    """Say how many people may be written now; None for all."""
    caps = [delivery.max_users_per_run] if delivery.max_users_per_run is not None else []
    if delivery.max_users_per_day is not None:
        caps.append(max(0, delivery.max_users_per_day - written_today))
    return min(caps) if caps else None


def removal_brake(delivery: Delivery, figures: Figures) -> str:
    """Say that more people lose their list than the program allows; empty when they do not.

    So many removals at once mostly come from missing input, such as an audience query that returns too little.
    """
    losing, had = figures.losing, figures.had_list
    if losing <= max(MIN_REMOVED, delivery.max_removed_share * had):
        return ""
    return (
        f"{losing:,} of the {had:,} people who have a list would lose it ({losing / had:.0%}), more than "
        f"braze.delivery.max_removed_share ({delivery.max_removed_share:.0%}) allows: {figures.losing_outside:,} are "
        f"not in the audience any more, {losing - figures.losing_outside:,} have no recommendations any more"
    )
