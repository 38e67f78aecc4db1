"""How every Personalize operator waits, and links to the console."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.common.compat.sdk import AirflowException, conf
from botocore.exceptions import BotoCoreError, ClientError

from airflow_personalize.errors import PersonalizeError, PersonalizeFatalError, PersonalizeRetriableError
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.links.personalize import PersonalizeBaseLink
from airflow_personalize.resource import HOUR_SECONDS, Arn, Resource
from airflow_personalize.retry_policy import RETRY_POLICY
from airflow_personalize.triggers.personalize_base import PersonalizeBaseTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

# A small import takes minutes and a training hours, and the control plane's request rate is not published.
WAITER_DELAY_SECONDS = 60
# What a deferral may take beyond its wait, for instance while the triggerer restarts.
TRIGGERER_GRACE = timedelta(hours=1)


class PersonalizeBaseOperator(AwsBaseOperator[PersonalizeHook]):
    """Do something to a resource, wait until it is done, return its ARN.

    Every API parameter is templated and may be an XComArg. What is refused for good fails the task without a
    retry; everything else raises for a retry, and the retry finds what the first try did. So says the default
    ``retry_policy``.

    ``execution_timeout`` limits the work in the worker without the wait, which has ``waiter_max_attempts`` polls.

    :param wait_for_completion: wait for the end. Default True.
    :param deferrable: wait in the triggerer rather than in a worker slot. Default: Airflow's setting
        ``[recsync] deferrable``, else True. (Airflow ships ``[operators] default_deferrable`` as False, so that
        setting cannot tell who wants a worker slot held for hours from who left it alone.)
    :param waiter_delay: seconds between polls. Default: Airflow's setting ``[recsync] waiter_delay_seconds``,
        else 60.
    :param waiter_max_attempts: polls before giving up. Default: as many as cover 24 hours for a solution
        version or data deletion, 6 hours for a batch or export job, 1 hour for an import, a campaign, an update
        or a deletion, 30 minutes for anything else.
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
        # Here, because default arguments of the DAG reach only Airflow's own parameters.
        self.retry_policy = self.retry_policy or RETRY_POLICY
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        if waiter_delay is None:
            waiter_delay = conf.getint("recsync", "waiter_delay_seconds", fallback=WAITER_DELAY_SECONDS)
        self.waiter_delay = waiter_delay
        # A schema alone has nothing to wait for.
        patience = self.trigger_class.wait.polls(waiter_delay) if self.trigger_class else HOUR_SECONDS
        self.waiter_max_attempts = waiter_max_attempts or patience
        if self.execution_timeout and not deferrable:
            self.execution_timeout += self._patience

    @property
    def _patience(self) -> timedelta:
        """How long a wait takes at most."""
        return timedelta(seconds=self.waiter_delay * self.waiter_max_attempts)

    def trigger_parameters(self) -> dict[str, Any]:
        """Return what the trigger needs beyond the shared parameters."""
        return {}

    def dataset_group_arn_for_link(self) -> str | None:
        """Return the ARN of the dataset group whose console page lists the resource; None when there is none."""
        return None

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Return the ARN, or raise what the trigger saw."""
        arn = self.checked(event)
        self.log.info("%s %s is %s.", self.resource.noun, arn, self._outcome)
        return arn

    def checked(self, event: dict[str, Any] | None) -> str:
        """Return the ARN of a trigger's event.

        :raises PersonalizeFatalError: watching was refused.
        :raises PersonalizeRetriableError: it failed, or needs longer.
        """
        outcome = validate_execute_complete_event(event)
        if outcome["status"] != "success":
            error: type[PersonalizeError] = (
                PersonalizeFatalError if outcome.get("fatal") else PersonalizeRetriableError
            )
            raise error(outcome["message"])
        return str(outcome["arn"])

    @property
    def _outcome(self) -> str:
        return self.trigger_class.wait.outcome if self.trigger_class else "ready"

    def await_end(self, arn: str, *, quick: bool = True) -> None:
        """Wait if the operator is to wait and there is something to wait for.

        :param quick: look for some seconds first, because few things need the way through the triggerer.
        """
        if self.wait_for_completion and self.trigger_class:
            self.wait_for(self.trigger_class, arn, quick=quick)

    def wait_for(self, trigger_class: type[PersonalizeBaseTrigger], arn: str, *, quick: bool = True) -> None:
        """Wait in the triggerer or here; returns only from the latter, or when the end is near.

        :param trigger_class: names what to wait for.
        """
        if quick and self.hook.ends_soon(trigger_class.wait, arn):
            return
        delay, max_attempts = self.waiter_delay, self.waiter_max_attempts
        if not self.deferrable:
            self.hook.wait_for(trigger_class.wait, arn, delay=delay, max_attempts=max_attempts)
            return
        self.defer(
            trigger=trigger_class(
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
            # The trigger ends by itself after its polls; this is for the case that no triggerer runs.
            timeout=self._patience + TRIGGERER_GRACE,
        )

    def persist_link(self, context: Context, arn: str) -> None:
        """Store the link before waiting, so that it is there even when the task dies."""
        if self.link_class is None:
            return
        try:
            dataset_group_arn = arn if ":dataset-group/" in arn else self.dataset_group_arn_for_link()
            place = Arn.parse(arn)
        except (AirflowException, BotoCoreError, ClientError, PersonalizeError, ValueError) as error:
            # A missing link must not fail a paid job.
            self.log.warning("No console link for %s: %s", arn, error)
            return
        self.link_class.persist(
            context=context,
            operator=self,
            region_name=place.region,
            aws_partition=place.partition,
            arn=arn,
            dataset_group_arn=dataset_group_arn or "",
        )
