"""Change what Amazon Personalize holds: update, delete, stop, tag; each may be repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.utils.helpers import prune_dict
from botocore.exceptions import ClientError

from airflow_personalize.drift import drift
from airflow_personalize.errors import PersonalizeRetriableError
from airflow_personalize.hooks.personalize_client import PersonalizeClientHook
from airflow_personalize.refusals import error_code
from airflow_personalize.resource import Resource, State, Update, is_being_stopped, state_of, status_of
from airflow_personalize.resources import METRIC_ATTRIBUTION, RECOMMENDER, SOLUTION_VERSION


class PersonalizeChangesHook(PersonalizeClientHook):
    """Change resources that are there."""

    def update_or_adopt(self, resource: Resource, request: Mapping[str, Any]) -> bool:
        """Update a resource, unless that is in force or under way.

        :param request: members of the Update operation; None values are dropped.
        :returns: True if it is already in force, so no wait is needed.
        :raises PersonalizeRetriableError: another update of the resource is under way.
        :raises PersonalizeFatalError: the request is wrong, or what it refers to does not exist.
        """
        update, asked = _update_of(resource), prune_dict(dict(request))
        arn = str(asked[resource.arn_member])
        found = self.in_full(resource, self.describe(resource, arn))
        latest = (found.get(update.member) if update.member else None) or {}
        if latest and state_of(latest) is State.PENDING:
            self._check_under_way(resource, update, asked, latest)
            return False
        if not drift(update.compared, asked, found):
            self.log.info("All that is asked of %s %s is in force.", resource.noun, arn)
            return True
        with self.errors(f"update {resource.noun} {arn}", resource):
            getattr(self._api, f"update_{resource.operation}")(**asked)
        return False

    def is_in_force(self, resource: Resource, request: Mapping[str, Any]) -> bool | None:
        """True if the update is in force, None while it is in progress, False if it failed."""
        update, asked = _update_of(resource), prune_dict(dict(request))
        found = self.describe(resource, str(asked[resource.arn_member]))
        if not drift(update.compared, asked, found):
            return True
        latest = (found.get(update.member) if update.member else None) or {}
        return False if state_of(latest) is State.FAILED else None

    def check_in_force(self, resource: Resource, request: Mapping[str, Any]) -> None:
        """Describe the resource once and check its update.

        :raises PersonalizeRetriableError: it has not, with what differs.
        """
        asked = prune_dict(dict(request))
        arn = str(asked[resource.arn_member])
        found = self.in_full(resource, self.describe(resource, arn))
        if differences := drift(_update_of(resource).compared, asked, found):
            raise PersonalizeRetriableError(
                f"The update of {resource.noun} {arn} ended but is not in force:\n  "
                + "\n  ".join(differences)
                + "\nA retry looks again, and asks for the update again if that is needed."
            )

    def delete(self, resource: Resource, arn: str) -> bool:
        """Ask for a deletion, unless one is under way.

        :return: whether there was anything to delete.
        :raises PersonalizeRetriableError: something still uses it.
        """
        found = self.describe_if_any(resource, arn)
        if found is None:
            self.log.info("There is no %s %s.", resource.noun, arn)
            return False
        if state_of(found) is State.GONE:
            return True
        with self.errors(f"delete {resource.noun} {arn}", resource):
            try:
                getattr(self._api, f"delete_{resource.operation}")(**{resource.arn_member: arn})
            except ClientError as error:
                if error_code(error) != "ResourceNotFoundException":
                    raise
        return True

    def stop_solution_version_creation(self, solution_version_arn: str) -> None:
        """Stop a training; the time it used is billed.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_StopSolutionVersionCreation.html
        """
        with self.errors(f"stop solution version {solution_version_arn}", SOLUTION_VERSION):
            self._api.stop_solution_version_creation(solutionVersionArn=solution_version_arn)

    def stop_if_running(self, solution_version_arn: str) -> bool:
        """Stop a training unless it has ended or is stopping; True if it still has to end."""
        found = self.describe(SOLUTION_VERSION, solution_version_arn)
        if is_being_stopped(found) or state_of(found) is not State.PENDING:
            self.log.info("Solution version %s is %s.", solution_version_arn, status_of(found))
            return is_being_stopped(found)
        self.stop_solution_version_creation(solution_version_arn)
        return True

    def start_recommender(self, recommender_arn: str) -> bool:
        """Start a recommender unless it is active or starting; True if it still has to become active.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_StartRecommender.html

        :raises PersonalizeRetriableError: it is being stopped, updated or deleted.
        """
        return self._turn("start", recommender_arn, "ACTIVE")

    def stop_recommender(self, recommender_arn: str) -> bool:
        """Stop a recommender unless it is inactive or stopping; True if it still has to become inactive.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_StopRecommender.html

        :raises PersonalizeRetriableError: it is being started, updated or deleted.
        """
        return self._turn("stop", recommender_arn, "INACTIVE")

    def _turn(self, verb: str, arn: str, end: str) -> bool:
        status = status_of(self.describe(RECOMMENDER, arn))
        if status == end or status.startswith(f"{verb.upper()} "):
            self.log.info("Recommender %s is %s.", arn, status)
            if not status.endswith("FAILED"):
                return status != end
        with self.errors(f"{verb} recommender {arn}", RECOMMENDER):
            getattr(self._api, f"{verb}_recommender")(recommenderArn=arn)
        return True

    def update_metric_attribution(self, request: Mapping[str, Any]) -> bool:
        """Add and remove metrics and change the output; skip changes that are already in force.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UpdateMetricAttribution.html

        :return: whether all of it is in force already.
        """
        arn = str(request["metricAttributionArn"])
        changes = self.metric_attribution_changes(request)
        if not changes:
            self.log.info("All that is asked of metric attribution %s is in force.", arn)
            return True
        with self.errors(f"update metric attribution {arn}", METRIC_ATTRIBUTION):
            self._api.update_metric_attribution(metricAttributionArn=arn, **changes)
        return False

    def metric_attribution_changes(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return those members of an UpdateMetricAttribution request that would still change something."""
        arn = str(request["metricAttributionArn"])
        found = self.in_full(METRIC_ATTRIBUTION, self.describe(METRIC_ATTRIBUTION, arn))
        held = {metric["metricName"]: metric for metric in found["metrics"]}
        added = [each for each in request.get("addMetrics") or () if held.get(each["metricName"]) != each]
        # A metric that is removed and added changes: it is done when it is as added.
        kept = {each["metricName"] for each in request.get("addMetrics") or () if each not in added}
        removed = [name for name in request.get("removeMetrics") or () if name in held and name not in kept]
        changes: dict[str, Any] = {"addMetrics": added, "removeMetrics": removed}
        if drift(_update_of(METRIC_ATTRIBUTION).compared, request, found):
            changes["metricsOutputConfig"] = request["metricsOutputConfig"]
        return {member: change for member, change in changes.items() if change}

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Give a resource tags, replacing the values of those it has.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_TagResource.html
        """
        with self.errors(f"tag {arn}", None):
            self._api.tag_resource(resourceArn=arn, tags=tag_list(tags))

    def untag(self, arn: str, tag_keys: Sequence[str]) -> None:
        """Take tags off a resource; those it does not have count for nothing.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UntagResource.html
        """
        with self.errors(f"untag {arn}", None):
            self._api.untag_resource(resourceArn=arn, tagKeys=list(tag_keys))

    def tags(self, arn: str) -> dict[str, str]:
        """Return a resource's tags."""
        with self.errors(f"list tags of {arn}", None):
            reply = self._api.list_tags_for_resource(resourceArn=arn)
        return {each["tagKey"]: each["tagValue"] for each in reply.get("tags", ())}

    def ensure_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        """Give an adopted resource the tags it lacks; others it has stay."""
        held = self.tags(arn)
        missing = {key: value for key, value in tags.items() if held.get(key) != value}
        if missing:
            self.log.info("Tagging %s with %s.", arn, ", ".join(sorted(missing)))
            self.tag(arn, missing)

    def in_full(self, resource: Resource, found: Mapping[str, Any]) -> dict[str, Any]:
        """Add to a description what the service shows in a listing only."""
        if resource.listed_apart is None:
            return dict(found)
        member, operation = resource.listed_apart
        arn = str(found[resource.arn_member])
        pages = self._api.get_paginator(operation).paginate(**{resource.arn_member: arn})
        with self.errors(f"list {member} of {resource.noun} {arn}", resource):
            return {**found, member: [each for page in pages for each in page[member]]}

    def _check_under_way(
        self, resource: Resource, update: Update, asked: Mapping[str, Any], latest: Mapping[str, Any]
    ) -> None:
        """Refuse to wait for an update that is not ours."""
        compared = tuple(each._replace(found=None) for each in update.compared)
        arn = asked[resource.arn_member]
        if differences := drift(compared, asked, latest):
            raise PersonalizeRetriableError(
                f"Another update of {resource.noun} {arn} is under way:\n  "
                + "\n  ".join(differences)
                + "\nA retry asks again once that has ended."
            )
        self.log.info("Adopted the update of %s %s that is under way.", resource.noun, arn)


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Write tags as the API does."""
    return [{"tagKey": key, "tagValue": value} for key, value in tags.items()]


def _update_of(resource: Resource) -> Update:
    if resource.update is None:
        raise ValueError(f"Amazon Personalize has no operation to update a {resource.noun}")
    return resource.update
