"""Meter the usage that Amazon Personalize bills, since the data folder was created.

| key | counts |
|---|---|
| ingested_bytes | CSV objects of imports that became ACTIVE, and bodies of accepted personalize-events calls |
| training_hours | `trainingHours` of trainings that became ACTIVE or were stopped, except those of v2 recipes |
| trained_interactions | rows of Interactions, before events are filtered, in trainings of v2 recipes |
| batch_recommendations | input lines that batch inference jobs answered: one recommendation list each |
| batch_segment_users | users in the output of batch segment jobs |
| campaign_tps_hours | `minProvisionedTPS` for as long as a campaign is ACTIVE; traffic beyond it is not counted |
| recommender_rps_hours | `minRecommendationRequestsPerSecond` for as long as a recommender is ACTIVE; as above |

Failed jobs are not counted, nor trainings of recommenders, which their hours include. https://aws.amazon.com/personalize/pricing/
"""

from __future__ import annotations

import time

from personalize_local.recipes import get_recipe
from personalize_local.resources import ACTIVE, CAMPAIGN, RECOMMENDER, Resource
from personalize_local.store import Store

INGESTED_BYTES = "ingested_bytes"
TRAINING_HOURS = "training_hours"
TRAINED_INTERACTIONS = "trained_interactions"
BATCH_RECOMMENDATIONS = "batch_recommendations"
BATCH_SEGMENT_USERS = "batch_segment_users"
CAMPAIGN_TPS_HOURS = "campaign_tps_hours"
RECOMMENDER_RPS_HOURS = "recommender_rps_hours"
KEYS = (
    INGESTED_BYTES,
    TRAINING_HOURS,
    TRAINED_INTERACTIONS,
    BATCH_RECOMMENDATIONS,
    BATCH_SEGMENT_USERS,
    CAMPAIGN_TPS_HOURS,
    RECOMMENDER_RPS_HOURS,
)
_SERVING = {CAMPAIGN.noun: CAMPAIGN_TPS_HOURS, RECOMMENDER.noun: RECOMMENDER_RPS_HOURS}
_SECONDS_PER_HOUR = 3600
_SINCE = "servingSinceSeconds"


def report(store: Store, streamed_bytes: int) -> dict[str, float]:
    """Return all figures; what serves now counts up to now."""
    with store.transaction():
        figures = dict.fromkeys(KEYS, 0.0) | store.metered()
        for noun, key in _SERVING.items():
            figures[key] += sum(_served_hours(each) for each in store.select(noun, statuses=[ACTIVE]))
    figures[INGESTED_BYTES] += streamed_bytes
    return figures


def bill_training(store: Store, version: Resource, interactions: int) -> None:
    """Count a training by its `trainingHours`, or by its interactions for v2 recipes.

    :param interactions: rows of the dataset when it began.
    """
    if get_recipe(version.body["recipeArn"]).name.endswith("-v2"):
        store.meter(TRAINED_INTERACTIONS, interactions)
    else:
        store.meter(TRAINING_HOURS, version.body["trainingHours"])


def start_serving(resource: Resource) -> None:
    """Start to count a campaign or recommender; the caller saves it."""
    resource.internal[_SINCE] = time.time()


def stop_serving(store: Store, resource: Resource) -> None:
    """Count the usage of a campaign or recommender since it began to serve at its current throughput."""
    store.meter(_SERVING[resource.kind], _served_hours(resource))
    resource.internal.pop(_SINCE, None)


def _served_hours(resource: Resource) -> float:
    """Return the hours since it began to serve, times the requests per second that are billed at least."""
    config = resource.body.get("recommenderConfig") or {}
    least = resource.body.get("minProvisionedTPS") or config.get("minRecommendationRequestsPerSecond") or 1
    now_seconds = time.time()
    seconds = now_seconds - float(resource.internal.get(_SINCE, now_seconds))
    return float(least) * max(0.0, seconds) / _SECONDS_PER_HOUR
