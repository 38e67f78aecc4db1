"""What is in the account and no program's, and campaigns that cost though nobody seems to need them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from airflow_personalize.resource import Resource
from airflow_personalize.resources import (
    DATASET_GROUP,
    EVENT_TRACKER,
    FILTER,
    METRIC_ATTRIBUTION,
    SCHEMA,
    SOLUTION,
)
from recsync import settings
from recsync.costs.charges import Kind
from recsync.costs.formatting import money
from recsync.costs.ledger import month_of
from recsync.costs.prices import read_prices
from recsync.maintain.account import Account
from recsync.maintain.report import Entry
from recsync.maintain.resource_retention import owns_filter, owns_schema, owns_solution

_HOURS = 24


def unowned(account: Account) -> list[Entry]:
    """List what no program owns; none of it is ever touched."""
    program, why = account.program, "not named as recsync names what it makes"
    found = [
        Entry(DATASET_GROUP.noun, group["name"], "no program file has its name")
        for group in account.groups
        if group["name"] not in account.programs
    ]
    found += [
        Entry(SOLUTION.noun, s.name, why) for s in account.solutions if not owns_solution(program, s.name)
    ]
    found += [
        Entry(FILTER.noun, f["name"], why) for f in account.filters if not owns_filter(program, f["name"])
    ]
    found += [
        Entry(SCHEMA.noun, s.name, why) for s in account.schemas if not _is_some_programs(account, s.name)
    ]
    # Recommenders exist in domain dataset groups only; recsync's are custom ones.
    for resource in (EVENT_TRACKER, METRIC_ATTRIBUTION):
        found += _by_hand(account, resource)
    return found


def idle_campaigns(account: Account, now: datetime, *, recommending: Callable[[str], bool]) -> list[Entry]:
    """List the campaigns that nobody seems to need, each with its price.

    :param recommending: says whether a recommend run of a program is at work.
    """
    own = {f"{name}-recommend": name for name in account.programs}
    found = []
    for campaign in account.campaigns:
        program = own.get(campaign["name"])
        why = _idle_own(program, recommending) if program else _idle_other(account, campaign, now)
        if why:
            found.append(Entry("campaign", campaign["name"], f"{why}; {_price(campaign, now)}"))
    return found


def _idle_own(program: str, recommending: Callable[[str], bool]) -> str | None:
    if recommending(program):
        return None
    return f"no recommend run of {program} is at work; its next one uses and deletes the campaign"


def _idle_other(account: Account, campaign: dict[str, Any], now: datetime) -> str | None:
    changed: datetime = campaign.get("lastUpdatedDateTime") or campaign["creationDateTime"]
    if now - changed < timedelta(hours=account.program.retention.idle_campaign_hours):
        return None
    return f"not recsync's; last changed {changed:%Y-%m-%d}"


def _price(campaign: dict[str, Any], now: datetime) -> str:
    # Without a minimum, one request per second is what the service provisions.
    # https://docs.aws.amazon.com/personalize/latest/dg/API_CreateCampaign.html
    per_second = int(campaign.get("minProvisionedTPS") or 1)
    prices = read_prices(settings.include_folder())
    cost = prices.of(month_of(now)).cost_of(Kind.CAMPAIGN_TPS_HOURS, per_second * _HOURS)
    return f"costs at least {money(cost, prices.currency)} a day by include/prices.yaml"


def _by_hand(account: Account, resource: Resource) -> Iterator[Entry]:
    for each in account.in_group(resource):
        yield Entry(resource.noun, str(each.get("name")), "no program uses it for its e-mails")


def _is_some_programs(account: Account, schema: str) -> bool:
    return any(
        owns_schema(account.program.model_copy(update={"name": name}), schema) for name in account.programs
    )
