"""Read Amazon Personalize: describe, list, wait; list the contents of a dataset group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.utils.waiter_with_logging import wait as wait_with_logging
from airflow.providers.common.compat.sdk import AirflowException
from botocore.exceptions import ClientError

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.refusals import error_code, failure, personalize_errors, wait_error
from airflow_personalize.resource import Arn, Resource, State, Wait, deletion_failed
from airflow_personalize.resources import (
    CAMPAIGN,
    DATASET,
    DATASET_GROUP,
    EVENT_TRACKER,
    FILTER,
    METRIC_ATTRIBUTION,
    RECOMMENDER,
    SOLUTION,
)

# Everything but a job is ready after a few seconds; about 20 s are looked at before deferring.
QUICK_LOOKS = 10
QUICK_LOOK_SECONDS = 2.0
# Described with their dataset group, by the kind in their ARN.
_IN_GROUP = {"solution": SOLUTION, "recommender": RECOMMENDER, "metric-attribution": METRIC_ATTRIBUTION}


class PersonalizeClientHook(AwsBaseHook):
    """Describe, list and await Amazon Personalize resources.

    Additional arguments (such as ``aws_conn_id``) go to
    :class:`~airflow.providers.amazon.aws.hooks.base_aws.AwsBaseHook`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "personalize"
        super().__init__(*args, **kwargs)

    @cached_property
    def waiter_path(self) -> Path:
        """The file of our waiter models: boto3 ships none, and the provider looks into its own only."""
        return Path(__file__).parents[1] / "waiters" / "personalize.json"

    @property
    def _api(self) -> Any:
        """The boto3 client; its methods are made at run time, so nothing is known of their types."""
        return self.conn

    def errors(self, action: str, resource: Resource | None) -> AbstractContextManager[None]:
        """Raise what AWS refuses as errors of this package; see :func:`personalize_errors`."""
        return personalize_errors(action, resource, conn_id=self.aws_conn_id)

    def describe(self, resource: Resource, arn: str) -> dict[str, Any]:
        """Return the resource's description, without the reply's envelope.

        :raises PersonalizeFatalError: it does not exist, or may not be seen.
        """
        with self.errors(f"describe {resource.noun} {arn}", resource):
            reply = getattr(self._api, f"describe_{resource.operation}")(**{resource.arn_member: arn})
        return dict(reply[resource.member])

    def describe_if_any(self, resource: Resource, arn: str) -> dict[str, Any] | None:
        """Return the resource's description, None when the service does not know it."""
        try:
            return self.describe(resource, arn)
        except PersonalizeFatalError as error:
            if isinstance(error.__cause__, ClientError) and "NotFound" in error_code(error.__cause__):
                return None
            raise

    def listed(self, resource: Resource, **narrowed_by: str) -> list[dict[str, Any]]:
        """Return the summaries of all resources of a kind, newest first.

        :param narrowed_by: the List operation's own parameters, e.g. ``datasetGroupArn``.
        """
        with self.errors(f"list {resource.noun}s", resource):
            summaries = list(self._summaries(resource, narrowed_by))
        return sorted(summaries, key=lambda each: each["creationDateTime"], reverse=True)

    def dataset_group_of_version(self, solution_version_arn: str) -> str:
        """Return the ARN of the dataset group of ``SOLUTION_ARN/VERSION`` or ``SOLUTION_ARN/$LATEST``."""
        solution_arn = solution_version_arn.rsplit("/", 1)[0]
        return str(self.describe(SOLUTION, solution_arn)["datasetGroupArn"])

    def dataset_group_of(self, arn: str) -> str:
        """Return the ARN of the dataset group of a dataset, solution or version, campaign, recommender or attribution.

        :raises ValueError: the ARN is of another resource, or none.
        """
        place = Arn.parse(arn)
        match place.tail.split("/"):
            case ["dataset", group, _]:
                return place.sibling(f"dataset-group/{group}")
            case ["solution", _, _]:
                return self.dataset_group_of_version(arn)
            case ["campaign", _]:
                return self.dataset_group_of_version(self.describe(CAMPAIGN, arn)["solutionVersionArn"])
            case [kind, _] if kind in _IN_GROUP:
                return str(self.describe(_IN_GROUP[kind], arn)["datasetGroupArn"])
        raise ValueError(f"{arn!r} is no ARN of a resource of a dataset group")

    def has_ended(self, wait: Wait, arn: str) -> bool:
        """Check once whether the wait is over."""
        return self._look(wait, arn) in wait.ends

    def has_ended_well(self, wait: Wait, arn: str) -> bool:
        """Check once whether the wait is over.

        :raises PersonalizeFatalError: it has failed and never will be; or it does not exist, or may not be seen.
        """
        if wait.gone:
            return self.has_ended(wait, arn)
        reply = {wait.resource.member: self.describe(wait.resource, arn)}
        state = wait.state(reply)
        if state in wait.ends:
            return True
        if state in {State.FAILED, State.GONE}:
            raise PersonalizeFatalError(failure(wait, arn, wait.watched(reply)))
        return False

    def ends_soon(self, wait: Wait, arn: str) -> bool:
        """Look for some seconds whether a wait ends well; False when it goes on or has failed."""

        def look() -> bool | None:
            state = self._look(wait, arn)
            return None if state is State.PENDING else state in wait.ends

        return self.soon(look)

    def soon(self, look: Callable[[], bool | None]) -> bool:
        """Look for some seconds, until an answer is there.

        :param look: returns None as long as there is no answer.
        :return: the answer, False when none came.
        """
        for _ in range(QUICK_LOOKS):
            answer = look()
            if answer is not None:
                return answer
            time.sleep(QUICK_LOOK_SECONDS)
        return False

    def wait_for(self, wait: Wait, arn: str, *, delay: int, max_attempts: int) -> None:
        """Poll, logging each status, until the wait ends.

        :param delay: seconds between polls.
        :raises PersonalizeRetriableError: it failed, with the service's reason, or needs more polls.
        :raises PersonalizeFatalError: the polling itself was refused.
        """
        noun = wait.resource.noun
        try:
            wait_with_logging(
                waiter=self.get_waiter(wait.waiter),
                waiter_delay=delay,
                waiter_max_attempts=max_attempts,
                args={wait.resource.arn_member: arn},
                failure_message=f"{noun} {arn} was not {wait.outcome}",
                status_message=f"Status of {noun} {arn}",
                status_args=wait.status_queries,
            )
        except AirflowException as error:
            raise wait_error(wait, arn, error) from error

    def _look(self, wait: Wait, arn: str) -> State:
        """Return the state a wait is about: of a deletion, GONE only when the service does not know the resource."""
        if not wait.gone:
            return wait.state({wait.resource.member: self.describe(wait.resource, arn)})
        found = self.describe_if_any(wait.resource, arn)
        if found is None:
            return State.GONE
        return State.FAILED if deletion_failed(found) else State.PENDING

    def _summaries(self, resource: Resource, narrowed_by: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Turn the pages; botocore has no paginator for data deletion jobs."""
        token: dict[str, str] = {}
        call = getattr(self._api, f"list_{resource.operation}s")
        while True:
            page = call(**narrowed_by, **token)
            yield from page[resource.listing]
            if not page.get("nextToken"):
                return
            token = {"nextToken": page["nextToken"]}


class GroupMember(NamedTuple):
    """One resource of a dataset group."""

    resource: Resource
    arn: str


def deletion_steps(hook: PersonalizeClientHook, dataset_group_arn: str) -> list[list[GroupMember]]:
    """Return what to delete before a dataset group, by steps; each step has to be gone before the next.

    Campaigns hold on to solutions, solutions to datasets; filters and event trackers to datasets too. Schemas
    are not of the group, and nothing deletes a job.

    :raises PersonalizeFatalError: the service listed something that is of another dataset group.
    """
    group = hook.describe(DATASET_GROUP, dataset_group_arn)
    solutions = list(_of_group(hook, SOLUTION, dataset_group_arn))
    campaigns = [
        GroupMember(CAMPAIGN, summary["campaignArn"])
        for solution in solutions
        for summary in hook.listed(CAMPAIGN, solutionArn=solution.arn)
    ]
    # Only a domain dataset group can have recommenders.
    recommenders = list(_of_group(hook, RECOMMENDER, dataset_group_arn)) if group.get("domain") else []
    users_of_filters = [*campaigns, *recommenders, *_of_group(hook, METRIC_ATTRIBUTION, dataset_group_arn)]
    inputs = [
        *_of_group(hook, EVENT_TRACKER, dataset_group_arn),
        *_of_group(hook, FILTER, dataset_group_arn),
    ]
    datasets = list(_of_group(hook, DATASET, dataset_group_arn))
    return [step for step in (users_of_filters, solutions, inputs, datasets) if step]


def _of_group(
    hook: PersonalizeClientHook, resource: Resource, dataset_group_arn: str
) -> Iterator[GroupMember]:
    for summary in hook.listed(resource, datasetGroupArn=dataset_group_arn):
        arn = str(summary[resource.arn_member])
        found = hook.describe_if_any(resource, arn)
        if found is None:
            continue
        # A listing that ignored its narrowing would have strangers deleted.
        if found["datasetGroupArn"] != dataset_group_arn:
            raise PersonalizeFatalError(
                f"{resource.noun} {arn} was listed as part of {dataset_group_arn} but is part of "
                f"{found['datasetGroupArn']}. Nothing was deleted."
            )
        yield GroupMember(resource, arn)
