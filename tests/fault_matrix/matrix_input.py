"""What can be missing from the input of a delivery: people of the audience, lines of the batch output."""

from __future__ import annotations

from matrix_rows import Scenario, Stage
from matrix_truth import shown

from recsync.stages.delivery.plan import RemovalBrakeError


def scenarios() -> list[Scenario]:
    """List them."""
    return [Scenario("audience cut short", "3 people left", deliver=short_audience)]


def short_audience(stage: Stage) -> str:
    """Let the audience query return three people once; the push stops, and the next one has the whole audience."""
    kit, world = stage.kit, stage.world
    cut = dict(list(world.second.items())[:3])
    kit.publish("1a", cut, items=world.items(2))
    try:
        stage.plan("1a", "run-1a")
        stage.missed.append("the push did not stop")
    except RemovalBrakeError:
        stage.hits += 1
    if shown(kit) != world.first:
        stage.missed.append("the push that stopped changed something")
    return stage.push(2)
