"""What can be missing from the input of a delivery: people of the audience, lines of the batch output."""

from __future__ import annotations

from matrix_rows import Scenario, Stage
from matrix_truth import shown

from recsync.push.plan import RemovalBrakeError
from recsync.push.store import Deliveries


def scenarios() -> list[Scenario]:
    """List them."""
    return [
        Scenario("audience cut short", "3 people left", deliver=short_audience),
        Scenario("output cut short", "2 % of lines", deliver=short_output),
    ]


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


def short_output(stage: Stage) -> str:
    """Let the batch output have no line for one person in fifty; these keep the lists they have."""
    kit, world = stage.kit, stage.world
    silent = [who for who, items in world.second.items() if items and who in world.first][::50]
    lists = {**world.second, **{who: [] for who in silent}}
    kit.publish("2", lists, items=world.items(2), unanswered=dict.fromkeys(silent, "no line"))
    delivery = stage.plan(2, "run-2")
    stage.deliver(delivery)
    stage.hits += len(silent)
    kept = kit.context.store(Deliveries).report(delivery, "report")["outcomes"]["kept"]
    if kept != len(silent):
        stage.missed.append(f"{kept} of {len(silent)} people without a line are counted as kept")
    return delivery
