"""Manage campaigns, which serve real-time recommendations from a solution version.

With `SolutionArn/$LATEST` a campaign always serves the solution's newest ACTIVE version.
API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateCampaign.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists, in_use, invalid_input
from personalize_local.operations.common import (
    DEFAULT_PAGE_ITEMS,
    check_inference_config,
    create,
    find,
    find_active,
    latest_update,
    make_token,
    read_token,
    refuse_updating,
    start_delete,
    start_update,
)
from personalize_local.recipes import Recipe, get_recipe
from personalize_local.resources import (
    ACTIVE,
    CAMPAIGN,
    CAMPAIGN_UPDATE,
    CREATE_FAILED,
    CREATING,
    DATASET_GROUP,
    SOLUTION,
    SOLUTION_VERSION,
    Resource,
)
from personalize_local.store import Store

LATEST = "/$LATEST"
_DEFAULT_TPS = 1  # minProvisionedTPS when not given, by the service's API page


def create_campaign(context: Context, params: Params) -> dict[str, Any]:
    """Start to create a campaign on an ACTIVE solution version."""
    arn = context.arn(f"{CAMPAIGN.tail}/{params['name']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    version = _checked_version(context, params["solutionVersionArn"], params.get("campaignConfig", {}))
    group = find(context, DATASET_GROUP, version.body["datasetGroupArn"])
    context.check_quota(CAMPAIGN, group)
    body = {
        "name": params["name"],
        "solutionVersionArn": version.arn,
        "minProvisionedTPS": params.get("minProvisionedTPS", _DEFAULT_TPS),
        "campaignConfig": params.get("campaignConfig", {}),
    }
    return create(context, CAMPAIGN, arn, body, parent=group, params=params)


def update_campaign(context: Context, params: Params) -> dict[str, Any]:
    """Start to change a campaign's solution version, throughput or config; the old ones serve until then."""
    campaign = find(context, CAMPAIGN, params["campaignArn"])
    if campaign.status not in (ACTIVE, CREATE_FAILED):
        raise invalid_input(f"Campaign {campaign.arn} must be ACTIVE. Its status is {campaign.status}.")
    config = params.get("campaignConfig", campaign.body["campaignConfig"])
    version = _checked_version(context, params.get("solutionVersionArn") or _named(campaign, config), config)
    if version.body["datasetGroupArn"] != campaign.parent_arn:
        raise invalid_input(f"{version.arn} does not belong to the dataset group {campaign.parent_arn}.")
    body = {
        "solutionVersionArn": version.arn,
        "minProvisionedTPS": params.get("minProvisionedTPS", campaign.body["minProvisionedTPS"]),
        "campaignConfig": config,
    }
    start_update(context, CAMPAIGN_UPDATE, campaign, body)
    return {"campaignArn": campaign.arn}


def describe_campaign(context: Context, params: Params) -> dict[str, Any]:
    """Return a campaign with the version that it serves and its latest update."""
    campaign = find(context, CAMPAIGN, params["campaignArn"])
    served = served_version(context.store, campaign)
    update = latest_update(context, CAMPAIGN_UPDATE, campaign)
    return {"campaign": {**campaign.body, "solutionVersionArn": served, "latestCampaignUpdate": update}}


def list_campaigns(context: Context, params: Params) -> dict[str, Any]:
    """Return campaigns, oldest first, filtered by solution."""
    solution_arn = params.get("solutionArn")
    key = f"ListCampaigns|{context.region}|{solution_arn}"
    last = read_token(key, params.get("nextToken"))
    found = context.store.select(CAMPAIGN.noun, region=context.region, after_sequence=last)
    found = [each for each in found if solution_arn in (None, _solution_of(each))]
    items = params.get("maxResults", DEFAULT_PAGE_ITEMS)
    token = make_token(key, found[items - 1].sequence) if len(found) > items else None
    return {"campaigns": [campaign.body for campaign in found[:items]], "nextToken": token}


def delete_campaign(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete a campaign; its solution version stays."""
    campaign = find(context, CAMPAIGN, params["campaignArn"])
    refuse_updating(context, CAMPAIGN_UPDATE, campaign)
    return start_delete(context, campaign)


def served_version(store: Store, campaign: Resource) -> str:
    """Return the ARN of the solution version that a campaign serves now."""
    if campaign.body["campaignConfig"].get("syncWithLatestSolutionVersion"):
        versions = store.select(SOLUTION_VERSION.noun, parent_arn=_solution_of(campaign), statuses=[ACTIVE])
        if versions:
            return versions[-1].arn
    return str(campaign.body["solutionVersionArn"])


def refuse_campaigns(context: Context, solution: Resource) -> None:
    """Raise ResourceInUseException when a campaign serves the solution or is being updated to it."""
    for campaign in context.store.select(CAMPAIGN.noun, parent_arn=solution.parent_arn):
        updates = context.store.select(CAMPAIGN_UPDATE.noun, parent_arn=campaign.arn, statuses=CREATING)
        if solution.arn in map(_solution_of, (campaign, *updates)):
            raise in_use(f"Solution {solution.arn} is used by Campaign {campaign.arn}.")


def _checked_version(context: Context, arn: str, config: Params) -> Resource:
    """Return the solution version of an ARN or of `SolutionArn/$LATEST`; refuse one that the config does not allow."""
    names_latest = arn.endswith(LATEST)
    if names_latest:
        solution = find(context, SOLUTION, arn.removesuffix(LATEST))
        versions = context.store.select(SOLUTION_VERSION.noun, parent_arn=solution.arn, statuses=[ACTIVE])
        if not versions:
            raise invalid_input(f"Solution {solution.arn} has no ACTIVE solution version.")
        version = versions[-1]
    else:
        version = find_active(context, SOLUTION_VERSION, arn)
    check_campaign_config(config, get_recipe(version.body["recipeArn"]), names_latest=names_latest)
    return version


def _named(campaign: Resource, config: Params) -> str:
    """Return the version ARN, or `SolutionArn/$LATEST`, that a campaign has under a config."""
    if config.get("syncWithLatestSolutionVersion"):
        return f"{_solution_of(campaign)}{LATEST}"
    return str(campaign.body["solutionVersionArn"])


def _solution_of(resource: Resource) -> str:
    # The ARN of a version begins with that of its solution.
    return str(resource.body["solutionVersionArn"]).rpartition("/")[0]


def check_campaign_config(config: Params, recipe: Recipe, *, names_latest: bool) -> None:
    """Raise InvalidInputException for a setting that the recipe does not support, or that is out of range.

    :param names_latest: the request names its solution version as `SolutionArn/$LATEST`.
    """
    if recipe.recipe_type == "USER_SEGMENTATION":
        raise invalid_input(f"The recipe {recipe.name} makes user segments and cannot be used in a campaign.")
    if bool(config.get("syncWithLatestSolutionVersion")) != names_latest:
        raise invalid_input(
            "syncWithLatestSolutionVersion must be true when, and only when, solutionVersionArn is"
            f" SolutionArn{LATEST}."
        )
    if config.get("enableMetadataWithRecommendations") and recipe.recipe_type == "PERSONALIZED_ACTIONS":
        raise invalid_input(
            f"The recipe {recipe.name} recommends actions, which have no metadata in replies."
        )
    check_inference_config(config, recipe)


OPERATIONS = {
    "CreateCampaign": create_campaign,
    "UpdateCampaign": update_campaign,
    "DescribeCampaign": describe_campaign,
    "ListCampaigns": list_campaigns,
    "DeleteCampaign": delete_campaign,
}
