"""Resources in Amazon Personalize: read the account, decide what to keep, list orphans and idle campaigns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.refusals import error_code
from airflow_personalize.resource import Resource, State, state_of, status_of
from airflow_personalize.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CAMPAIGN,
    DATASET,
    DATASET_GROUP,
    EVENT_TRACKER,
    FILTER,
    METRIC_ATTRIBUTION,
    RECOMMENDER,
    SCHEMA,
    SOLUTION,
    SOLUTION_VERSION,
)
from recsync import settings
from recsync.context import StageContext
from recsync.costs.ledger import month_of
from recsync.costs.prices import UsageKind, format_money, read_prices
from recsync.errors import RETRIABLE
from recsync.evaluation.store import ChampionStore
from recsync.maintain.report import ReportEntry
from recsync.maintain.retention import (
    AccountResource,
    RetentionDecision,
    decide_solutions,
    decide_unused,
    owns_filter,
    owns_schema,
    owns_solution,
    solution_of,
    versions_needed,
)
from recsync.program import Program, names
from recsync.program.files import program_files
from recsync.recommend.filters import to_retire
from recsync.training.tuning import solution_names

log = logging.getLogger(__name__)

_HOURS = 24
Decisions = Mapping[Resource, Sequence[RetentionDecision[AccountResource]]]


@dataclass(frozen=True)
class PersonalizeAccount:
    """The Amazon Personalize account of a program's connection; each listing is read once."""

    program: Program
    hook: PersonalizeHook

    @cached_property
    def programs(self) -> frozenset[str]:
        """Every program of the deployment, also those with a broken file."""
        return frozenset(path.stem for path in program_files(settings.include_folder()))

    @cached_property
    def groups(self) -> list[dict[str, Any]]:
        """All dataset groups."""
        return self.hook.listed(DATASET_GROUP)

    @cached_property
    def group(self) -> str | None:
        """ARN of the program's dataset group; None before setup."""
        name = names.dataset_group_name(self.program)
        return next((each["datasetGroupArn"] for each in self.groups if each["name"] == name), None)

    def in_group(self, resource: Resource) -> list[dict[str, Any]]:
        """List the resources of a kind in the program's dataset group."""
        return self.hook.listed(resource, datasetGroupArn=self.group) if self.group else []

    @cached_property
    def solutions(self) -> list[AccountResource]:
        """The solutions of the dataset group."""
        return [self._solution(each) for each in self.in_group(SOLUTION) if not _gone(each)]

    @cached_property
    def filters(self) -> list[dict[str, Any]]:
        """The filters of the dataset group."""
        return [each for each in self.in_group(FILTER) if not _gone(each)]

    @cached_property
    def attributions(self) -> list[dict[str, Any]]:
        """The program's own metric attribution; CloudWatch bills its metrics while it exists."""
        own = names.metric_attribution_name(self.program)
        return [e for e in self.in_group(METRIC_ATTRIBUTION) if e["name"] == own and not _gone(e)]

    @cached_property
    def schemas(self) -> list[AccountResource]:
        """All schemas of the account; they belong to no dataset group."""
        return [_read(SCHEMA, each) for each in self.hook.listed(SCHEMA)]

    @cached_property
    def used_schemas(self) -> dict[str, str]:
        """ARN of each schema that a dataset uses -> what uses it."""
        used = {}
        for group in self.groups:
            for dataset in self.hook.listed(DATASET, datasetGroupArn=group["datasetGroupArn"]):
                found = self.hook.describe_if_any(DATASET, dataset["datasetArn"])
                if found:
                    used[str(found["schemaArn"])] = f"dataset {found['name']} of {group['name']} uses it"
        return used

    @cached_property
    def campaigns(self) -> list[dict[str, Any]]:
        """Descriptions of all campaigns of the account."""
        found = (self.hook.describe_if_any(CAMPAIGN, c["campaignArn"]) for c in self.hook.listed(CAMPAIGN))
        return [each for each in found if each and not _gone(each)]

    def used_solutions(self) -> dict[str, str]:
        """Return the solutions of campaigns and of unfinished jobs: ARN -> what uses it."""
        used = {}
        for campaign in self.campaigns:
            for version in (campaign, campaign.get("latestCampaignUpdate") or {}):
                if arn := version.get("solutionVersionArn"):
                    used[solution_of(arn)] = f"campaign {campaign['name']} serves it"
        for kind in (BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB):
            for job in self.hook.listed(kind):
                if state_of(job) is State.PENDING and job.get("solutionVersionArn"):
                    used[solution_of(job["solutionVersionArn"])] = f"{kind.noun} {job['jobName']} reads it"
        return used

    def counts(self) -> dict[str, int]:
        """Count the resources with a quota, in the account or in the program's dataset group."""
        solutions = {each.arn.rsplit("/", 1)[-1] for each in self.solutions}
        serving = [c for c in self.campaigns if c["solutionVersionArn"].split("/")[1] in solutions]
        return {
            "dataset groups": len(self.groups),
            "schemas": len(self.schemas),
            "solutions": len(self.solutions),
            "filters": len(self.filters),
            "campaigns": len(serving),
        }

    def _solution(self, summary: dict[str, Any]) -> AccountResource:
        solution = _read(SOLUTION, summary)
        versions = self.hook.listed(SOLUTION_VERSION, solutionArn=solution.arn)
        pending = [each for each in versions if state_of(each) is State.PENDING]
        busy = f"{pending[0]['solutionVersionArn']} is {status_of(pending[0])}" if pending else ""
        changed = max([solution.changed, *(_changed(each) for each in versions)])
        return AccountResource(solution.arn, solution.name, changed, busy or solution.busy)


