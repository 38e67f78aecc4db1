"""Tuning: hyperparameters are searched for now and then, and what is found is pinned into later trainings."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import SOLUTION_VERSION
from recsync.context import StageContext
from recsync.costs import budget, estimate
from recsync.evaluation.champion_store import ChampionStore
from recsync.imports.store import ImportState
from recsync.program import DatasetType, names
from recsync.program.hpo import found_by
from recsync.training.solutions import searching
from recsync.training.tuning_store import Found, Tuned, TuningStore

log = logging.getLogger(__name__)


class NothingToTune(Exception):  # ruff: ignore[error-suffix-on-exception-name] - an outcome, not an error: the run is skipped with this reason
    """There is nothing to search on; the text says why."""


def plan_tuning(program_name: str, run_id: str, created_at: datetime) -> dict[str, Any]:
    """Fix what a search does, so that each retry does the same.

    It trains on what the datasets hold, and imports nothing.

    :raises NothingToTune: before the first FULL import.
    """
    context = StageContext.of(program_name)
    if DatasetType.INTERACTIONS not in context.store(ImportState).read().full:
        raise NothingToTune(
            f"The datasets of {program_name} hold nothing yet; run {program_name}_train_full first."
        )
    return {"run": names.run_key(run_id, created_at.isoformat()), "mode": "TUNE"}


def version_name(program_name: str, plan: dict[str, Any]) -> str:
    """Name the solution version in which a run searches."""
    context = StageContext.of(program_name)
    spec = searching(context.program)
    name = names.job_name(program_name, "tune", plan["run"] + spec.name)
    tuning = context.program.personalize.tuning
    trials = tuning.max_training_jobs if tuning else 1
    budget.authorise(context, plan["run"], estimate.search(context, spec.recipe, name, trials))
    return name


def conclude(
    program_name: str, run_id: str, solution_version_arn: str, metrics: dict[str, float]
) -> dict[str, Any]:
    """Pin what a search found, unless it is worse than the champion.

    :returns: ``outcome``, ``hyperparameters`` and ``reason``.
    """
    context = StageContext.of(program_name)
    recipe = context.program.personalize.traits
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    version = hook.describe(SOLUTION_VERSION, solution_version_arn)
    tuned = (version.get("tunedHPOParams") or {}).get("algorithmHyperParameters") or {}
    hyperparameters = found_by(recipe, tuned)
    kept, reason = _worth(context, hyperparameters, metrics)
    entry = Tuned(
        outcome=Found.PINNED if kept else Found.NOT_KEPT,
        at=datetime.now(UTC).isoformat(),
        run_id=run_id,
        recipe=recipe.name,
        solution_version_arn=solution_version_arn,
        hyperparameters=hyperparameters,
        metrics=metrics,
        reason=reason,
    )
    context.store(TuningStore).note(entry)
    log.info("%s is %s: %s", hyperparameters, entry.outcome, reason)
    return {"outcome": str(entry.outcome), "hyperparameters": hyperparameters, "reason": reason}


def reset(program_name: str, run_id: str) -> str:
    """Forget what is pinned, so that the next FULL training uses the program file alone.

    :returns: the sentence for the log.
    """
    context = StageContext.of(program_name)
    pinned = context.store(TuningStore).pinned(context.program.personalize.recipe)
    context.store(TuningStore).note(Tuned(Found.RESET, datetime.now(UTC).isoformat(), run_id))
    former = pinned.hyperparameters if pinned else "nothing"
    return f"What was pinned is forgotten: {former}. The next train_full uses the program file alone."


def _worth(
    context: StageContext, hyperparameters: dict[str, str], metrics: dict[str, float]
) -> tuple[bool, str]:
    """Say whether the winners are pinned, and why.

    The champion's figure is of other data, its own; the gate judges the next version trained with them again.
    """
    if not hyperparameters:
        return False, "Amazon Personalize names no tuned hyperparameters (tunedHPOParams) of this recipe"
    tuning, metric = context.program.personalize.tuning, context.program.gate_metric
    champion = context.store(ChampionStore).read()
    former = champion.metrics.get(metric) if champion and metric else None
    value = metrics.get(metric) if metric else None
    if value is None:
        return False, f"GetSolutionMetrics has no {metric}; it has {', '.join(sorted(metrics)) or 'nothing'}"
    if former is None:
        return True, f"{metric} is {value:.4f}, and there is no champion to compare it with"
    asked = tuning.min_ratio_to_champion if tuning else 1.0
    text = f"{metric} is {value:.4f}, the champion's is {former:.4f}"
    if value >= former * asked:
        return True, text
    return False, f"{text}; personalize.tuning.min_ratio_to_champion is {asked:g}"
