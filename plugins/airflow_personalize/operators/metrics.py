"""Read what the service measured of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.hooks.personalize import PersonalizeHook

if TYPE_CHECKING:
    from airflow.sdk import Context


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
