"""The solutions of a program: each with the name that its recipe and settings give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recsync.program import Program, Solution, names
from recsync.program.hpo import hpo_config

OWN, BASELINE, SEGMENT = "", "baseline_", "segment_"
"""What the ids of a solution's tasks begin with."""

_EVENTS = "eventsConfig"


@dataclass(frozen=True)
class SolutionSpec:
    """One solution as it is to be.

    :param config: ``solutionConfig``.
    """

    name: str
    recipe: str
    event_type: str | None
    config: Mapping[str, Any]
    perform_hpo: bool = False

    @property
    def events_config(self) -> Any:
        """The event weights, which alone can be changed in a solution that is there; None when it has none."""
        return self.config.get(_EVENTS)


def challenger_prefix(name: str) -> str:
    """Give what the ids of a challenger's tasks begin with."""
    return f"challenger_{name}_"


def own(program: Program, pinned: Mapping[str, str]) -> SolutionSpec:
    """Give the program's own solution.

    :param pinned: hyperparameters that a tuning found.
    """
    solution = program.personalize
    return _spec(program, solution, solution.config(pinned))


def trained_by_full(program: Program, pinned: Mapping[str, str]) -> dict[str, SolutionSpec]:
    """Give every solution of which ``train_full`` trains a version, by the prefix of its tasks."""
    personalize = program.personalize
    specs = {OWN: own(program, pinned)}
    # They are trained on the same events, and otherwise in the recipe's own way.
    plain = [
        (BASELINE, personalize.baseline_recipe),
        (SEGMENT, names.SEGMENT_RECIPE if program.audience.segment else None),
    ]
    for prefix, recipe in plain:
        if recipe:
            specs[prefix] = _spec(program, Solution(recipe=recipe, event_type=personalize.event_type), {})
    for name, challenger in personalize.challengers.items():
        specs[challenger_prefix(name)] = _spec(program, challenger, challenger.solution_config)
    return specs


def searching(program: Program) -> SolutionSpec:
    """Give the solution that searches for hyperparameters; what a former search pinned is searched anew.

    :raises ValueError: when the program has no tuning.
    """
    personalize = program.personalize
    if personalize.tuning is None:
        raise ValueError(f"{program.name} has no personalize.tuning")
    config = {**personalize.solution_config, "hpoConfig": hpo_config(personalize, personalize.tuning)}
    return _spec(program, personalize, config, perform_hpo=True)


def _spec(
    program: Program, solution: Solution, config: Mapping[str, Any], *, perform_hpo: bool = False
) -> SolutionSpec:
    fixed = {member: value for member, value in config.items() if member != _EVENTS}
    # Weights can be changed but not taken away.
    marks = {"eventType": solution.event_type, "performHPO": perform_hpo, "weighs": _EVENTS in config}
    settings = {**fixed, **{mark: value for mark, value in marks.items() if value}}
    name = names.solution_name(program, solution.recipe, settings)
    return SolutionSpec(name, solution.recipe, solution.event_type, config, perform_hpo)
