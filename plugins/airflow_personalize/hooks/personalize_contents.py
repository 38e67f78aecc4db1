"""List what a dataset group holds, in the order in which it can be deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.hooks.personalize_client import PersonalizeClientHook
from airflow_personalize.resource import Resource
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


class Held(NamedTuple):
    """One resource of a dataset group."""

    resource: Resource
    arn: str


def steps(hook: PersonalizeClientHook, dataset_group_arn: str) -> list[list[Held]]:
    """Return what to delete before a dataset group, by steps; each step has to be gone before the next.

    Campaigns hold on to solutions, solutions to datasets; filters and event trackers to datasets too. Schemas
    are not of the group, and nothing deletes a job.

    :raises PersonalizeFatalError: the service listed something that is of another dataset group.
    """
    group = hook.describe(DATASET_GROUP, dataset_group_arn)
    solutions = list(_of_group(hook, SOLUTION, dataset_group_arn))
    campaigns = [
        Held(CAMPAIGN, summary["campaignArn"])
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


def _of_group(hook: PersonalizeClientHook, resource: Resource, dataset_group_arn: str) -> Iterator[Held]:
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
        yield Held(resource, arn)