def _read(resource: Resource, summary: dict[str, Any]) -> AccountResource:
    busy = f"it is {status_of(summary)}" if state_of(summary) is State.PENDING else ""
    return AccountResource(str(summary[resource.arn_member]), str(summary["name"]), _changed(summary), busy)


def _changed(summary: dict[str, Any]) -> Any:
    return summary.get("lastUpdatedDateTime") or summary["creationDateTime"]


def _gone(summary: dict[str, Any]) -> bool:
    return state_of(summary) is State.GONE


def survey(
    context: StageContext, account: PersonalizeAccount, now: datetime, *, solutions: bool = True
) -> Decisions:
    """Decide about the program's solutions, filters, schemas and metric attribution.

    Programs that share data may share solutions, so the owner of the data decides about all of them, and about the
    schemas.

    :param solutions: whether what every program over the data needs is known.
    """
    program, days = context.program, context.program.retention.solution_days
    filters = {FILTER: _decide_filters(account, now)}
    if program.data is not None:
        return filters
    schemas = [each for each in account.schemas if owns_schema(program, each.name)]
    return {
        SOLUTION: _decide_solutions(context, account, now) if solutions else [],
        **filters,
        SCHEMA: decide_unused(schemas, account.used_schemas, days, now),
        METRIC_ATTRIBUTION: decide_unused(
            [_read(METRIC_ATTRIBUTION, each) for each in account.attributions],
            dict.fromkeys(_asked_attributions(account), "the program file asks for it"),
            days,
            now,
        ),
    }


def _asked_attributions(account: PersonalizeAccount) -> list[str]:
    """Return the ARN of the metric attribution if the program file has metrics: a dataset group has one at most."""
    asked = bool(account.program.attribution.metrics)
    return [each["metricAttributionArn"] for each in account.attributions] if asked else []


def _decide_solutions(
    context: StageContext, account: PersonalizeAccount, now: datetime
) -> list[RetentionDecision[AccountResource]]:
    # Listed before their use is read, as they may become used in between.
    own = [each for each in account.solutions if owns_solution(context.program, each.name)]
    needed: dict[str, str] = {}
    for each in context.over_data:
        needed |= needed_solutions(each, own)
    return decide_solutions(context.program, own, {**account.used_solutions(), **needed}, now)


def needed_solutions(context: StageContext, found: Iterable[AccountResource]) -> dict[str, str]:
    """Return the solutions that one program needs: ARN -> why.

    :param found: the solutions of the dataset group.
    """
    history = [
        (c.solution_version_arn, c.segment_version_arn) for c in context.store(ChampionStore).history()
    ]
    needed = versions_needed(history, context.program.retention.champions)
    asked = solution_names(context)
    return needed | {each.arn: "the program file asks for it" for each in found if each.name in asked}


def _decide_filters(account: PersonalizeAccount, now: datetime) -> list[RetentionDecision[AccountResource]]:
    program = account.program
    own = [each for each in account.filters if owns_filter(program, each["name"])]
    used: dict[str, str] = {}
    if program.filters.recommend is not None:
        current = next((each["name"] for each in own if state_of(each) is State.READY), None)
        retired = {each["filterArn"] for each in to_retire(program, own, current)}
        newest = (each["filterArn"] for each in own if each["filterArn"] not in retired)
        used = dict.fromkeys(newest, "the newest filters of the program")
    return decide_unused((_read(FILTER, each) for each in own), used, program.retention.solution_days, now)


