"""Start or adopt jobs: imports, trainings, dataset exports, data deletions; read training metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.errors import PersonalizeError
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.links.personalize import (
    PersonalizeBatchInferenceJobLink,
    PersonalizeDataDeletionJobLink,
    PersonalizeDatasetExportJobLink,
    PersonalizeDatasetImportJobLink,
    PersonalizeSolutionVersionLink,
)
from airflow_personalize.operators.base import (
    PersonalizeCreateTaggedBaseOperator,
    create_template_fields,
    s3_place,
)
from airflow_personalize.operators.inference import (
    PersonalizeCreateBatchJobBaseOperator,
    batch_template_fields,
)
from airflow_personalize.resources import (
    BATCH_INFERENCE_JOB,
    DATA_DELETION_JOB,
    DATASET_EXPORT_JOB,
    DATASET_IMPORT_JOB,
    SOLUTION_VERSION,
)
from airflow_personalize.triggers.personalize import (
    PersonalizeBatchInferenceJobCompletedTrigger,
    PersonalizeDataDeletionJobCompletedTrigger,
    PersonalizeDatasetExportJobCompletedTrigger,
    PersonalizeDatasetImportJobCompletedTrigger,
    PersonalizeSolutionVersionCompletedTrigger,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeCreateDatasetImportJobOperator(PersonalizeCreateTaggedBaseOperator):
    """Import CSV files from S3 into a dataset.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDatasetImportJob.html

    :param job_name: single-use; a retry after a failure appends ``-2``, ``-3``…
    :param dataset_arn: ARN of the dataset.
    :param data_location: ``s3://`` address of one CSV object, or of a folder ending in ``/``.
    :param role_arn: role with which the service reads from S3.
    :param import_mode: ``FULL`` replaces all rows imported before, ``INCREMENTAL`` adds. Default ``FULL``.
    :param publish_attribution_metrics: write what the metric attribution counts in these rows to its S3 output.
        Default False.
    """

    resource = DATASET_IMPORT_JOB
    trigger_class = PersonalizeDatasetImportJobCompletedTrigger
    link_class = PersonalizeDatasetImportJobLink
    operator_extra_links = (PersonalizeDatasetImportJobLink(),)
    template_fields = create_template_fields(
        "job_name", "dataset_arn", "data_location", "role_arn", "import_mode", "publish_attribution_metrics"
    )

    def __init__(
        self,
        *,
        job_name: str,
        dataset_arn: str,
        data_location: str,
        role_arn: str,
        import_mode: str = "FULL",
        publish_attribution_metrics: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.dataset_arn = dataset_arn
        self.data_location = data_location
        self.role_arn = role_arn
        self.import_mode = import_mode
        self.publish_attribution_metrics = publish_attribution_metrics

    def request(self) -> dict[str, Any]:
        """Return the members of CreateDatasetImportJob."""
        return {
            "jobName": self.job_name,
            "datasetArn": self.dataset_arn,
            "dataSource": {"dataLocation": self.data_location},
            "roleArn": self.role_arn,
            "importMode": self.import_mode,
            "publishAttributionMetricsToS3": self.publish_attribution_metrics or None,
        }


class PersonalizeCreateSolutionVersionOperator(PersonalizeCreateTaggedBaseOperator):
    """Train a solution version.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateSolutionVersion.html

    :param solution_version_name: what makes a repeated call safe: without a name each would train anew.
    :param solution_arn: ARN of the solution.
    :param training_mode: ``FULL``, or ``UPDATE`` where the recipe allows it. Default ``FULL``.
    :param stop_on_kill: stop the training this task started when a person fails or clears the task. The time
        used is billed. Default False: the next try adopts the training.
    """

    resource = SOLUTION_VERSION
    trigger_class = PersonalizeSolutionVersionCompletedTrigger
    link_class = PersonalizeSolutionVersionLink
    operator_extra_links = (PersonalizeSolutionVersionLink(),)
    template_fields = create_template_fields("solution_version_name", "solution_arn", "training_mode")

    def __init__(
        self,
        *,
        solution_version_name: str,
        solution_arn: str,
        training_mode: str = "FULL",
        stop_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.solution_version_name = solution_version_name
        self.solution_arn = solution_arn
        self.training_mode = training_mode
        self.stop_on_kill = stop_on_kill

    def request(self) -> dict[str, Any]:
        """Return the members of CreateSolutionVersion."""
        return {
            "name": self.solution_version_name,
            "solutionArn": self.solution_arn,
            "trainingMode": self.training_mode,
        }

    def trigger_parameters(self) -> dict[str, Any]:
        """Let the trigger stop only a training that this task started."""
        return {"stop_on_kill": self.stop_on_kill and self.created_arn is not None}

    def on_kill(self) -> None:
        """Stop the training this task started, if so asked; while deferred, the trigger does."""
        if not (self.stop_on_kill and self.created_arn):
            return
        try:
            self.hook.stop_solution_version_creation(self.created_arn)
        except PersonalizeError as error:
            self.log.warning("Could not stop %s; it may have ended: %s", self.created_arn, error)


class PersonalizeCreateBatchInferenceJobOperator(PersonalizeCreateBatchJobBaseOperator):
    """Recommend for every line of an input file, from S3 to S3.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchInferenceJob.html

    :param job_name: single-use; a retry after a failure appends ``-2``, ``-3``…
    :param solution_version_arn: ARN of the solution version; ``$LATEST`` is not allowed here.
    :param input_path: ``s3://`` address of a JSON Lines object, or of a folder ending in ``/``.
    :param output_path: ``s3://`` address of the output folder, ending in ``/``; one per job.
    :param role_arn: role with which the service reads and writes S3.
    :param num_results: items per line, an upper bound. Default: the API's, 25.
    :param filter_arn: ARN of a filter. Default: none.
    :param batch_inference_job_config: as the API's BatchInferenceJobConfig: ``itemExplorationConfig`` (strings)
        and ``rankingInfluence`` (numbers by ``POPULARITY`` or ``FRESHNESS``). Default: none.
    :param batch_inference_job_mode: ``BATCH_INFERENCE`` or ``THEME_GENERATION``. Default: the API's, the first.
    :param theme_generation_config: as the API's ThemeGenerationConfig; required for ``THEME_GENERATION``.
    :param input_kms_key_arn: key with which the input is encrypted. Default: none.
    :param output_kms_key_arn: key with which to encrypt the output. Default: none.
    """

    resource = BATCH_INFERENCE_JOB
    trigger_class = PersonalizeBatchInferenceJobCompletedTrigger
    link_class = PersonalizeBatchInferenceJobLink
    operator_extra_links = (PersonalizeBatchInferenceJobLink(),)
    template_fields = batch_template_fields(
        "batch_inference_job_config", "batch_inference_job_mode", "theme_generation_config"
    )

    def __init__(
        self,
        *,
        batch_inference_job_config: dict[str, Any] | None = None,
        batch_inference_job_mode: str | None = None,
        theme_generation_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_inference_job_config = batch_inference_job_config
        self.batch_inference_job_mode = batch_inference_job_mode
        self.theme_generation_config = theme_generation_config

    def request(self) -> dict[str, Any]:
        """Return the members of CreateBatchInferenceJob."""
        return {
            **super().request(),
            "batchInferenceJobConfig": self.batch_inference_job_config,
            "batchInferenceJobMode": self.batch_inference_job_mode,
            "themeGenerationConfig": self.theme_generation_config,
        }


class PersonalizeCreateDatasetExportJobOperator(PersonalizeCreateTaggedBaseOperator):
    """Export the rows of a dataset to CSV files on S3.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDatasetExportJob.html

    :param job_name: single-use; a retry after a failure appends ``-2``, ``-3``…
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


class PersonalizeCreateDataDeletionJobOperator(PersonalizeCreateTaggedBaseOperator):
    """Delete users and all that refers to them from every dataset of a dataset group.

    Models trained before still know them until a FULL training, and outputs on S3 stay. Nothing may be imported
    or trained meanwhile. The service takes up to a day.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDataDeletionJob.html

    :param job_name: single-use; a retry after a failure appends ``-2``, ``-3``…
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


class PersonalizeGetSolutionMetricsOperator(AwsBaseOperator[PersonalizeHook]):
    """Return the offline metrics of a solution version, name to value.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_GetSolutionMetrics.html

    :param solution_version_arn: ARN of an ACTIVE solution version. (templated)
    """

    aws_hook_class = PersonalizeHook
    template_fields: Sequence[str] = aws_template_fields("solution_version_arn")

    def __init__(self, *, solution_version_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.solution_version_arn = solution_version_arn

    def execute(self, context: Context) -> dict[str, float]:
        """Read and log the metrics."""
        metrics = self.hook.get_solution_metrics(self.solution_version_arn)
        self.log.info("Metrics of %s: %s", self.solution_version_arn, metrics)
        return metrics
