"""Create, adopt and update metric attributions: which recommendations led to which events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.errors import PersonalizeRetriableError
from airflow_personalize.links.personalize import PersonalizeMetricAttributionLink
from airflow_personalize.operators.base import PersonalizeCreateBaseOperator, s3_place
from airflow_personalize.operators.update import PersonalizeUpdateBaseOperator
from airflow_personalize.resources import METRIC_ATTRIBUTION
from airflow_personalize.triggers.personalize import (
    PersonalizeMetricAttributionActiveTrigger,
    PersonalizeMetricAttributionUpdatedTrigger,
)


class PersonalizeCreateMetricAttributionOperator(PersonalizeCreateBaseOperator):
    """Create or adopt the metric attribution of a dataset group, which has one at most.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateMetricAttribution.html

    :param metric_attribution_name: 1 to 63 letters, digits, ``-`` and ``_``.
    :param dataset_group_arn: ARN of the dataset group.
    :param metrics: as the API's list of MetricAttribute: eventType, metricName and expression, e.g.
        ``SUM(Items.PRICE)`` or ``SAMPLECOUNT()``; 10 at most.
    :param role_arn: role with which the service writes S3 and CloudWatch.
    :param output_path: ``s3://`` address of the folder for reports, ending in ``/``. Default: CloudWatch only.
    :param output_kms_key_arn: key with which to encrypt the reports. Default: none.
    """

    resource = METRIC_ATTRIBUTION
    trigger_class = PersonalizeMetricAttributionActiveTrigger
    link_class = PersonalizeMetricAttributionLink
    operator_extra_links = (PersonalizeMetricAttributionLink(),)
    template_fields: Sequence[str] = aws_template_fields(
        "metric_attribution_name",
        "dataset_group_arn",
        "metrics",
        "role_arn",
        "output_path",
        "output_kms_key_arn",
    )

    def __init__(
        self,
        *,
        metric_attribution_name: str,
        dataset_group_arn: str,
        metrics: list[dict[str, str]],
        role_arn: str,
        output_path: str | None = None,
        output_kms_key_arn: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.metric_attribution_name = metric_attribution_name
        self.dataset_group_arn = dataset_group_arn
        self.metrics = metrics
        self.role_arn = role_arn
        self.output_path = output_path
        self.output_kms_key_arn = output_kms_key_arn

    def request(self) -> dict[str, Any]:
        """Return the members of CreateMetricAttribution."""
        return {
            "name": self.metric_attribution_name,
            "datasetGroupArn": self.dataset_group_arn,
            "metrics": self.metrics,
            "metricsOutputConfig": _output(self.role_arn, self.output_path, self.output_kms_key_arn),
        }


class PersonalizeUpdateMetricAttributionOperator(PersonalizeUpdateBaseOperator):
    """Add and remove metrics, change the report location. Metrics already in force are skipped.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UpdateMetricAttribution.html

    :param metric_attribution_arn: ARN of the metric attribution.
    :param add_metrics: as the API's list of MetricAttribute. Default: none.
    :param remove_metrics: names of metrics. Default: none.
    :param role_arn: role with which the service writes; required to change the output. Default: as it is.
    :param output_path: ``s3://`` address of the folder for reports. Default: as it is.
    :param output_kms_key_arn: key with which to encrypt the reports. Default: none.
    """

    resource = METRIC_ATTRIBUTION
    trigger_class = PersonalizeMetricAttributionUpdatedTrigger
    link_class = PersonalizeMetricAttributionLink
    operator_extra_links = (PersonalizeMetricAttributionLink(),)
    template_fields: Sequence[str] = aws_template_fields(
        "metric_attribution_arn",
        "add_metrics",
        "remove_metrics",
        "role_arn",
        "output_path",
        "output_kms_key_arn",
    )

    def __init__(
        self,
        *,
        metric_attribution_arn: str,
        add_metrics: list[dict[str, str]] | None = None,
        remove_metrics: list[str] | None = None,
        role_arn: str | None = None,
        output_path: str | None = None,
        output_kms_key_arn: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if output_path is not None and role_arn is None:
            # The API's MetricsOutputConfig needs the role; without it the new address would be passed over in silence.
            raise ValueError(f"Task {self.task_id!r} has output_path but no role_arn: give both.")
        self.metric_attribution_arn = metric_attribution_arn
        self.add_metrics = add_metrics
        self.remove_metrics = remove_metrics
        self.role_arn = role_arn
        self.output_path = output_path
        self.output_kms_key_arn = output_kms_key_arn

    def request(self) -> dict[str, Any]:
        """Return the members of UpdateMetricAttribution."""
        output = _output(self.role_arn, self.output_path, self.output_kms_key_arn) if self.role_arn else None
        return {
            "metricAttributionArn": self.metric_attribution_arn,
            "addMetrics": self.add_metrics,
            "removeMetrics": self.remove_metrics,
            "metricsOutputConfig": output,
        }

    def update(self) -> bool:
        """Update what differs; True if nothing did."""
        return self.hook.update_metric_attribution(self.request())

    def is_in_force(self) -> bool | None:
        """True if the update is in force; None while it is in progress."""
        return not self.hook.metric_attribution_changes(self.request()) or None

    def check(self) -> None:
        """Describe the metric attribution once and check its update."""
        if changes := self.hook.metric_attribution_changes(self.request()):
            raise PersonalizeRetriableError(
                f"The update of metric attribution {self.metric_attribution_arn} ended but {sorted(changes)} "
                "are not in force. A retry looks again, and asks for the update again if that is needed."
            )


def _output(role_arn: str, path: str | None, kms_key_arn: str | None) -> dict[str, Any]:
    destination = {"s3DataDestination": s3_place(path, kms_key_arn)} if path else {}
    return {**destination, "roleArn": role_arn}
