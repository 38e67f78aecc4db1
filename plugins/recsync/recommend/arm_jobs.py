"""The arms of a program's experiment in one recommend run: their people and their models."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from recsync import settings
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.evaluation.store import ChampionStore, ComparisonStore, PromotionOutcome
from recsync.experiments.enrolment import assign_arms, end_missing_experiments
from recsync.program import Program, names
from recsync.program.experiment import Arm
from recsync.program.recipes import RECIPES
from recsync.recommend.lists.arms import CHAMPION, Arms

log = logging.getLogger(__name__)

# Comparisons looked through for the newest trained version of a challenger: each is one FULL training.
_COMPARISONS = 20


def arms_of(program: Program) -> Arms | None:
    """Return what the arms of a program's experiment get; None without an experiment."""
    experiment = program.experiment
    if experiment is None:
        return None
    popular = (name for name, arm in experiment.arms.items() if arm.gets == "popular")
    return Arms(
        experiment.name, frozenset(popular), frozenset(experiment.held_out), frozenset(experiment.models)
    )


def give_arms(
    context: StageContext, run: str, moment: datetime, audience: Path, folder: Path, strata: Path | None
) -> dict[str, int] | None:
    """Assign the people of an audience to arms, in its column ``arm``, and record it.

    :param strata: the people's strata; None without ``stratify_by``.
    :returns: people by arm; None without an experiment.
    """
    if context.program.experiment is None:
        end_missing_experiments(context, run, moment.isoformat())
        return None
    found = assign_arms(context, run, moment, audience, folder, strata=strata)
    return {arm: people for arm, people in found.people.items() if arm} if found else None


@dataclass(frozen=True)
class ArmPlan:
    """The experiment of a run as planned; the program file may have changed since.

    :param people: number of people of the audience by arm.
    :param jobs: arguments of the job of each arm with another model and with people.
    :param is_champion_asked: whether the champion has a job: false when nobody in the audience gets it.
    """

    arms: Arms
    people: dict[str, int]
    jobs: dict[str, dict[str, Any]]
    is_champion_asked: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document, for XCom."""
        sets = {name: sorted(getattr(self.arms, name)) for name in ("popular", "nothing", "models")}
        return {**asdict(self), "arms": {"experiment": self.arms.experiment, **sets}}

    @classmethod
    def of(cls, plan: dict[str, Any]) -> ArmPlan | None:
        """Read the plan of a recommend run; None when it has no experiment."""
        found = plan.get("experiment")
        if not found:
            return None
        arms = found["arms"]
        sets = {name: frozenset(arms[name]) for name in ("popular", "nothing", "models")}
        return cls(**{**found, "arms": Arms(arms["experiment"], **sets)})

    def versions(self, champion_arn: str) -> dict[str, str]:
        """Return the solution version of each arm with a model."""
        asked = {arm: self.arms.job_of(arm) for arm in self.people}
        arns = {CHAMPION: champion_arn} | {
            arm: str(job["solution_version_arn"]) for arm, job in self.jobs.items()
        }
        return {arm: arns[job] for arm, job in asked.items() if job is not None and job in arns}


def version_of(context: StageContext, name: str, arm: Arm) -> tuple[str, Program]:
    """Return the ARN of an arm's solution version, and the program that owns the solution.

    :raises FatalError: when there is none yet, or its recipe type differs from the program's.
    """
    if arm.program:
        other = StageContext(settings.program(arm.program))
        champion = other.store(ChampionStore).read()
        owner = other.program.model_owner
        arn, missing = champion.solution_version_arn if champion else "", f"{owner.name} has no champion"
    else:
        owner = context.program.model_owner
        arn = _newest_of_challenger(context.model, arm.challenger or "")
        missing = f"challenger {arm.challenger} of {owner.name} has no trained version"
    if not arn:
        raise FatalError(f"Arm {name} cannot be asked: {missing}; run {owner.name}_train_full first.")
    recipe = names.recipe_of_version(owner, arn)
    wanted = context.program.personalize.recipe_spec
    if recipe and RECIPES[recipe].input_type is not wanted.input_type:
        raise FatalError(
            f"Arm {name} cannot use {arn}: its recipe {recipe} is of another type than {wanted.name}. "
            f"Run {owner.name}_train_full first, or correct the recipe of the arm."
        )
    return arn, owner


def _newest_of_challenger(context: StageContext, name: str) -> str:
    """Return the newest trained version of a challenger; empty when there is none.

    If the challenger became champion, incremental updates may have made newer versions than the compared one.
    """
    for comparison in context.store(ComparisonStore).newest(_COMPARISONS):
        found = next((c for c in comparison.candidates if c.name == name and c.solution_version_arn), None)
        if found is None:
            continue
        solution = found.solution_version_arn.rsplit("/", 1)[0]
        later = [
            entry
            for entry in context.store(ChampionStore).evaluated()
            if entry.solution_version_arn.rsplit("/", 1)[0] == solution
            and entry.outcome is not PromotionOutcome.ROLLED_BACK
            and entry.promoted_at > comparison.at
        ]
        return later[-1].solution_version_arn if later else found.solution_version_arn
    return ""
