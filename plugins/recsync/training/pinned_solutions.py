"""The solutions of a program as they are to be now: the program file, and what the last tuning pinned."""

from __future__ import annotations

import logging
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import SOLUTION
from recsync.context import StageContext
from recsync.training.solutions import SolutionSpec, searching, trained_by_full
from recsync.training.tuning_store import TuningStore

log = logging.getLogger(__name__)


def wanted(context: StageContext) -> dict[str, SolutionSpec]:
    """Give every solution that the next FULL training uses, by the prefix of its tasks."""
    personalize = context.program.personalize
    pinned = context.store(TuningStore).pinned(personalize.recipe)
    return trained_by_full(context.program, pinned.hyperparameters if pinned else {})


def asked_for(context: StageContext) -> set[str]:
    """Name the solutions that the program file and the last tuning ask for now, the one that searches too."""
    found = {spec.name for spec in wanted(context).values()}
    if context.program.personalize.tuning:
        found.add(searching(context.program).name)
    return found


def solution_settings(program_name: str, dataset_group_arn: str) -> dict[str, Any]:
    """Give the arguments of the create operators that depend on state: ``<prefix>name`` and ``<prefix>config``.

    Event weights of a solution that is there are given as they are, for it is adopted first and updated then.
    """
    context = StageContext.of(program_name)
    _log_pinned(context)
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    arguments: dict[str, Any] = {}
    for prefix, spec in wanted(context).items():
        log.info("%ssolution %s: %s", prefix, spec.name, dict(spec.config) or "the recipe's own settings")
        arguments[f"{prefix}name"] = spec.name
        arguments[f"{prefix}config"] = _with_weights_as_found(hook, spec, dataset_group_arn)
    return arguments


def _with_weights_as_found(
    hook: PersonalizeHook, spec: SolutionSpec, dataset_group_arn: str
) -> dict[str, Any]:
    if spec.events_config is None:
        return dict(spec.config)
    arn = SOLUTION.arn_of({"name": spec.name, "datasetGroupArn": dataset_group_arn})
    found = hook.describe_if_any(SOLUTION, arn) if arn else None
    held = ((found or {}).get("solutionConfig") or {}).get("eventsConfig")
    return {**spec.config, "eventsConfig": held or spec.events_config}


def _log_pinned(context: StageContext) -> None:
    personalize = context.program.personalize
    pinned = context.store(TuningStore).pinned(personalize.recipe)
    if pinned is None:
        return
    fixed = sorted(pinned.hyperparameters.keys() & personalize.hyperparameters.keys())
    log.info("Pinned by the tuning of %s (%s): %s", pinned.at, pinned.run_id, pinned.hyperparameters)
    if fixed:
        log.info("The program file goes before it for %s", ", ".join(fixed))
