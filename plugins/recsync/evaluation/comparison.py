"""Compare solutions trained on the same data."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.evaluation.gate import (
    Metrics,
    OnlineResult,
    evaluate,
    of_challenger,
    of_retraining,
    shown,
)
from recsync.evaluation.store import Candidate, Champion, ChampionStore, Comparison, ComparisonStore
from recsync.experiments.store import LiftStore
from recsync.program import Gate, names
from recsync.program.recipes import RECIPES

log = logging.getLogger(__name__)


def compare(
    program_name: str,
    run: str,
    solutions: Mapping[str, tuple[str, Mapping[str, Any]]],
    versions: Mapping[str, str | None],
    metrics: Mapping[str, dict[str, float] | None],
    baseline_metrics: dict[str, float] | None,
) -> dict[str, Any]:
    """Put the versions of one FULL training side by side, and choose the one to evaluate.

    :param solutions: recipe and settings by challenger; the program's own comes first, under the empty name.
    :param versions: ARN by challenger; None when its training failed.
    :param metrics: of ``GetSolutionMetrics``, by challenger.
    :returns: ``name``, ``solution_version_arn`` and ``metrics`` of the program's own, or with
        ``personalize.promote_best`` of the best that passes the gate.
    :raises FatalError: when the program's own training failed.
    """
    context = StageContext.of(program_name)
    program = context.program
    former = context.store(ChampionStore).read()
    champion = comparable(context, former)
    candidates = [
        Candidate(
            name,
            recipe,
            versions.get(name) or "",
            figures := metrics.get(name),
            dict(settings),
            (
                *refusals(program.gate, figures, baseline_metrics, champion, program.gate_metric),
                *filter(None, [ask_online(context, name, versions.get(name) or "", former).refusal]),
            ),
        )
        for name, (recipe, settings) in solutions.items()
    ]
    metric, promote_best = program.gate_metric, program.personalize.promote_best
    renewed = _solution(former) if program.gate.online else None
    chosen = best(candidates, metric, renewed) if promote_best else candidates[0]
    context.store(ComparisonStore).write(
        Comparison(
            run, datetime.now(UTC).isoformat(), metric, chosen.name, tuple(candidates), baseline_metrics
        )
    )
    log.info("Trained on the same data:\n%s", table(candidates, baseline_metrics))
    for each in candidates:
        log.info("%s: %s", each.title, "; ".join(each.refusals) or "passes the gate")
    if candidates[0].metrics is None:
        raise FatalError(
            f"The training of {program_name}'s own solution failed, so no version is evaluated; see task "
            "solution_version."
        )
    if promote_best:
        log.info("%s is the best that passes; it is evaluated.", chosen.title)
    return {
        "name": chosen.name,
        "solution_version_arn": chosen.solution_version_arn,
        "metrics": chosen.metrics,
    }


def comparable(context: StageContext, champion: Champion | None) -> Metrics | None:
    """Return a champion's figures; None without one, or when its recipe solves another task than the present one."""
    if champion is None:
        return None
    recipe = names.recipe_of_version(context.program, champion.solution_version_arn)
    if recipe and RECIPES[recipe].input_type is not context.program.personalize.recipe_spec.input_type:
        return None
    return Metrics(champion.metrics, champion.baseline_metrics)


def refusals(
    gate: Gate,
    metrics: dict[str, float] | None,
    baseline: dict[str, float] | None,
    champion: Metrics | None,
    default_metric: str | None,
) -> tuple[str, ...]:
    """Return the gate's reasons against one candidate."""
    if metrics is None:
        return ("its training failed",)
    return tuple(evaluate(gate, Metrics(metrics, baseline), champion, default_metric).refusals)


def ask_online(
    context: StageContext, challenger: str, solution_version_arn: str, champion: Champion | None
) -> OnlineResult:
    """Ask the program's experiment about a version, if ``gate.online`` does.

    :param challenger: name of the challenger that the version belongs to; empty: the program's own solution.
    """
    gate, experiment = context.program.gate.online, context.program.experiment
    if gate is None:
        return OnlineResult()
    report = context.store(LiftStore).latest(experiment.name) if experiment else None
    now = datetime.now(UTC)
    renews = champion is None or solution_version_arn.rsplit("/", 1)[0] == _solution(champion)
    if renews or not challenger:
        return of_retraining(gate, experiment, report, now)
    return of_challenger(gate, experiment, report, challenger, now)


def _solution(champion: Champion | None) -> str:
    return champion.solution_version_arn.rsplit("/", 1)[0] if champion else ""


def best(candidates: Sequence[Candidate], metric: str | None, renewed: str | None = None) -> Candidate:
    """Return the best candidate that passes; the first one, the program's own, when none passes or all are equal.

    :param renewed: with ``gate.online``, the champion's solution. A challenger that passes is proven better than it and
        takes precedence; next comes a new version of the champion's solution.
    """
    passing = [each for each in candidates if not each.refusals and (each.metrics or {}).get(metric or "")]
    if renewed:
        of_champion = [each for each in passing if each.solution_version_arn.startswith(f"{renewed}/")]
        proven = [each for each in passing if each.name and each not in of_champion]
        passing = proven or of_champion or passing
    # max() takes the first of equals.
    return max(passing, key=lambda each: (each.metrics or {})[metric or ""], default=candidates[0])


def table(candidates: Sequence[Candidate], baseline: dict[str, float] | None) -> str:
    """Write the figures as a Markdown table: a row a metric, a column a solution."""
    columns: list[tuple[str, str, Mapping[str, float]]] = [
        (each.title, each.recipe, each.metrics or {}) for each in candidates
    ]
    if baseline:
        columns.append(("baseline", "popularity", baseline))
    metrics = sorted({metric for *_, figures in columns for metric in figures})
    rows = [
        ["metric", *(name for name, *_ in columns)],
        ["---"] * (len(columns) + 1),
        ["recipe", *(recipe for _, recipe, _ in columns)],
        *([metric, *(shown(figures.get(metric)) for *_, figures in columns)] for metric in metrics),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
