"""What recsync knows about each Amazon Personalize resource, as data.

Names of operations and members follow one rule in the API: from ``datasetGroup`` come
``CreateDatasetGroup``, ``DescribeDatasetGroup``, ``datasetGroupArn`` and the reply member ``datasetGroup``.
The table below holds what does not follow from that rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from botocore import xform_name

HOUR_SECONDS = 3600


class Arn(NamedTuple):
    """An Amazon Resource Name, taken apart."""

    partition: str
    region: str
    account: str
    tail: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """Take ``arn:PARTITION:personalize:REGION:ACCOUNT:TAIL`` apart.

        :raises ValueError: when the text has another form.
        """
        scheme, _, rest = text.partition(":")
        parts = rest.split(":", 4)
        if scheme != "arn" or len(parts) != 5:
            raise ValueError(f"{text!r} is not an ARN")
        return cls(parts[0], parts[2], parts[3], parts[4])

    def sibling(self, tail: str) -> str:
        """Return the ARN of another Personalize resource of the same account and region."""
        return f"arn:{self.partition}:personalize:{self.region}:{self.account}:{tail}"


class Compared(NamedTuple):
    """One request member that has to agree with what already exists under the name.

    :param path: dotted path, the same in the request and in the description.
    :param default: what the service takes an absent member for.
    :param if_asked: compare only when the request has the member, because the service fills it otherwise.
    """

    path: str
    default: object = None
    if_asked: bool = False


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind of Amazon Personalize resource.

    :param member: the API's word, from which operation and member names follow.
    :param noun: what a person calls it.
    :param waiter: name of its model in ``waiters/personalize.json``; None when it has no status to wait for.
    :param compared: members in which a found resource must agree with the request.
    :param parent: request member whose ARN gives account and region, and narrows the listing.
    :param arn_tail: tail of its ARN, over the request's members and ``dataset_group_name``; None when the
        service chooses the ARN or no parent tells the account.
    :param single_use: the name is gone for ever once used (no operation deletes such a job).
    :param quota: the limit that LimitExceededException most likely means, for its message.
    :param remedy: what a person can do when a found one differs from the request.
    :param patience_seconds: how long operators wait by default.
    """

    member: str
    noun: str
    waiter: str | None
    compared: tuple[Compared, ...]
    quota: str
    remedy: str
    parent: str | None = None
    arn_tail: str | None = None
    name_member: str = "name"
    list_member: str | None = None
    single_use: bool = False
    patience_seconds: int = HOUR_SECONDS // 2

    @property
    def arn_member(self) -> str:
        """The member holding the ARN, e.g. ``datasetGroupArn``."""
        return f"{self.member}Arn"

    @property
    def operation(self) -> str:
        """The API's word as boto3 spells it, e.g. ``dataset_group``."""
        return str(xform_name(self.member))

    @property
    def listing(self) -> str:
        """The member holding the summaries in a List reply; ListFilters alone begins with a capital."""
        return self.list_member or f"{self.member}s"

    @property
    def status_queries(self) -> list[str]:
        """JMESPath of what to log of each poll: the status, and the reason where there is one."""
        return [f"{self.member}.status", f"{self.member}.failureReason"]

    def polls(self, delay_seconds: int) -> int:
        """Return how many polls, one each ``delay_seconds``, cover the default patience."""
        return math.ceil(self.patience_seconds / max(delay_seconds, 1))

    def arn_of(self, request: Mapping[str, Any]) -> str | None:
        """Derive the ARN that the requested name has, None when it cannot be derived."""
        if self.arn_tail is None or self.parent is None:
            return None
        parent = Arn.parse(request[self.parent])
        words = {**request, "dataset_group_name": parent.tail.split("/")[-1]}
        return parent.sibling(self.arn_tail.format(**words))


