"""What batch inference and batch segment jobs have in common: lines from S3 in, lines to S3 out."""

from __future__ import annotations

from typing import Any

from airflow_personalize.operators.create import (
    PersonalizeCreateTaggedBaseOperator,
    create_template_fields,
    s3_place,
)


def batch_template_fields(*own: str) -> tuple[str, ...]:
    """Return the template fields of a batch job's operator: its own, and what all of them have."""
    return create_template_fields(
        "job_name",
        "solution_version_arn",
        "input_path",
        "output_path",
        "role_arn",
        "num_results",
        "filter_arn",
        *own,
        "input_kms_key_arn",
        "output_kms_key_arn",
    )


class PersonalizeCreateBatchJobBaseOperator(PersonalizeCreateTaggedBaseOperator):
    """Answer every line of an input file, from S3 to S3.

    :param job_name: single-use for ever; a retry after a failure adds ``-2``, ``-3``… by itself.
    :param solution_version_arn: ARN of the solution version; ``$LATEST`` is not allowed here.
    :param input_path: ``s3://`` address of a JSON Lines object, or of a folder ending in ``/``.
    :param output_path: ``s3://`` address of the output folder, ending in ``/``; one per job.
    :param role_arn: role with which the service reads and writes S3.
    :param num_results: answers per line, an upper bound. Default: the API's, 25.
    :param filter_arn: ARN of a filter. Default: none.
    :param input_kms_key_arn: key with which the input is encrypted. Default: none.
    :param output_kms_key_arn: key with which to encrypt the output. Default: none.
    """

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
        """Return the members that both Create operations have."""
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
        """Ask for the solution version's dataset group."""
        return self.hook.dataset_group_of_version(self.solution_version_arn)
