"""What is in the Amazon Personalize account, read once for one maintain run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resource import Resource
from airflow_personalize.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CAMPAIGN,
    DATASET,
    DATASET_GROUP,
    FILTER,
    SCHEMA,
    SOLUTION,
    SOLUTION_VERSION,
)
from airflow_personalize.status import State, state_of, status_of
from recsync import settings
from recsync.maintain.resource_retention import Held, solution_of
from recsync.program import Program, names
from recsync.program.files import program_files


@dataclass(frozen=True)
class Account:
    """The account, as one program's connection reaches it."""

    program: Program
    hook: PersonalizeHook

    @cached_property
    def programs(self) -> frozenset[str]:
        """Name every program of the deployment, those with a broken file too."""
        return frozenset(path.stem for path in program_files(settings.include_folder()))

    @cached_property
    def groups(self) -> list[dict[str, Any]]:
        """List every dataset group."""
        return self.hook.listed(DATASET_GROUP)

    @cached_property
    def group(self) -> str | None:
        """Give the program's dataset group; None before setup."""
        name = names.dataset_group_name(self.program)
        return next((each["datasetGroupArn"] for each in self.groups if each["name"] == name), None)

    def in_group(self, resource: Resource) -> list[dict[str, Any]]:
        """List the resources of a kind in the program's dataset group."""
        return self.hook.listed(resource, datasetGroupArn=self.group) if self.group else []

    @cached_property
    def solutions(self) -> list[Held]:
        """Give the solutions of the dataset group, each with what goes on in it."""
        return [self._solution(each) for each in self.in_group(SOLUTION) if not _going(each)]

    @cached_property
    def filters(self) -> list[dict[str, Any]]:
        """List the filters of the dataset group."""
        return [each for each in self.in_group(FILTER) if not _going(each)]

    @cached_property
    def schemas(self) -> list[Held]:
        """Give every schema of the account; the service keeps them apart from dataset groups."""
        return [_held(SCHEMA, each) for each in self.hook.listed(SCHEMA)]

    @cached_property
    def used_schemas(self) -> dict[str, str]:
        """Tell which schemas datasets use: ARN -> what uses it."""
        used = {}
        for group in self.groups:
            for dataset in self.hook.listed(DATASET, datasetGroupArn=group["datasetGroupArn"]):
                found = self.hook.describe_if_any(DATASET, dataset["datasetArn"])
                if found:
                    used[str(found["schemaArn"])] = f"dataset {found['name']} of {group['name']} uses it"
        return used

    @cached_property
    def campaigns(self) -> list[dict[str, Any]]:
        """Describe every campaign of the account."""
        found = (self.hook.describe_if_any(CAMPAIGN, c["campaignArn"]) for c in self.hook.listed(CAMPAIGN))
        return [each for each in found if each and not _going(each)]

    def used_solutions(self) -> dict[str, str]:
        """Tell which solutions campaigns serve and unfinished jobs read: ARN -> what uses it."""
        used = {}
        for campaign in self.campaigns:
            versions = [campaign, campaign.get("latestCampaignUpdate") or {}]
            for version in versions:
                if arn := version.get("solutionVersionArn"):
                    used[solution_of(arn)] = f"campaign {campaign['name']} serves it"
        for kind in (BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB):
            for job in self.hook.listed(kind):
                if state_of(job) is State.PENDING and job.get("solutionVersionArn"):
                    used[solution_of(job["solutionVersionArn"])] = f"{kind.noun} {job['jobName']} reads it"
        return used

    def _solution(self, summary: dict[str, Any]) -> Held:
        solution = _held(SOLUTION, summary)
        versions = self.hook.listed(SOLUTION_VERSION, solutionArn=solution.arn)
        going = [each for each in versions if state_of(each) is State.PENDING]
        busy = f"{going[0]['solutionVersionArn']} is {status_of(going[0])}" if going else ""
        touched = max([solution.touched, *(_changed(each) for each in versions)])
        return Held(solution.arn, solution.name, touched, busy or solution.busy)


def held_filter(summary: dict[str, Any]) -> Held:
    """Read a filter's summary."""
    return _held(FILTER, summary)


def _held(resource: Resource, summary: dict[str, Any]) -> Held:
    busy = f"it is {status_of(summary)}" if state_of(summary) is State.PENDING else ""
    return Held(str(summary[resource.arn_member]), str(summary["name"]), _changed(summary), busy)


def _changed(summary: dict[str, Any]) -> Any:
    return summary.get("lastUpdatedDateTime") or summary["creationDateTime"]


def _going(summary: dict[str, Any]) -> bool:
    return state_of(summary) is State.GONE
