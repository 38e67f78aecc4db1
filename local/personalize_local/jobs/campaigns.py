"""Carry out updates of campaigns, and their removal."""

from __future__ import annotations

from typing import Any

from personalize_local.jobs.job import Job, Surroundings
from personalize_local.meter import start_serving, stop_serving
from personalize_local.resources import ACTIVE, CAMPAIGN_UPDATE, Resource


class Campaign(Job):
    """Make and unmake campaigns."""

    def finish(self, _around: Surroundings, resource: Resource, _result: Any, _wall_seconds: float) -> None:
        """Bill it from now on."""
        start_serving(resource)

    def delete(self, around: Surroundings, resource: Resource) -> None:
        """Remove a campaign with its updates."""
        stop_serving(around.store, resource)
        for update in around.store.select(CAMPAIGN_UPDATE.noun, parent_arn=resource.arn):
            around.store.delete(update.arn)
        around.store.delete(resource.arn)


class CampaignUpdate(Job):
    """Let a campaign serve what its update names."""

    def finish(self, around: Surroundings, resource: Resource, _result: Any, _wall_seconds: float) -> None:
        """Copy the update into the campaign, which one that had failed makes ACTIVE."""
        campaign = around.store.get(str(resource.parent_arn))
        if campaign is None:
            return
        # Throughput changes, so each stretch is billed by its own.
        stop_serving(around.store, campaign)
        start_serving(campaign)
        for member in ("solutionVersionArn", "minProvisionedTPS", "campaignConfig"):
            campaign.body[member] = resource.body[member]
        campaign.move_to(ACTIVE)
        around.store.save(campaign)
