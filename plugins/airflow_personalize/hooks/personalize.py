"""Talk to Amazon Personalize's control plane so that any call may be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow.utils.helpers import prune_dict
from botocore.exceptions import ClientError

from airflow_personalize.drift import drift, unasked_hyperparameters
from airflow_personalize.errors import DriftError, PersonalizeFatalError, PersonalizeRetriableError
from airflow_personalize.hooks.personalize_changes import PersonalizeChangesHook
from airflow_personalize.refusals import ended_badly, error_code
from airflow_personalize.resource import Resource, State, is_being_stopped, state_of
from airflow_personalize.resources import SOLUTION_VERSION

MAX_NAME_LENGTH = 63  # pattern of every name in the API reference
MAX_SUFFIX = 99

__all__ = ["MAX_NAME_LENGTH", "MAX_SUFFIX", "PersonalizeHook", "suffixed"]


def suffixed(name: str, number: int) -> str:
    """Return the name a job's n-th try has: ``name``, ``name-2``, ``name-3``…, cut to fit 63 characters."""
    if number == 1:
        return name
    suffix = f"-{number}"
    return name[: MAX_NAME_LENGTH - len(suffix)] + suffix


class PersonalizeHook(PersonalizeChangesHook):
    """Create, adopt, update, delete, describe and await Amazon Personalize resources.

    Wraps :external+boto3:py:class:`boto3.client("personalize") <Personalize.Client>`. The API has no client
    token, so a create adopts an existing resource of the same name, an update skips settings already in force, and a
    delete accepts a missing resource. A repeated call never creates, or pays for, a second resource.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_Operations_Amazon_Personalize.html

    Additional arguments (such as ``aws_conn_id``) go to
    :class:`~airflow.providers.amazon.aws.hooks.base_aws.AwsBaseHook`.
    """

    def create_or_adopt(self, resource: Resource, request: Mapping[str, Any]) -> tuple[str, bool]:
        """Create a resource or job, or adopt the one that already has the name.

        If a failed or stopped job used the name, the job is created under the next suffix.

        :param resource: the kind, from :mod:`airflow_personalize.resources`.
        :param request: members of the Create request; None values are dropped.
        :return: its ARN, and whether it was there before.
        :raises PersonalizeFatalError: what exists differs from the request, or failed for good; or the
            request is wrong.
        :raises PersonalizeRetriableError: quota used up, something busy or being deleted.
        """
        asked = prune_dict(dict(request))
        for number in range(1, MAX_SUFFIX + 1):
            named = {**asked, resource.name_member: suffixed(asked[resource.name_member], number)}
            arn = self._create(resource, named)
            if arn is not None:
                return arn, False
            found = self._find(resource, named)
            found_arn = str(found[resource.arn_member])
            if not (resource.single_use and _never_ready(found)):
                self._check_adoptable(resource, named, found)
                return found_arn, True
            self.log.warning("Taking the next suffix: %s", ended_badly(resource, found_arn, found))
        raise PersonalizeFatalError(
            f"{MAX_SUFFIX} {resource.noun}s named {asked[resource.name_member]!r} have failed. Find out why, "
            "then give the task another name."
        )

    def get_solution_metrics(self, solution_version_arn: str) -> dict[str, float]:
        """Return the offline metrics of an ACTIVE solution version, by name.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_GetSolutionMetrics.html
        """
        with self.errors(f"read metrics of solution version {solution_version_arn}", SOLUTION_VERSION):
            reply = self._api.get_solution_metrics(solutionVersionArn=solution_version_arn)
        return {name: float(value) for name, value in reply["metrics"].items()}

    def _create(self, resource: Resource, request: dict[str, Any]) -> str | None:
        """Create, or return None when the name, or the one place for such a resource, is taken."""
        with self.errors(f"create {resource.noun} {request[resource.name_member]!r}", resource):
            create = getattr(self._api, f"create_{resource.operation}")
            try:
                return str(create(**request)[resource.arn_member])
            except ClientError as error:
                if not self._is_taken(resource, request, error_code(error)):
                    raise
                return None

    def _is_taken(self, resource: Resource, request: dict[str, Any], code: str) -> bool:
        if code == "ResourceAlreadyExistsException":
            return True
        # The reference says only "you will get an error" of a second event tracker in a dataset group.
        return (
            resource.one_per_parent
            and code in {"LimitExceededException", "ResourceInUseException"}
            and next(self._named(resource, request), None) is not None
        )

    def _find(self, resource: Resource, request: Mapping[str, Any]) -> dict[str, Any]:
        """Describe the resource that has the requested name.

        :raises PersonalizeRetriableError: the service said it exists but does not show it (yet).
        """
        name = request[resource.name_member]
        derived = resource.arn_of(request)
        if derived and (found := self.describe_if_any(resource, derived)):
            return found
        for arn in self._named(resource, request):
            found = self.describe_if_any(resource, arn)
            if found and (resource.one_per_parent or found.get(resource.name_member) == name):
                return found
        raise PersonalizeRetriableError(
            f"Amazon Personalize says {resource.noun} {name!r} already exists but does not show it. It may "
            "have just been made or be in deletion, or the name is taken under another parent than "
            f"{request.get(resource.parent or '', 'this account')}. A retry looks again; if that does "
            "not help, choose another name."
        )

    def _named(self, resource: Resource, request: Mapping[str, Any]) -> Iterator[str]:
        """Yield ARNs of listed resources, newest first; skip summaries with another name."""
        parent = {resource.parent: request[resource.parent]} if resource.parent else {}
        name = request[resource.name_member]
        for summary in self.listed(resource, **parent):
            # The summaries of solution versions hold no name at all.
            if resource.one_per_parent or summary.get(resource.name_member, name) == name:
                yield str(summary[resource.arn_member])

    def _check_adoptable(self, resource: Resource, request: Mapping[str, Any], found: dict[str, Any]) -> None:
        """Refuse to adopt a resource that failed, is being deleted, or differs from the request."""
        arn = str(found[resource.arn_member])
        if _never_ready(found):
            raise PersonalizeFatalError(ended_badly(resource, arn, found))
        if state_of(found) is State.GONE:
            raise PersonalizeRetriableError(
                f"{resource.noun} {arn} is being deleted. The task's retry creates it anew."
            )
        if differences := drift(resource.compared, request, self.in_full(resource, found)):
            raise DriftError(
                f"{resource.noun} {arn} exists and differs from what is asked for:\n  "
                + "\n  ".join(differences)
                + f"\n{resource.remedy}"
            )
        for name in unasked_hyperparameters(request, found):
            self.log.warning(
                "%s %s has hyperparameter %s, which was not asked for.", resource.noun, arn, name
            )


def _never_ready(found: Mapping[str, Any]) -> bool:
    return state_of(found) is State.FAILED or is_being_stopped(found)
