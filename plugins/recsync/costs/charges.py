"""What is billed: kinds of use, and how much of one a step is expected to need."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What Amazon Personalize and Braze bill by.

    https://aws.amazon.com/personalize/pricing/
    https://www.braze.com/docs/user_guide/data/infrastructure/data_points
    """

    INGESTED_BYTES = "ingested_bytes"
    TRAINING_HOURS = "training_hours"
    TRAINED_INTERACTIONS = "trained_interactions"
    BATCH_RECOMMENDATIONS = "batch_recommendations"
    BATCH_SEGMENT_USERS = "batch_segment_users"
    CAMPAIGN_TPS_HOURS = "campaign_tps_hours"
    DATA_POINTS = "data_points"


@dataclass(frozen=True)
class Charge:
    """So much of one kind of use, which a step is expected to need.

    :param what: what it is for, in a few words; one run expects each thing once.
    :param job: name of the job, solution version or delivery that will be billed; what is booked under this name takes
        the place of the expectation. Empty when nothing with a name of its own is.
    :param basis: what the quantity was told from.
    """

    kind: Kind
    quantity: float
    what: str
    job: str = ""
    basis: str = ""