DATASET_GROUP = Resource(
    member="datasetGroup",
    noun="dataset group",
    waiter="dataset_group_active",
    compared=(Compared("roleArn"), Compared("kmsKeyArn"), Compared("domain")),
    remedy="Ask for what exists, or choose another name.",
    quota="5 active dataset groups per region, adjustable",
)
SCHEMA = Resource(
    member="schema",
    noun="schema",
    waiter=None,
    compared=(Compared("schema"), Compared("domain")),
    remedy="Schemas never change: choose another name, for instance one that ends in a hash of the text.",
    quota="500 schemas per region",
)
DATASET = Resource(
    member="dataset",
    noun="dataset",
    waiter="dataset_active",
    compared=(Compared("schemaArn"), Compared("datasetType"), Compared("datasetGroupArn")),
    parent="datasetGroupArn",
    arn_tail="dataset/{dataset_group_name}/{datasetType}",
    remedy="UpdateDataset swaps the schema of Items and Users datasets; any other needs a new dataset group.",
    quota="one dataset of each type per dataset group",
)
DATASET_IMPORT_JOB = Resource(
    member="datasetImportJob",
    noun="dataset import job",
    waiter="dataset_import_job_complete",
    compared=(
        Compared("datasetArn"),
        Compared("dataSource.dataLocation"),
        Compared("roleArn"),
        Compared("importMode", default="FULL"),
    ),
    parent="datasetArn",
    arn_tail="dataset-import-job/{jobName}",
    name_member="jobName",
    single_use=True,
    remedy="Job names are single-use: give another import another name.",
    quota="5 pending or running import jobs per region",
    patience_seconds=HOUR_SECONDS,
)
SOLUTION = Resource(
    member="solution",
    noun="solution",
    waiter="solution_active",
    compared=(
        Compared("recipeArn"),
        Compared("datasetGroupArn"),
        Compared("eventType"),
        Compared("performHPO", default=False),
        # Left out, the service trains on its own schedule (docs of CreateSolution, since April 2024).
        Compared("performAutoTraining", default=True),
        Compared("performIncrementalUpdate", default=False),
        Compared("solutionConfig.eventValueThreshold"),
        Compared("solutionConfig.eventsConfig"),
        Compared("solutionConfig.optimizationObjective"),
        Compared("solutionConfig.trainingDataConfig"),
        # The service describes these with what it filled in itself.
        Compared("solutionConfig.hpoConfig", if_asked=True),
        Compared("solutionConfig.algorithmHyperParameters", if_asked=True),
        Compared("solutionConfig.featureTransformationParameters", if_asked=True),
        Compared("solutionConfig.autoTrainingConfig", if_asked=True),
    ),
    parent="datasetGroupArn",
    arn_tail="solution/{name}",
    remedy="UpdateSolution changes automatic training, incremental update and event weights; for any other "
    "change choose another name.",
    quota="10 solutions per dataset group, adjustable",
)
SOLUTION_VERSION = Resource(
    member="solutionVersion",
    noun="solution version",
    waiter="solution_version_complete",
    compared=(Compared("solutionArn"), Compared("trainingMode", default="FULL")),
    parent="solutionArn",
    single_use=True,
    remedy="Give another training another name.",
    quota="20 pending or running solution versions per region, adjustable",
    patience_seconds=24 * HOUR_SECONDS,
)
FILTER = Resource(
    member="filter",
    noun="filter",
    waiter="filter_active",
    compared=(Compared("filterExpression"), Compared("datasetGroupArn")),
    parent="datasetGroupArn",
    arn_tail="filter/{name}",
    list_member="Filters",
    remedy="Filters never change: choose another name, or delete this one first.",
    quota="30 filters per dataset group, adjustable",
)
BATCH_INFERENCE_JOB = Resource(
    member="batchInferenceJob",
    noun="batch inference job",
    waiter="batch_inference_job_complete",
    compared=(
        Compared("solutionVersionArn"),
        Compared("filterArn"),
        Compared("numResults", if_asked=True),
        Compared("jobInput"),
        Compared("jobOutput"),
        Compared("roleArn"),
        Compared("batchInferenceJobConfig", if_asked=True),
    ),
    parent="solutionVersionArn",
    arn_tail="batch-inference-job/{jobName}",
    name_member="jobName",
    single_use=True,
    remedy="Job names are single-use: give another job another name.",
    quota="5 pending or running batch inference jobs per region, adjustable",
    patience_seconds=6 * HOUR_SECONDS,
)
RESOURCES = (
    DATASET_GROUP,
    SCHEMA,
    DATASET,
    DATASET_IMPORT_JOB,
    SOLUTION,
    SOLUTION_VERSION,
    FILTER,
    BATCH_INFERENCE_JOB,
)
