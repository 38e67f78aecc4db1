"""What every Personalize operator shares: waiting, console links, and create-or-adopt."""

from __future__ import annotations

import random
import time
from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException
from botocore.exceptions import BotoCoreError, ClientError

from airflow_personalize.defaults import RETRY_POLICY, deferrable_by_default, setting
from airflow_personalize.errors import (
    PersonalizeError,
    PersonalizeFatalError,
    PersonalizeRetriableError,
    QuotaFullError,
)
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.hooks.personalize_changes import tag_list
from airflow_personalize.links.personalize import PersonalizeBaseLink
from airflow_personalize.resource import HOUR_SECONDS, Arn, Resource
from airflow_personalize.triggers.personalize import PersonalizeBaseTrigger, PersonalizeQuotaTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


# A small import takes minutes and a training hours, and the control plane's request rate is not published.
WAITER_DELAY_SECONDS = 60
# What a deferral may take beyond its wait, for instance while the triggerer restarts.
TRIGGERER_GRACE = timedelta(hours=1)
# Parameters that name something in a dataset group, the one that the operator is about first.
_MEMBERS_OF_A_GROUP = (
    "campaign_arn",
    "recommender_arn",
    "metric_attribution_arn",
    "dataset_arn",
    "solution_arn",
    "solution_version_arn",
)


class PersonalizeBaseOperator(AwsBaseOperator[PersonalizeHook]):
    """Do something to a resource, wait until it is done, return its ARN.

    Every API parameter is templated and may be an XComArg. A permanent refusal fails the task without a
    retry; any other error follows the task's retries, which adopt the result of the first try (default
    ``retry_policy``).

    ``execution_timeout`` limits the work in the worker without the wait, which has ``waiter_max_attempts`` polls.

    :param wait_for_completion: wait for the end. Default True.
    :param deferrable: wait in the triggerer rather than in a worker slot. Default: Airflow's setting
        ``[airflow_personalize] deferrable``, else True. Airflow's ``[operators] default_deferrable`` is not used: it
        is False unless set, and waits of hours should not take a worker slot by default.
    :param waiter_delay: seconds between polls. Default: Airflow's setting
        ``[airflow_personalize] waiter_delay_seconds``, else 60.
    :param waiter_max_attempts: polls before giving up. Default: enough for 24 hours for a solution
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
        deferrable: bool = deferrable_by_default(),
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
            waiter_delay = int(setting("waiter_delay_seconds", str(WAITER_DELAY_SECONDS)))
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
        """Return the ARN of the dataset group for the console link, that of the first member that a parameter names."""
        named = (getattr(self, name, None) for name in _MEMBERS_OF_A_GROUP)
        return next((self.hook.dataset_group_of(arn) for arn in named if arn), None)

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
            # The trigger stops after its polls; this timeout is for the case that no triggerer runs.
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


# 5 minutes at the default of 60 seconds: a slot was seen to free up every 4 to 13 minutes.
_QUOTA_POLLS = 5
QUOTA_TIMEOUT = timedelta(hours=24)


def create_template_fields(*own: str) -> tuple[str, ...]:
    """Return the template fields of an operator that creates: its own, ``tags`` and the AWS ones."""
    return tuple(aws_template_fields("tags", *own))


def s3_place(path: str, kms_key_arn: str | None = None) -> dict[str, str]:
    """Return an S3 address as the API's S3DataConfig."""
    return {"path": path} | ({"kmsKeyArn": kms_key_arn} if kms_key_arn else {})


