"""Start or adopt batch segment jobs: users for items, where recommendations are items for users."""

from __future__ import annotations

from typing import Any

from recsync.hooks.personalize_resources import BATCH_SEGMENT_JOB
from recsync.links.personalize import PersonalizeBatchSegmentJobLink
from recsync.operators.personalize.create import (
    PersonalizeCreateTaggedBaseOperator,
    create_template_fields,
    s3_place,
)
from recsync.triggers.personalize import PersonalizeBatchSegmentJobCompletedTrigger


class PersonalizeCreateBatchSegmentJobOperator(PersonalizeCreateTaggedBaseOperator):
    """Find the users most likely to want each item, or what has the attributes, of an input file; S3 to S3.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html

    :param job_name: single-use for ever; a retry after a failure adds ``-2``, ``-3``… by itself.
    :param solution_version_arn: ARN of a solution version of Item-Affinity or Item-Attribute-Affinity.
    :param input_path: ``s3://`` address of a JSON Lines object, or of a folder ending in ``/``.
    :param output_path: ``s3://`` address of the output folder, ending in ``/``; one per job.
    :param role_arn: role with which the service reads and writes S3.
    :param num_results: users per line, an upper bound. Default: the API's, 25.
    :param filter_arn: ARN of a filter of users. Default: none.
    :param input_kms_key_arn: key with which the input is encrypted. Default: none.
    :param output_kms_key_arn: key with which to encrypt the output. Default: none.
    """

    resource = BATCH_SEGMENT_JOB
    trigger_class = PersonalizeBatchSegmentJobCompletedTrigger
    link_class = PersonalizeBatchSegmentJobLink
    operator_extra_links = (PersonalizeBatchSegmentJobLink(),)
    template_fields = create_template_fields(
        "job_name",
        "solution_version_arn",
        "input_path",
        "output_path",
        "role_arn",
        "num_results",
        "filter_arn",
        "input_kms_key_arn",
        "output_kms_key_arn",
    )

    def __init__(
        self,
        *,
        job_name: str,
        solution_version_arn: str,
        input_path: str,
        output_path: str,
        role_arn: str,
        num_results: int | str | None = None,
        filter_arn: str | None = None,
        input_kms_key_arn: str | None = None,
        output_kms_key_arn: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.solution_version_arn = solution_version_arn
        self.input_path = input_path
        self.output_path = output_path
        self.role_arn = role_arn
        self.num_results = num_results
        self.filter_arn = filter_arn
        self.input_kms_key_arn = input_kms_key_arn
        self.output_kms_key_arn = output_kms_key_arn

    def request(self) -> dict[str, Any]:
        """Return the members of CreateBatchSegmentJob."""
        return {
            "jobName": self.job_name,
            "solutionVersionArn": self.solution_version_arn,
            "jobInput": {"s3DataSource": s3_place(self.input_path, self.input_kms_key_arn)},
            "jobOutput": {"s3DataDestination": s3_place(self.output_path, self.output_kms_key_arn)},
            "roleArn": self.role_arn,
            # A template renders to text.
            "numResults": None if self.num_results is None else int(self.num_results),
            "filterArn": self.filter_arn,
        }

    def dataset_group_arn_for_link(self) -> str:
        """Ask for the dataset group of the version's solution."""
        return self.hook.dataset_group_of_version(self.solution_version_arn)
