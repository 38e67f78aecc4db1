"""Enforce the quotas that pipelines run into, at the service's figures unless the server is told others.

Figures: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from personalize_local.errors import limit_exceeded
from personalize_local.resources import CREATING, Kind
from personalize_local.store import Store


@dataclass(frozen=True)
class Quota:
    """Say how many resources of a kind there may be: per parent or per region, all or only those in creation."""

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
    # The page lists this one among the adjustable and among the fixed ones.
    Quota("data-deletion-jobs-per-dataset-group", "DataDeletionJob", 5, per_parent=True, in_progress=True),
    Quota("solutions-per-dataset-group", "Solution", 10, per_parent=True),
    Quota("campaigns-per-dataset-group", "Campaign", 5, per_parent=True),
    Quota("filters-per-dataset-group", "Filter", 30, per_parent=True),
    Quota("event-trackers-per-dataset-group", "EventTracker", 1, adjustable=False, per_parent=True),
    Quota("metric-attributions-per-dataset-group", "MetricAttribution", 1, adjustable=False, per_parent=True),
)
# Records of one import of interactions, FULL or INCREMENTAL; not adjustable.
MIN_IMPORT_INTERACTIONS = 1000
ADJUSTABLE = {quota.name: quota for quota in QUOTAS if quota.adjustable}
_BY_NOUN = {quota.noun: quota for quota in QUOTAS}


@dataclass(frozen=True)
class Quotas:
    """Hold the quotas of one server: the service's figures, but for the `adjusted` ones."""

    adjusted: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse names that the service does not adjust, and figures below 1, with ValueError."""
        for name, limit in self.adjusted.items():
            if name not in ADJUSTABLE:
                raise ValueError(f"{name} is not an adjustable quota; those are {', '.join(ADJUSTABLE)}")
            if limit < 1:
                raise ValueError(f"the quota {name} must be at least 1, not {limit}")

    def check(self, store: Store, kind: Kind, region: str, parent_arn: str | None = None) -> None:
        """Raise LimitExceededException when there is no room for one more resource of this kind.

        :param parent_arn: the dataset group, for the kinds counted per group.
        """
        quota = _BY_NOUN[kind.noun]
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
