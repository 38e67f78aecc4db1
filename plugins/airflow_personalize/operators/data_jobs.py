"""Start or adopt what takes data out of a dataset group: exports and deletions of users."""

from __future__ import annotations

from typing import Any

from airflow_personalize.links.personalize import (
    PersonalizeDataDeletionJobLink,
    PersonalizeDatasetExportJobLink,
)
from airflow_personalize.operators.create import (
    PersonalizeCreateTaggedBaseOperator,
    create_template_fields,
    s3_place,
)
from airflow_personalize.operators.update import dataset_group_of_dataset
from airflow_personalize.resources import DATA_DELETION_JOB, DATASET_EXPORT_JOB
from airflow_personalize.triggers.personalize import (
    PersonalizeDataDeletionJobCompletedTrigger,
    PersonalizeDatasetExportJobCompletedTrigger,
)


class PersonalizeCreateDatasetExportJobOperator(PersonalizeCreateTaggedBaseOperator):
    """Export the rows of a dataset to CSV files on S3.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDatasetExportJob.html

    :param job_name: single-use for ever; a retry after a failure adds ``-2``, ``-3``… by itself.
    :param dataset_arn: ARN of the dataset.
    :param output_path: ``s3://`` address of the output folder, ending in ``/``.
    :param role_arn: role with which the service writes S3.
    :param ingestion_mode: ``BULK`` for imported rows, ``PUT`` for streamed ones, ``ALL``. Default: the API's,
        ``PUT``.
    :param output_kms_key_arn: key with which to encrypt the output. Default: none.
    """

    resource = DATASET_EXPORT_JOB
    trigger_class = PersonalizeDatasetExportJobCompletedTrigger
    link_class = PersonalizeDatasetExportJobLink
    operator_extra_links = (PersonalizeDatasetExportJobLink(),)
    template_fields = create_template_fields(
        "job_name", "dataset_arn", "output_path", "role_arn", "ingestion_mode", "output_kms_key_arn"
    )

    def __init__(
        self,
        *,
        job_name: str,
        dataset_arn: str,
        output_path: str,
        role_arn: str,
        ingestion_mode: str | None = None,
        output_kms_key_arn: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.dataset_arn = dataset_arn
        self.output_path = output_path
        self.role_arn = role_arn
        self.ingestion_mode = ingestion_mode
        self.output_kms_key_arn = output_kms_key_arn

    def request(self) -> dict[str, Any]:
        """Return the members of CreateDatasetExportJob."""
        return {
            "jobName": self.job_name,
            "datasetArn": self.dataset_arn,
            "ingestionMode": self.ingestion_mode,
            "roleArn": self.role_arn,
            "jobOutput": {"s3DataDestination": s3_place(self.output_path, self.output_kms_key_arn)},
        }

    def dataset_group_arn_for_link(self) -> str:
        """Read the dataset group off the dataset's ARN, ``dataset/GROUP/TYPE``."""
        return dataset_group_of_dataset(self.dataset_arn)


class PersonalizeCreateDataDeletionJobOperator(PersonalizeCreateTaggedBaseOperator):
    """Delete users and all that refers to them from every dataset of a dataset group.

    Models trained before still know them until a FULL training, and outputs on S3 stay. Nothing may be imported
    or trained meanwhile. The service takes up to a day.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDataDeletionJob.html

    :param job_name: single-use for ever; a retry after a failure adds ``-2``, ``-3``… by itself.
    :param dataset_group_arn: ARN of the dataset group.
    :param data_location: ``s3://`` address of a CSV object with a column ``USER_ID``, or of a folder ending in
        ``/``; 100 MB at most.
    :param role_arn: role with which the service reads from S3.
    """

    resource = DATA_DELETION_JOB
    trigger_class = PersonalizeDataDeletionJobCompletedTrigger
    link_class = PersonalizeDataDeletionJobLink
    operator_extra_links = (PersonalizeDataDeletionJobLink(),)
    template_fields = create_template_fields("job_name", "dataset_group_arn", "data_location", "role_arn")

    def __init__(
        self, *, job_name: str, dataset_group_arn: str, data_location: str, role_arn: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.dataset_group_arn = dataset_group_arn
        self.data_location = data_location
        self.role_arn = role_arn

    def request(self) -> dict[str, Any]:
        """Return the members of CreateDataDeletionJob."""
        return {
            "jobName": self.job_name,
            "datasetGroupArn": self.dataset_group_arn,
            "dataSource": {"dataLocation": self.data_location},
            "roleArn": self.role_arn,
        }
