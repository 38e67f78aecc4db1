"""The solutions of a program: names, settings, and pinned hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recsync.program import Program, Solution, names
from recsync.program.personalize import hpo_config

OWN, BASELINE, SEGMENT = "", "baseline_", "segment_"
"""Prefixes of the task ids of a solution."""

_EVENTS = "eventsConfig"


@dataclass(frozen=True)
class SolutionSpec:
    """The settings of one solution.

    :param config: ``solutionConfig``.
    """

    name: str
    recipe: str
    event_type: str | None
    config: Mapping[str, Any]
    perform_hpo: bool = False

    @property
    def events_config(self) -> Any:
        """Event weights, the only setting of an existing solution that can be changed; None when it has none."""
        return self.config.get(_EVENTS)


def challenger_prefix(name: str) -> str:
    """Return the prefix of the task ids of a challenger."""
    return f"challenger_{name}_"


def compared_prefixes(program: Program) -> dict[str, str]:
    """Return task prefixes by challenger, with the program's own solution under the empty name."""
    return {"": OWN, **{name: challenger_prefix(name) for name in program.personalize.challengers}}


def own(program: Program, pinned: Mapping[str, str]) -> SolutionSpec:
    """Return the program's own solution.

    :param pinned: hyperparameters that a tuning found.
    """
    solution = program.personalize
    return _spec(program, solution, solution.config(pinned))


def trained_by_full(program: Program, pinned: Mapping[str, str]) -> dict[str, SolutionSpec]:
    """Return every solution of which ``train_full`` trains a version, by the prefix of its tasks."""
    personalize = program.personalize
    specs = {OWN: own(program, pinned)}
    # These are trained on the same events, with the recipe's own settings.
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
    """Return the solution that searches for hyperparameters; it ignores what former searches pinned.

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
    if program.data is not None and _EVENTS in config:
        # Weights change in place, so programs share a solution only while theirs are the owner's.
        owner = program.data_owner.personalize
        if config[_EVENTS] != owner.config({}).get(_EVENTS):
            fixed = dict(config)
    # Weights can be changed but not removed.
    marks = {"eventType": solution.event_type, "performHPO": perform_hpo, "weighs": _EVENTS in config}
    settings = {**fixed, **{mark: value for mark, value in marks.items() if value}}
    name = names.solution_name(program, solution.recipe, settings)
    return SolutionSpec(name, solution.recipe, solution.event_type, config, perform_hpo)
