"""Enforce the quotas relevant to pipelines, with the service's limits unless adjusted.

Figures: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from personalize_local.errors import limit_exceeded
from personalize_local.resources import CREATING, Kind
from personalize_local.store import Store

# Minimum records of an import of interactions, FULL or INCREMENTAL; not adjustable.
MIN_IMPORT_INTERACTIONS = 1000


@dataclass(frozen=True)
class Quota:
    """Limit of a kind of resource: per parent or per region, of all resources or only of those in creation."""

    name: str
    noun: str
    default: int
    adjustable: bool = True
    per_parent: bool = False
    in_progress: bool = False


QUOTAS = (
    Quota("dataset-groups", "DatasetGroup", 5),
    Quota("schemas", "Schema", 500, adjustable=False),
    Quota("dataset-import-jobs-in-progress", "DatasetImportJob", 5, adjustable=False, in_progress=True),
    Quota("solution-versions-in-progress", "SolutionVersion", 20, in_progress=True),
    Quota("batch-inference-jobs-in-progress", "BatchInferenceJob", 5, in_progress=True),
    Quota("batch-segment-jobs-in-progress", "BatchSegmentJob", 5, adjustable=False, in_progress=True),
    # The page lists this quota both as adjustable and as fixed.
    Quota("data-deletion-jobs-per-dataset-group", "DataDeletionJob", 5, per_parent=True, in_progress=True),
    Quota("solutions-per-dataset-group", "Solution", 10, per_parent=True),
    Quota("campaigns-per-dataset-group", "Campaign", 5, per_parent=True),
    Quota("filters-per-dataset-group", "Filter", 30, per_parent=True),
    Quota("event-trackers-per-dataset-group", "EventTracker", 1, adjustable=False, per_parent=True),
    Quota("recommenders-per-dataset-group", "Recommender", 5, adjustable=False, per_parent=True),
    # https://docs.aws.amazon.com/personalize/latest/dg/creating-recommenders.html
    Quota("recommenders", "Recommender", 15, adjustable=False),
    Quota("metric-attributions-per-dataset-group", "MetricAttribution", 1, adjustable=False, per_parent=True),
)
ADJUSTABLE = {quota.name: quota for quota in QUOTAS if quota.adjustable}


@dataclass(frozen=True)
class Quotas:
    """Quotas of one server: the service's limits, except the `adjusted` ones."""

    adjusted: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for names that are not adjustable and limits below 1."""
        for name, limit in self.adjusted.items():
            if name not in ADJUSTABLE:
                raise ValueError(f"{name} is not an adjustable quota; those are {', '.join(ADJUSTABLE)}")
            if limit < 1:
                raise ValueError(f"the quota {name} must be at least 1, not {limit}")

    def check(self, store: Store, kind: Kind, region: str, parent_arn: str | None = None) -> None:
        """Raise LimitExceededException when a limit of this kind is reached.

        :param parent_arn: the dataset group, for the kinds counted per group.
        """
        for quota in QUOTAS:
            if quota.noun == kind.noun:
                self._check(quota, store, kind, region, parent_arn)

    def _check(self, quota: Quota, store: Store, kind: Kind, region: str, parent_arn: str | None) -> None:
        limit = self.adjusted.get(quota.name, quota.default)
        counted = store.select(
            kind.noun,
            region=region,
            parent_arn=parent_arn if quota.per_parent else None,
            statuses=CREATING if quota.in_progress else None,
        )
        if len(counted) < limit:
            return
        if quota.in_progress:
            raise limit_exceeded(f"More than {limit} resources with PENDING or IN_PROGRESS status.")
        raise limit_exceeded(f"The account has reached the limit of {limit} {kind.list_member}.")
