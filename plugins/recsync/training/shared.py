"""Plan trainings on data that another program imports: each content of the datasets is trained once.

A solution version is named like the owner's own of the same solution and content, so that programs with the same
settings find one training instead of paying for two.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import SOLUTION_VERSION
from recsync.context import StageContext
from recsync.costs import budget, usage
from recsync.costs.ledger import first_name
from recsync.evaluation.store import ChampionStore
from recsync.imports.store import ImportStore
from recsync.program import DatasetType, names
from recsync.training.decision import NothingToTrain
from recsync.training.solutions import OWN
from recsync.training.train import expected_trainings
from recsync.training.tuning import current_solutions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SharedPlan:
    """What one training on shared data does: a plan beside those of :mod:`recsync.imports.plans`.

    :param mode: ``FULL`` or ``UPDATE``.
    :param content: what the datasets hold.
    :param solution_arn: the solution that an UPDATE trains, the champion's; empty for FULL.
    """

    run: str
    mode: str
    content: str
    solution_arn: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SharedPlan:
        """Read it back."""
        return cls(**document)


def plan_shared(program_name: str, run_id: str, created_at: datetime, mode: str) -> dict[str, Any]:
    """Fix the data of a training, so that each retry trains on the same.

    :returns: JSON of the :class:`SharedPlan`.
    :raises NothingToTrain: when the data brought nothing new since this program's last training.
    """
    context = StageContext.of(program_name)
    owner, state = context.data.program.name, context.store(ImportStore).read()
    if DatasetType.INTERACTIONS not in state.full:
        raise NothingToTrain(
            f"{owner}, whose data {program_name} uses, has imported nothing yet; run {owner}_train_full first."
        )
    run = names.run_key(run_id, created_at.isoformat())
    if mode == "FULL":
        digests = (state.full[kind].digest for kind in context.program.dataset_types if kind in state.full)
        plan = SharedPlan(run, mode, state.full_run + "".join(digests))
    elif not state.update_run:
        raise NothingToTrain(f"{owner} has imported no rows since its last FULL import.")
    elif (champion := context.store(ChampionStore).read()) is None:
        raise NothingToTrain("There is no champion yet; an UPDATE needs an ACTIVE FULL version.")
    else:
        plan = SharedPlan(run, mode, state.update_run, champion.solution_version_arn.rsplit("/", 1)[0])
    own = _version_names(context, plan)["solution_version"]
    if arn := _judged(context, mode, own):
        raise NothingToTrain(f"{arn} was trained on what the datasets hold, and judged; nothing came since.")
    return plan.to_json()


def version_names(program_name: str, plan: dict[str, Any]) -> dict[str, str]:
    """Name the solution versions a plan pays for, as :func:`recsync.training.train.version_names` does."""
    context, planned = StageContext.of(program_name), SharedPlan.from_json(plan)
    versions = _version_names(context, planned)
    rows = usage.rows_of_full(context)
    charges = expected_trainings(context, versions, rows, update_of=planned.solution_arn)
    budget.check_budget(context, planned.run, charges)
    return versions


def _version_names(context: StageContext, plan: SharedPlan) -> dict[str, str]:
    owner = context.data.program.name
    if plan.mode == "UPDATE":
        return {"solution_version": names.job_name(owner, "update", plan.content + plan.solution_arn)}
    # The owner names a version by the task that trains it too.
    prefixes = {spec.name: prefix for prefix, spec in current_solutions(context.data).items()}
    return {
        f"{prefix}solution_version": names.job_name(
            owner, f"full-{prefixes.get(spec.name, OWN)}".rstrip("-_"), plan.content + spec.name
        )
        for prefix, spec in current_solutions(context).items()
    }


def _judged(context: StageContext, mode: str, version_name: str) -> str | None:
    """Return the ARN of this program's last judged version of a mode if it has a name; None if not."""
    judged = [entry for entry in context.store(ChampionStore).evaluated() if entry.training_mode == mode]
    if not judged:
        return None
    arn = judged[-1].solution_version_arn
    found = PersonalizeHook(aws_conn_id=context.program.aws).describe_if_any(SOLUTION_VERSION, arn)
    return arn if found and first_name(str(found.get("name", ""))) == version_name else None
