"""Talk to Amazon Personalize's control plane so that any call may be repeated."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.utils.waiter_with_logging import wait
from airflow.providers.common.compat.sdk import AirflowException
from airflow.utils.helpers import prune_dict
from botocore.exceptions import ClientError

from recsync.errors import FatalError, RetriableError
from recsync.hooks.personalize_drift import drift, unasked_hyperparameters
from recsync.hooks.personalize_errors import ended_badly, error_code, personalize_errors, wait_error
from recsync.hooks.personalize_resources import SOLUTION_VERSION, Resource

MAX_NAME_LENGTH = 63  # pattern of every name in the API reference
MAX_SUFFIX = 99
# A dataset group, dataset or solution is ready after a few seconds; about 20 s are looked at before deferring.
QUICK_LOOKS = 10
QUICK_LOOK_SECONDS = 2.0


def suffixed(name: str, number: int) -> str:
    """Return the name a job's n-th try has: ``name``, ``name-2``, ``name-3``…, cut to fit 63 characters."""
    if number == 1:
        return name
    suffix = f"-{number}"
    return name[: MAX_NAME_LENGTH - len(suffix)] + suffix


def status_of(description: Mapping[str, Any]) -> str:
    """Return the status in one spelling; the service writes ``CREATE_FAILED`` here and there."""
    return str(description.get("status") or "ACTIVE").replace("_", " ").upper()


def is_dead(status: str) -> bool:
    """Tell a status that never becomes ACTIVE: failed, stopping or stopped."""
    return "FAILED" in status or "STOP" in status


