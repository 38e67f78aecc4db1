"""Define resources, their kinds, states and ARNs."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

CREATE_PENDING = "CREATE PENDING"
CREATE_IN_PROGRESS = "CREATE IN_PROGRESS"
CREATE_FAILED = "CREATE FAILED"
CREATE_STOPPING = "CREATE STOPPING"
CREATE_STOPPED = "CREATE STOPPED"
ACTIVE = "ACTIVE"
DELETE_PENDING = "DELETE PENDING"
DELETE_IN_PROGRESS = "DELETE IN_PROGRESS"
# Only recommenders use these states.
STOP_PENDING = "STOP PENDING"
STOP_IN_PROGRESS = "STOP IN_PROGRESS"
INACTIVE = "INACTIVE"
START_PENDING = "START PENDING"
START_IN_PROGRESS = "START IN_PROGRESS"
# Only data deletion jobs use these states.
PENDING = "PENDING"
IN_PROGRESS = "IN_PROGRESS"
COMPLETED = "COMPLETED"
FAILED = "FAILED"

# States that count in the quotas of "PENDING or IN_PROGRESS" resources.
CREATING = (CREATE_PENDING, CREATE_IN_PROGRESS, PENDING, IN_PROGRESS)
DELETING = (DELETE_PENDING, DELETE_IN_PROGRESS)
# Recommenders that stop or start: the state in progress, and the last one.
TRANSITIONS = {
    STOP_PENDING: (STOP_IN_PROGRESS, INACTIVE),
    STOP_IN_PROGRESS: (STOP_IN_PROGRESS, INACTIVE),
    START_PENDING: (START_IN_PROGRESS, ACTIVE),
    START_IN_PROGRESS: (START_IN_PROGRESS, ACTIVE),
}
# States with a job to run, also after a restart.
UNFINISHED = (*CREATING, CREATE_STOPPING, *TRANSITIONS, *DELETING)
SERVICE_OWNED_PREFIX = "arn:aws:personalize:::"


@dataclass(frozen=True)
class States:
    """Creation states of a kind of resource."""

    pending: str = CREATE_PENDING
    in_progress: str = CREATE_IN_PROGRESS
    done: str = ACTIVE
    failed: str = CREATE_FAILED


@dataclass(frozen=True)
class Kind:
    """One kind of resource: its names in ARNs, operations and replies."""

    noun: str  # as in operation names: Create<noun>
    tail: str  # first segment of the ARN tail
    arn_member: str
    describe_member: str
    list_member: str
    parent_member: str | None = None  # the member by which List<noun>s filters
    states: States = States()


def _kind(
    noun: str,
    tail: str,
    parent_member: str | None = None,
    list_member: str = "",
    states: States = States(),
) -> Kind:
    member = noun[0].lower() + noun[1:]
    return Kind(noun, tail, f"{member}Arn", member, list_member or f"{member}s", parent_member, states)


DATASET_GROUP = _kind("DatasetGroup", "dataset-group")
SCHEMA = _kind("Schema", "schema")
DATASET = _kind("Dataset", "dataset", "datasetGroupArn")
DATASET_IMPORT_JOB = _kind("DatasetImportJob", "dataset-import-job", "datasetArn")
SOLUTION = _kind("Solution", "solution", "datasetGroupArn")
SOLUTION_VERSION = _kind("SolutionVersion", "solution", "solutionArn")
# `Filters` is the only list member that the service capitalises.
FILTER = _kind("Filter", "filter", "datasetGroupArn", list_member="Filters")
BATCH_INFERENCE_JOB = _kind("BatchInferenceJob", "batch-inference-job", "solutionVersionArn")
# Updates have separate states while their resource stays ACTIVE; no operation names them.
DATASET_UPDATE = _kind("DatasetUpdate", "dataset-update")
SOLUTION_UPDATE = _kind("SolutionUpdate", "solution-update")
CAMPAIGN = _kind("Campaign", "campaign", "solutionArn")
CAMPAIGN_UPDATE = _kind("CampaignUpdate", "campaign-update")
EVENT_TRACKER = _kind("EventTracker", "event-tracker", "datasetGroupArn")
RECOMMENDER = _kind("Recommender", "recommender", "datasetGroupArn")
RECOMMENDER_UPDATE = _kind("RecommenderUpdate", "recommender-update")
METRIC_ATTRIBUTION = _kind("MetricAttribution", "metric-attribution", "datasetGroupArn")
BATCH_SEGMENT_JOB = _kind("BatchSegmentJob", "batch-segment-job", "solutionVersionArn")
DATASET_EXPORT_JOB = _kind("DatasetExportJob", "dataset-export-job", "datasetArn")
DATA_DELETION_JOB = _kind(
    "DataDeletionJob",
    "data-deletion-job",
    "datasetGroupArn",
    states=States(PENDING, IN_PROGRESS, COMPLETED, FAILED),
)

KINDS = {
    kind.noun: kind
    for kind in (
        DATASET_GROUP,
        SCHEMA,
        DATASET,
        DATASET_IMPORT_JOB,
        SOLUTION,
        SOLUTION_VERSION,
        FILTER,
        BATCH_INFERENCE_JOB,
        BATCH_SEGMENT_JOB,
        DATASET_EXPORT_JOB,
        DATA_DELETION_JOB,
        DATASET_UPDATE,
        SOLUTION_UPDATE,
        CAMPAIGN,
        CAMPAIGN_UPDATE,
        EVENT_TRACKER,
        METRIC_ATTRIBUTION,
        RECOMMENDER,
        RECOMMENDER_UPDATE,
    )
}


def now_seconds() -> float:
    """Return the time as the service reports it: epoch seconds with milliseconds."""
    return round(time.time(), 3)


@dataclass
class Resource:
    """One resource: `body` has the members of its Describe reply, `internal` is private to the server."""

    arn: str
    kind: str
    region: str
    parent_arn: str | None
    body: dict[str, Any]
    internal: dict[str, Any] = field(default_factory=dict)
    sequence: int = 0

    @property
    def status(self) -> str:
        """Return the life cycle state; empty for schemas, which have none."""
        return str(self.body.get("status", ""))

    def move_to(self, status: str, failure_reason: str | None = None) -> None:
        """Set the state and the time of the change."""
        self.body["status"] = status
        self.body["lastUpdatedDateTime"] = now_seconds()
        if failure_reason is not None:
            self.body["failureReason"] = failure_reason


def make_arn(region: str, account: str, tail: str) -> str:
    """Return `arn:aws:personalize:REGION:ACCOUNT:TAIL`."""
    return f"arn:aws:personalize:{region}:{account}:{tail}"


def dataset_tail(dataset_group_name: str, dataset_type: str) -> str:
    """Return `dataset/DSGNAME/TYPE`: a dataset's own name is not part of its ARN."""
    return f"dataset/{dataset_group_name}/{dataset_type}"


def solution_version_tail(solution_name: str) -> str:
    """Return a new `solution/NAME/<8 hex>`."""
    return f"solution/{solution_name}/{secrets.token_hex(4)}"


def region_of(arn: str) -> str:
    """Return the region field; empty for ARNs owned by the service."""
    return arn.split(":", 5)[3]


def service_owned_arn(tail: str) -> str:
    """Return the ARN of a recipe, algorithm or feature transformation: no region and no account."""
    return SERVICE_OWNED_PREFIX + tail
