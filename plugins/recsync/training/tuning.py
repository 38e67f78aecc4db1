"""Search for hyperparameters, pin the winners, and build the solutions that use them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import SOLUTION, SOLUTION_VERSION
from recsync.context import StageContext
from recsync.costs import budget, estimate
from recsync.evaluation.store import ChampionStore
from recsync.imports.store import ImportStore
from recsync.program import DatasetType, names
from recsync.program.personalize import found_by
from recsync.training.solutions import SolutionSpec, compared_prefixes, searching, trained_by_full
from recsync.training.store import TuningOutcome, TuningResult, TuningStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TuningPlan:
    """What one search does: a plan beside those of :mod:`recsync.imports.plans`, as it imports nothing."""

    run: str

    def to_json(self) -> dict[str, str]:
        """Return the plan as plain values."""
        return {"run": self.run, "mode": "TUNE"}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TuningPlan:
        """Read it back."""
        return cls(document["run"])


class NothingToTune(Exception):  # ruff: ignore[error-suffix-on-exception-name] - an outcome, not an error: the run is skipped with this reason
    """The datasets are empty; the text says so."""


def plan_tuning(program_name: str, run_id: str, created_at: datetime) -> dict[str, Any]:
    """Fix what a search does, so that each retry does the same; it imports nothing.

    :raises NothingToTune: before the first FULL import.
    """
    context = StageContext.of(program_name)
    if DatasetType.INTERACTIONS not in context.store(ImportStore).read().full:
        raise NothingToTune(
            f"The datasets of {program_name} hold nothing yet; run {program_name}_train_full first."
        )
    return TuningPlan(names.run_key(run_id, created_at.isoformat())).to_json()


def version_name(program_name: str, plan: dict[str, Any]) -> str:
    """Name the solution version that searches."""
    context = StageContext.of(program_name)
    spec, run = searching(context.program), TuningPlan.from_json(plan).run
    name = names.job_name(program_name, "tune", run + spec.name)
    tuning = context.program.personalize.tuning
    trials = tuning.max_training_jobs if tuning else 1
    budget.check_budget(context, run, estimate.tuning(context, spec.recipe, name, trials))
    return name


def conclude(
    program_name: str, run_id: str, solution_version_arn: str, metrics: dict[str, float]
) -> dict[str, Any]:
    """Pin the winners of a search, unless they are worse than the champion.

    :returns: ``outcome``, ``hyperparameters`` and ``reason``.
    """
    context = StageContext.of(program_name)
    recipe = context.program.personalize.recipe_spec
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    version = hook.describe(SOLUTION_VERSION, solution_version_arn)
    tuned = (version.get("tunedHPOParams") or {}).get("algorithmHyperParameters") or {}
    hyperparameters = found_by(recipe, tuned)
    kept, reason = _worth(context, hyperparameters, metrics)
    entry = TuningResult(
        outcome=TuningOutcome.PINNED if kept else TuningOutcome.NOT_KEPT,
        at=datetime.now(UTC).isoformat(),
        run_id=run_id,
        recipe=recipe.name,
        solution_version_arn=solution_version_arn,
        hyperparameters=hyperparameters,
        metrics=metrics,
        reason=reason,
    )
    context.store(TuningStore).record(entry)
    log.info("%s is %s: %s", hyperparameters, entry.outcome, reason)
    return {"outcome": str(entry.outcome), "hyperparameters": hyperparameters, "reason": reason}


def reset(program_name: str, run_id: str) -> str:
    """Unpin all hyperparameters, so that the next FULL training uses the program file alone.

    :returns: the sentence for the log.
    """
    context = StageContext.of(program_name)
    pinned = context.store(TuningStore).pinned(context.program.personalize.recipe)
    context.store(TuningStore).record(
        TuningResult(TuningOutcome.RESET, datetime.now(UTC).isoformat(), run_id)
    )
    former = pinned.hyperparameters if pinned else "nothing"
    return f"What was pinned is forgotten: {former}. The next train_full uses the program file alone."


def _worth(
    context: StageContext, hyperparameters: dict[str, str], metrics: dict[str, float]
) -> tuple[bool, str]:
    """Decide whether the winners are pinned, and why.

    The champion's figure comes from other data; the gate evaluates the next version trained with them again.
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


def current_solutions(context: StageContext) -> dict[str, SolutionSpec]:
    """Return every solution that the next FULL training uses, by the prefix of its tasks."""
    pinned = context.store(TuningStore).pinned(context.program.personalize.recipe)
    return trained_by_full(context.program, pinned.hyperparameters if pinned else {})


def solution_names(context: StageContext) -> set[str]:
    """Name the solutions in use by the program file and the last tuning, the searching one too."""
    found = {spec.name for spec in current_solutions(context).values()}
    if context.program.personalize.tuning:
        found.add(searching(context.program).name)
    return found


def compared_solutions(context: StageContext) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return recipe and settings of the program's own solution, under the empty name, and of its challengers."""
    specs = current_solutions(context)
    compared = {name: specs[prefix] for name, prefix in compared_prefixes(context.program).items()}
    return {
        name: (spec.recipe, {**spec.config, **({"eventType": spec.event_type} if spec.event_type else {})})
        for name, spec in compared.items()
    }


def solution_settings(program_name: str, dataset_group_arn: str) -> dict[str, Any]:
    """Return the arguments of the create operators that depend on state: ``<prefix>name`` and ``<prefix>config``.

    An existing solution keeps its event weights here: it is adopted first and updated then.
    """
    context = StageContext.of(program_name)
    personalize = context.program.personalize
    if pinned := context.store(TuningStore).pinned(personalize.recipe):
        log.info("Pinned by the tuning of %s (%s): %s", pinned.at, pinned.run_id, pinned.hyperparameters)
        if fixed := sorted(pinned.hyperparameters.keys() & personalize.hyperparameters.keys()):
            log.info("The program file overrides it for %s", ", ".join(fixed))
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    arguments: dict[str, Any] = {}
    for prefix, spec in current_solutions(context).items():
        log.info("%ssolution %s: %s", prefix, spec.name, dict(spec.config) or "the recipe's own settings")
        arguments[f"{prefix}name"] = spec.name
        arguments[f"{prefix}config"] = _with_present_weights(hook, spec, dataset_group_arn)
    return arguments


def _with_present_weights(
    hook: PersonalizeHook, spec: SolutionSpec, dataset_group_arn: str
) -> dict[str, Any]:
    if spec.events_config is None:
        return dict(spec.config)
    arn = SOLUTION.arn_of({"name": spec.name, "datasetGroupArn": dataset_group_arn})
    found = hook.describe_if_any(SOLUTION, arn) if arn else None
    present = ((found or {}).get("solutionConfig") or {}).get("eventsConfig")
    return {**spec.config, "eventsConfig": present or spec.events_config}
