"""The flow every creating Personalize operator shares."""

from __future__ import annotations

import random
import time
from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.errors import PersonalizeFatalError, QuotaFullError
from airflow_personalize.hooks.personalize_changes import tag_list
from airflow_personalize.operators.base import TRIGGERER_GRACE, PersonalizeBaseOperator
from airflow_personalize.triggers.personalize_quota import PersonalizeQuotaTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

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

    Whatever is tried again (a retry, a cleared task, a second run with the same name) adopts what the first
    try made and never pays twice. A found resource that differs from the parameters fails the task without
    retry and says what differs. A job that failed raises with the service's reason; the retry takes the next
    suffix.

    A job for which the account has no room (for instance 5 imports run in the region) is asked for again every 5
    polls, without a worker slot where the operator is deferrable, until it is created or ``quota_timeout`` is over.
    That takes no retry.

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
        """Return the members of the Create operation; those that are None are left out."""

    def dataset_group_arn_for_link(self) -> str | None:
        """Read the dataset group off the request; none for a schema, which belongs to no group."""
        return self.request().get("datasetGroupArn")

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
        """Do what is left to do once the resource is ready."""
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