class PersonalizeHook(AwsBaseHook):
    """Create, adopt, describe and await Amazon Personalize resources.

    Wraps :external+boto3:py:class:`boto3.client("personalize") <Personalize.Client>`. The API has no client
    token, so every create here is "create, else adopt what has this name": a repeated call never makes, or
    pays for, a second one.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_Operations_Amazon_Personalize.html

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

    def create_or_adopt(self, resource: Resource, request: Mapping[str, Any]) -> tuple[str, bool]:
        """Create a resource or job, or adopt the one that already has the name.

        A job whose name was used by one that failed or was stopped is created under the next suffix.

        :param resource: the kind, from :mod:`recsync.hooks.personalize_resources`.
        :param request: members of the Create operation; those that are None are left out.
        :return: its ARN, and whether it was there before.
        :raises FatalError: what exists differs from the request, or failed for good; or the request is wrong.
        :raises RetriableError: quota used up, something busy or being deleted.
        """
        asked = prune_dict(dict(request))
        for number in range(1, MAX_SUFFIX + 1):
            named = {**asked, resource.name_member: suffixed(asked[resource.name_member], number)}
            arn = self._create(resource, named)
            if arn is not None:
                return arn, False
            found = self._find(resource, named)
            found_arn = str(found[resource.arn_member])
            if not (resource.single_use and is_dead(status_of(found))):
                self._check_adoptable(resource, named, found)
                return found_arn, True
            self.log.warning("Taking the next suffix: %s", ended_badly(resource, found_arn, found))
        raise FatalError(
            f"{MAX_SUFFIX} {resource.noun}s named {asked[resource.name_member]!r} have failed. Find out why, "
            "then give the task another name."
        )

    def describe(self, resource: Resource, arn: str) -> dict[str, Any]:
        """Return the resource's description, without the reply's envelope."""
        with personalize_errors(f"describe {resource.noun} {arn}", resource):
            reply = getattr(self._api, f"describe_{resource.operation}")(**{resource.arn_member: arn})
        return dict(reply[resource.member])

    def is_active(self, resource: Resource, arn: str) -> bool:
        """Tell whether nothing is left to wait for."""
        return resource.waiter is None or status_of(self.describe(resource, arn)) == "ACTIVE"

    def becomes_active(self, resource: Resource, arn: str) -> bool:
        """Look for some seconds whether a resource becomes ACTIVE; False when it did not or has failed."""
        for _ in range(QUICK_LOOKS):
            status = status_of(self.describe(resource, arn))
            if status == "ACTIVE" or is_dead(status):
                return status == "ACTIVE"
            time.sleep(QUICK_LOOK_SECONDS)
        return False

    def wait_until_active(self, resource: Resource, arn: str, *, delay: int, max_attempts: int) -> None:
        """Poll, logging each status, until the resource is ACTIVE.

        :param delay: seconds between polls.
        :raises RetriableError: it failed, with the service's reason, or needs more polls.
        :raises FatalError: the polling itself was refused.
        """
        if resource.waiter is None:
            return
        try:
            wait(
                waiter=self.get_waiter(resource.waiter),
                waiter_delay=delay,
                waiter_max_attempts=max_attempts,
                args={resource.arn_member: arn},
                failure_message=f"{resource.noun} {arn} failed",
                status_message=f"Status of {resource.noun} {arn}",
                status_args=resource.status_queries,
            )
        except AirflowException as error:
            raise wait_error(resource, arn, error) from error

    def stop_solution_version_creation(self, solution_version_arn: str) -> None:
        """Stop a training; the time it used is billed.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_StopSolutionVersionCreation.html
        """
        with personalize_errors(f"stop solution version {solution_version_arn}", SOLUTION_VERSION):
            self._api.stop_solution_version_creation(solutionVersionArn=solution_version_arn)

    def get_solution_metrics(self, solution_version_arn: str) -> dict[str, float]:
        """Return the offline metrics of an ACTIVE solution version, by name.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_GetSolutionMetrics.html
        """
        with personalize_errors(f"read metrics of solution version {solution_version_arn}", SOLUTION_VERSION):
            reply = self._api.get_solution_metrics(solutionVersionArn=solution_version_arn)
        return {name: float(value) for name, value in reply["metrics"].items()}

    def _create(self, resource: Resource, request: dict[str, Any]) -> str | None:
        """Create, or return None when the name is taken."""
        create = getattr(self._api, f"create_{resource.operation}")
        with personalize_errors(f"create {resource.noun} {request[resource.name_member]!r}", resource):
            try:
                return str(create(**request)[resource.arn_member])
            except ClientError as error:
                if error_code(error) != "ResourceAlreadyExistsException":
                    raise
                return None

    def _find(self, resource: Resource, request: Mapping[str, Any]) -> dict[str, Any]:
        """Describe the resource that has the requested name.

        :raises RetriableError: the service said it exists but does not show it (yet).
        """
        name = request[resource.name_member]
        derived = resource.arn_of(request)
        if derived and (found := self._describe_if_any(resource, derived)):
            return found
        for arn in self._listed(resource, request):
            found = self._describe_if_any(resource, arn)
            if found and found.get(resource.name_member) == name:
                return found
        raise RetriableError(
            f"Amazon Personalize says {resource.noun} {name!r} already exists but does not show it. It may "
            "have just been made or be in deletion, or the name is taken under another parent than "
            f"{request.get(resource.parent or '', 'this account')}. A retry looks again; if that does "
            "not help, choose another name."
        )

    def _listed(self, resource: Resource, request: Mapping[str, Any]) -> Iterator[str]:
        """Yield ARNs from the listing, newest first, leaving out those whose summary shows another name."""
        parent = {resource.parent: request[resource.parent]} if resource.parent else {}
        pages = self._api.get_paginator(f"list_{resource.operation}s").paginate(**parent)
        with personalize_errors(f"list {resource.noun}s", resource):
            summaries = [summary for page in pages for summary in page[resource.listing]]
        name = request[resource.name_member]
        for summary in sorted(summaries, key=lambda each: each["creationDateTime"], reverse=True):
            # The summaries of solution versions hold no name at all.
            if summary.get(resource.name_member, name) == name:
                yield str(summary[resource.arn_member])

    def _describe_if_any(self, resource: Resource, arn: str) -> dict[str, Any] | None:
        try:
            return self.describe(resource, arn)
        except FatalError as error:
            if isinstance(error.__cause__, ClientError) and "NotFound" in error_code(error.__cause__):
                return None
            raise

    def _check_adoptable(self, resource: Resource, request: Mapping[str, Any], found: dict[str, Any]) -> None:
        """Refuse to adopt what is failed, being deleted, or other than asked for."""
        arn, status = str(found[resource.arn_member]), status_of(found)
        if is_dead(status):
            raise FatalError(ended_badly(resource, arn, found))
        if status.startswith("DELETE"):
            raise RetriableError(f"{resource.noun} {arn} is being deleted. The task's retry creates it anew.")
        if differences := drift(resource, request, found):
            raise FatalError(
                f"{resource.noun} {arn} exists and differs from what is asked for:\n  "
                + "\n  ".join(differences)
                + f"\n{resource.remedy}"
            )
        for name in unasked_hyperparameters(request, found):
            self.log.warning(
                "%s %s has hyperparameter %s, which was not asked for.", resource.noun, arn, name
            )
