"""The flow every creating Personalize operator shares."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.common.compat.sdk import AirflowException, conf
from botocore.exceptions import BotoCoreError, ClientError

from recsync.airflow_errors import fatal_errors_fail_the_task
from recsync.errors import FatalError, RecsyncError, RetriableError
from recsync.hooks.personalize import PersonalizeHook
from recsync.hooks.personalize_resources import Arn, Resource
from recsync.links.personalize import PersonalizeBaseLink
from recsync.triggers.personalize import PersonalizeBaseTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

# A small import takes minutes and a training hours, and the control plane's request rate is not published.
WAITER_DELAY_SECONDS = 60


class PersonalizeCreateBaseOperator(AwsBaseOperator[PersonalizeHook]):
    """Create a resource, or adopt the one of that name; wait until it is ACTIVE; return its ARN.

    Whatever is tried again (a retry, a cleared task, a second run with the same name) adopts what the first
    try made and never pays twice. A found resource that differs from the parameters fails the task without
    retry and says what differs. A job that failed raises with the service's reason; the retry takes the next
    suffix.

    Every API parameter is templated and may be an XComArg.

    :param wait_for_completion: wait until the resource is ACTIVE. Default True.
    :param deferrable: wait in the triggerer rather than in a worker slot. Default: Airflow's setting
        ``[recsync] deferrable``, else True. (Airflow ships ``[operators] default_deferrable`` as False, so that
        setting cannot tell who wants a worker slot held for hours from who left it alone.)
    :param waiter_delay: seconds between polls. Default: Airflow's setting ``[recsync] waiter_delay_seconds``,
        else 60.
    :param waiter_max_attempts: polls before giving up. Default: as many as cover 24 hours for a solution
        version, 6 hours for a batch inference job, 1 hour for an import, 30 minutes for anything else.
    :param aws_conn_id: The Airflow connection used for AWS credentials. Default ``aws_default``.
    :param region_name: AWS region_name. If not specified then the connection's, or boto3's default is used.
    :param verify: Whether or not to verify SSL certificates.
    :param botocore_config: Configuration dictionary (key-values) for botocore client.
    """

    aws_hook_class = PersonalizeHook
    resource: ClassVar[Resource]
    link_class: ClassVar[type[PersonalizeBaseLink] | None] = None
    trigger_class: ClassVar[type[PersonalizeBaseTrigger] | None] = None

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("recsync", "deferrable", fallback=True),
        waiter_delay: int | None = None,
        waiter_max_attempts: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        if waiter_delay is None:
            waiter_delay = conf.getint("recsync", "waiter_delay_seconds", fallback=WAITER_DELAY_SECONDS)
        self.waiter_delay = waiter_delay
        self.waiter_max_attempts = waiter_max_attempts or self.resource.polls(waiter_delay)
        self.created_arn: str | None = None

    @abstractmethod
    def request(self) -> dict[str, Any]:
        """Return the members of the Create operation; those that are None are left out."""

    def trigger_parameters(self) -> dict[str, Any]:
        """Return what the trigger needs beyond the shared parameters."""
        return {}

    def dataset_group_arn_for_link(self) -> str:
        """Return the ARN of the dataset group whose console page lists the resource."""
        return str(self.request()["datasetGroupArn"])

    def execute(self, context: Context) -> str:
        """Create or adopt, make the ARN known, wait."""
        with fatal_errors_fail_the_task():
            arn, adopted = self.hook.create_or_adopt(self.resource, self.request())
            self.created_arn = None if adopted else arn
            self.log.info("%s %s %s", "Adopted" if adopted else "Created", self.resource.noun, arn)
            self._persist_link(context, arn)
            if self._awaits(arn, adopted):
                self._wait(arn)
        return arn

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Return the ARN, or raise what the trigger saw."""
        outcome = validate_execute_complete_event(event)
        with fatal_errors_fail_the_task():
            if outcome["status"] != "success":
                error: type[RecsyncError] = FatalError if outcome.get("fatal") else RetriableError
                raise error(outcome["message"])
        self.log.info("%s %s is ACTIVE", self.resource.noun, outcome["arn"])
        return str(outcome["arn"])

    def _awaits(self, arn: str, adopted: bool) -> bool:
        if not self.wait_for_completion or self.resource.waiter is None:
            return False
        return not (adopted and self.hook.is_active(self.resource, arn))

    def _wait(self, arn: str) -> None:
        """Wait in the triggerer or here; returns only from the latter."""
        # Everything but a job is ready within seconds: not worth the way through the triggerer.
        if not self.resource.single_use and self.hook.becomes_active(self.resource, arn):
            return
        delay, max_attempts = self.waiter_delay, self.waiter_max_attempts
        if not (self.deferrable and self.trigger_class):
            self.hook.wait_until_active(self.resource, arn, delay=delay, max_attempts=max_attempts)
            return
        self.defer(
            trigger=self.trigger_class(
                arn=arn,
                waiter_delay=delay,
                waiter_max_attempts=max_attempts,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
                **self.trigger_parameters(),
            ),
            method_name="execute_complete",
            timeout=self.execution_timeout,
        )

    def _persist_link(self, context: Context, arn: str) -> None:
        """Store the link before waiting, so that it is there even when the task dies."""
        if self.link_class is None:
            return
        try:
            dataset_group_arn = arn if ":dataset-group/" in arn else self.dataset_group_arn_for_link()
            place = Arn.parse(arn)
        except (AirflowException, BotoCoreError, ClientError, RecsyncError, ValueError) as error:
            self.log.warning(
                "No console link for %s: %s", arn, error
            )  # a missing link must not fail a paid job
            return
        self.link_class.persist(
            context=context,
            operator=self,
            region_name=place.region,
            aws_partition=place.partition,
            arn=arn,
            dataset_group_arn=dataset_group_arn,
        )
