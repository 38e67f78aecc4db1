"""Comparison: the program's own solution and its challengers, trained on the same data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.evaluation.champion_store import ChampionStore
from recsync.evaluation.comparison import Comparison, Contender, best, refusals, table
from recsync.evaluation.comparison_store import ComparisonStore
from recsync.evaluation.gate import Side
from recsync.program import names
from recsync.program.recipes import RECIPES
from recsync.training.pinned_solutions import wanted
from recsync.training.solutions import OWN, challenger_prefix

log = logging.getLogger(__name__)


def compare(
    program_name: str,
    run: str,
    versions: Mapping[str, str | None],
    metrics: Mapping[str, dict[str, float] | None],
    baseline_metrics: dict[str, float] | None,
) -> dict[str, Any]:
    """Put the versions of one FULL training side by side, and choose who is to be judged.

    :param versions: ARN by challenger, the program's own under the empty name; None: its training failed.
    :param metrics: of ``GetSolutionMetrics``, the same way.
    :returns: ``solution_version_arn`` and ``metrics`` of the program's own, or with ``personalize.promote_best`` of the
        best that passes the gate, and its ``name``.
    :raises FatalError: when the program's own training failed.
    """
    context = StageContext.of(program_name)
    personalize, metric = context.program.personalize, context.program.gate_metric
    contenders = _contenders(context, versions, metrics, baseline_metrics)
    chosen = best(contenders, metric) if personalize.promote_best else contenders[0]
    figures = table(contenders, baseline_metrics)
    context.store(ComparisonStore).write(
        Comparison(
            run, datetime.now(UTC).isoformat(), metric, chosen.name, tuple(contenders), baseline_metrics
        )
    )
    log.info("Trained on the same data:\n%s", figures)
    for each in contenders:
        log.info("%s: %s", each.called, "; ".join(each.refusals) or "passes the gate")
    if contenders[0].metrics is None:
        raise FatalError(
            f"The training of {program_name}'s own solution failed, so no version is judged; see task solution_version."
        )
    if personalize.promote_best:
        log.info("%s is the best that passes; it is judged.", chosen.called)
    return {
        "name": chosen.name,
        "solution_version_arn": chosen.solution_version_arn,
        "metrics": chosen.metrics,
    }


def _contenders(
    context: StageContext,
    versions: Mapping[str, str | None],
    metrics: Mapping[str, dict[str, float] | None],
    baseline_metrics: dict[str, float] | None,
) -> list[Contender]:
    program, champion = context.program, _champion(context)
    specs = wanted(context)
    found = []
    for name in ["", *program.personalize.challengers]:
        spec = specs[challenger_prefix(name) if name else OWN]
        figures = metrics.get(name)
        found.append(
            Contender(
                name,
                spec.recipe,
                versions.get(name) or "",
                figures,
                dict(spec.config) | ({"eventType": spec.event_type} if spec.event_type else {}),
                refusals(program.gate, figures, baseline_metrics, champion, program.gate_metric),
            )
        )
    return found


def _champion(context: StageContext) -> Side | None:
    """Give the champion's figures, unless it answers another question."""
    champion = context.store(ChampionStore).read()
    if champion is None:
        return None
    recipe = names.recipe_of_version(context.program, champion.solution_version_arn)
    if recipe and RECIPES[recipe].asks is not context.program.personalize.traits.asks:
        return None
    return Side(champion.metrics, champion.baseline_metrics)