def remove(hook: PersonalizeHook, decisions: Decisions) -> tuple[list[str], set[str]]:
    """Delete the resources that are not kept; a pending deletion is no error.

    :returns: the resources that could not be deleted, with reasons; and their names.
    """
    left, in_use = [], set()
    for resource, decided in decisions.items():
        for decision in (each for each in decided if not each.keep):
            name = decision.subject.name
            if _is_deleted(hook, resource, decision.subject.arn):
                log.info("Removed %s %s: %s", resource.noun, name, decision.why)
            else:
                left.append(f"{resource.noun} {name} stays: Amazon Personalize says that it is in use")
                in_use.add(name)
    return left, in_use


def _is_deleted(hook: PersonalizeHook, resource: Resource, arn: str) -> bool:
    try:
        hook.delete(resource, arn)
    except RETRIABLE as error:
        cause = error.__cause__
        if not isinstance(cause, ClientError) or error_code(cause) != "ResourceInUseException":
            raise
        return False
    return True


def find_orphans(account: PersonalizeAccount) -> Iterator[ReportEntry]:
    """List what no program owns; none of it is ever removed, and the owner of the data alone reports it."""
    if account.program.data is not None:
        return
    program, why = account.program, "not named as recsync names its resources"
    named = [program.model_copy(update={"name": name}) for name in account.programs]
    for group in account.groups:
        if group["name"] not in account.programs:
            yield ReportEntry(DATASET_GROUP.noun, group["name"], "no program file has its name")
    for solution in account.solutions:
        if not owns_solution(program, solution.name):
            yield ReportEntry(SOLUTION.noun, solution.name, why)
    for found in account.filters:
        if not any(owns_filter(each, found["name"]) for each in named):
            yield ReportEntry(FILTER.noun, found["name"], why)
    for schema in account.schemas:
        if not any(owns_schema(each, schema.name) for each in named):
            yield ReportEntry(SCHEMA.noun, schema.name, why)
    for resource in (EVENT_TRACKER, METRIC_ATTRIBUTION):
        # A dataset group has one event tracker, which update_by: events uses, whoever made it.
        if resource is EVENT_TRACKER and program.streams:
            continue
        for each in account.in_group(resource):
            if each not in account.attributions:
                yield ReportEntry(resource.noun, str(each.get("name")), "no program uses it for its e-mails")


def idle_campaigns(
    account: PersonalizeAccount, now: datetime, *, is_recommending: Callable[[str], bool]
) -> Iterator[ReportEntry]:
    """List the campaigns that seem unused, each with its price.

    :param is_recommending: returns whether a recommend run of a program is active.
    """
    own = {f"{name}-recommend": name for name in account.programs}
    idle_after = timedelta(hours=account.program.retention.idle_campaign_hours)
    for campaign in account.campaigns:
        changed: datetime = _changed(campaign)
        if program := own.get(campaign["name"]):
            if is_recommending(program):
                continue
            why = f"no recommend run of {program} is active; the next one uses and deletes the campaign"
        elif now - changed < idle_after:
            continue
        else:
            why = f"not recsync's; last changed {changed:%Y-%m-%d}"
        # Without a minimum, one request per second is what the service provisions.
        # https://docs.aws.amazon.com/personalize/latest/dg/API_CreateCampaign.html
        least = int(campaign.get("minProvisionedTPS") or 1)
        cost = _daily_cost(now, UsageKind.CAMPAIGN_TPS_HOURS, least)
        yield ReportEntry(CAMPAIGN.noun, campaign["name"], f"{why}; {cost}")


def active_recommenders(account: PersonalizeAccount, now: datetime) -> Iterator[ReportEntry]:
    """List the recommenders of the account that are billed, each with its price; recsync makes none.

    Only domain dataset groups have recommenders: without one, the role needs no permission to list them.
    """
    if not any(group.get("domain") for group in account.groups):
        return
    for found in account.hook.listed(RECOMMENDER):
        if status_of(found) == "ACTIVE":
            least = int(found.get("recommenderConfig", {}).get("minRecommendationRequestsPerSecond") or 1)
            cost = _daily_cost(now, UsageKind.RECOMMENDER_RPS_HOURS, least)
            why = f"not recsync's; ACTIVE, so billed by the hour until it is stopped or deleted; {cost}"
            yield ReportEntry(RECOMMENDER.noun, found["name"], why)


def _daily_cost(now: datetime, kind: UsageKind, requests_per_second: int) -> str:
    prices = read_prices(settings.include_folder())
    listed = prices.of(month_of(now))
    if not listed.is_known(kind):
        return f"include/prices.yaml has no price of {kind.value}"
    cost = format_money(listed.cost_of(kind, requests_per_second * _HOURS), prices.currency)
    return f"costs at least {cost} a day by include/prices.yaml"