class PersonalizeCreateBaseOperator(PersonalizeBaseOperator):
    """Create a resource, or adopt the one of that name; wait until it is ACTIVE; return its ARN.

    A retry, a cleared task or a second run with the same name adopts the resource of the first try and never pays
    twice. An existing resource that differs from the parameters fails the task without retry, with the differences.
    A failed job raises with the service's reason; the retry takes the next suffix.

    While the account's quota is full (for instance 5 running imports in the region), creation is retried every 5
    polls, deferred where the operator is deferrable, until ``quota_timeout`` is over. This uses no retry.

    :param quota_timeout: how long to wait for room. Default: 24 hours.

    Further parameters are those of :class:`PersonalizeBaseOperator`.
    """

    def __init__(self, *, quota_timeout: timedelta = QUOTA_TIMEOUT, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.quota_timeout = quota_timeout
        if self.execution_timeout and not self.deferrable:
            self.execution_timeout += quota_timeout
        self.created_arn: str | None = None

    @abstractmethod
    def request(self) -> dict[str, Any]:
        """Return the members of the Create request; None values are dropped."""

    def dataset_group_arn_for_link(self) -> str | None:
        """Read the dataset group off the request, or ask for that of a member; a schema belongs to no group."""
        return self.request().get("datasetGroupArn") or super().dataset_group_arn_for_link()

    def execute(self, context: Context) -> str:
        """Create or adopt, make the ARN known, wait."""
        return self._execute(context, datetime.now(UTC))

    def execute_again(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Do the same after the quota was full.

        :param event: of :class:`PersonalizeQuotaTrigger`.
        """
        return self._execute(context, datetime.fromisoformat(validate_execute_complete_event(event)["since"]))

    def _execute(self, context: Context, since: datetime) -> str:
        arn, adopted = self._create_when_there_is_room(since)
        self.created_arn = None if adopted else arn
        self.log.info("%s %s %s", "Adopted" if adopted else "Created", self.resource.noun, arn)
        self.persist_link(context, arn)
        if self._awaits(arn, adopted):
            self.await_end(arn, quick=not self.resource.single_use)
        return self.result(context, arn)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Return the ARN, or raise what the trigger saw."""
        return self.result(context, super().execute_complete(context, event))

    def create_or_adopt(self) -> tuple[str, bool]:
        """Return the ARN, and whether it was there before."""
        return self.hook.create_or_adopt(self.resource, self.request())

    def _create_when_there_is_room(self, since: datetime) -> tuple[str, bool]:
        """Create or adopt; wait here or in the triggerer while the quota is full.

        :param since: when the quota was found full for the first time.
        """
        while True:
            try:
                return self.create_or_adopt()
            except QuotaFullError as error:
                self._check_quota_timeout(since, error)
                # At random, so that tasks that were refused together do not come back together.
                pause = self.waiter_delay * _QUOTA_POLLS * random.uniform(0.8, 1.2)  # ruff: ignore[suspicious-non-cryptographic-random-usage] - no secret
                self.log.info("%s Trying again in %.0f seconds.", error, pause)
            if self.deferrable:
                self._defer_until(datetime.now(UTC) + timedelta(seconds=pause), since)
            time.sleep(pause)

    def _check_quota_timeout(self, since: datetime, error: QuotaFullError) -> None:
        if datetime.now(UTC) - since < self.quota_timeout:
            return
        raise PersonalizeFatalError(
            f"{error} Gave up after {self.quota_timeout}: give the schedules other times or ask AWS for a higher "
            "quota, then clear the task."
        ) from error

    def _defer_until(self, moment: datetime, since: datetime) -> NoReturn:
        self.defer(
            trigger=PersonalizeQuotaTrigger(since=since.isoformat(), moment=moment.isoformat()),
            method_name="execute_again",
            # For the case that no triggerer runs.
            timeout=moment - datetime.now(UTC) + TRIGGERER_GRACE,
        )

    def result(self, context: Context, arn: str) -> str:
        """Run once the resource is ready."""
        return arn

    def _awaits(self, arn: str, adopted: bool) -> bool:
        if not self.wait_for_completion or self.trigger_class is None:
            return False
        return not (adopted and self.hook.has_ended(self.trigger_class.wait, arn))


class PersonalizeCreateTaggedBaseOperator(PersonalizeCreateBaseOperator):
    """Create or adopt what can have tags.

    :param tags: tags by key. An adopted resource gets those it lacks; it keeps others it has. Default: none.
    """

    def __init__(self, *, tags: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tags = tags

    def create_or_adopt(self) -> tuple[str, bool]:
        """Create with the tags, or adopt and give it those it lacks."""
        if not self.tags:
            return super().create_or_adopt()
        request = {**self.request(), "tags": tag_list(self.tags)}
        arn, adopted = self.hook.create_or_adopt(self.resource, request)
        if adopted:
            self.hook.ensure_tags(arn, self.tags)
        return arn, adopted
