"""Check experiments against the recipe of their program, and against the experiments of other programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from recsync.formatting import did_you_mean
from recsync.program.experiment import Experiment
from recsync.program.model import Program
from recsync.program.problems import Problem
from recsync.program.recipes import InputType


def experiment_problems(program: Program) -> Iterator[Problem]:
    """Yield the mistakes in a program's experiment that its own file is enough to find."""
    experiment, recipe = program.experiment, program.personalize.recipe_spec
    if experiment is None:
        if program.gate.online:
            text = "asks the experiment of the program, which has none; add the section experiment, or remove this one"
            yield Problem(("gate", "online"), text)
        for place, attribute in enumerate(program.braze.attributes):
            if attribute.source == "arm":
                text = "the program has no experiment, so nobody is in an arm; remove the attribute"
                yield Problem(("braze", "attributes", place, "from"), text, "arm")
        return
    if recipe.inference_mode == "segment":
        text = (
            f"{recipe.name} selects the people itself, so they cannot be assigned to arms before its job; remove the "
            "section, or use a recipe that recommends items for given users"
        )
        yield Problem(("experiment",), text)
        return
    challengers = program.model_owner.personalize.challengers
    for name, arm in experiment.arms.items():
        field = ("experiment", "arms", name, "gets")
        if arm.gets == "popular" and recipe.type == "POPULAR_ITEMS":
            text = f"{recipe.name} gives everybody popular items already; compare it with an arm that gets nothing"
            yield Problem(field, text, arm.gets)
        if arm.gets == "popular" and recipe.input_type is InputType.ACTIONS:
            text = "takes the items that most people bought, but the lists hold actions; compare with nothing"
            yield Problem(field, text, arm.gets)
        if name in experiment.models and recipe.inference_mode == "campaign":
            text = (
                f"{recipe.name} answers through a campaign, and a run has one campaign only; compare the champion "
                "with popular or nothing"
            )
            yield Problem(field, text)
        elif arm.challenger is not None and arm.challenger not in challengers:
            owner = program.model_owner.name
            there = f"it has {', '.join(challengers)}" if challengers else "it has none"
            where = "personalize.challengers" + ("" if owner == program.name else f" of {owner}.yaml")
            hint = did_you_mean(arm.challenger, challengers) or "."
            text = f"is not in {where}; {there}{hint} Add it there, or name another one"
            yield Problem((*field, "challenger"), text, arm.challenger)
        elif arm.program == program.name:
            text = "is this program itself; write gets: champion"
            yield Problem((*field, "program"), text, arm.program)


def problems_between(programs: Mapping[str, Program], there: Sequence[str]) -> dict[str, list[Problem]]:
    """Return the mistakes in experiments that need the other program files to find, by program.

    :param programs: the sound programs.
    :param there: the names of all program files, broken ones too.
    """
    problems: dict[str, list[Problem]] = defaultdict(list)
    layers: dict[str, dict[str, Experiment]] = defaultdict(dict)
    for name, program in programs.items():
        if program.experiment:
            layers[program.experiment.layer_name][name] = program.experiment
            problems[name] += _other_programs(program, programs, there)
    for layer, experiments in layers.items():
        for name, problem in _of_layer(layer, experiments, programs):
            problems[name].append(problem)
    return {name: found for name, found in problems.items() if found}


def _other_programs(
    program: Program, programs: Mapping[str, Program], there: Sequence[str]
) -> Iterator[Problem]:
    """Yield the reasons why an arm cannot use the champion of the program that it names."""
    recipe = program.personalize.recipe_spec
    for name, arm in program.experiment.arms.items() if program.experiment else ():
        if arm.program is None or arm.program == program.name:
            continue
        field = ("experiment", "arms", name, "gets", "program")
        if arm.program not in there:
            hint = did_you_mean(arm.program, there) or "."
            text = f"there is no include/programs/{arm.program}.yaml{hint} Name a program that exists"
            yield Problem(field, text, arm.program)
        if arm.program not in programs:
            continue  # missing, or broken: its own problems are listed with it
        other = programs[arm.program]
        spec = other.personalize.recipe_spec
        if (spec.input_type, spec.inference_mode) != (recipe.input_type, recipe.inference_mode):
            text = (
                f"its recipe {spec.name} needs another kind of input than {recipe.name}; name a program with a "
                "recipe of the same type"
            )
            yield Problem(field, text, arm.program)
        if other.model_owner.name == program.model_owner.name:
            text = f"uses the champion of {program.model_owner.name} as this program does; there is nothing to compare"
            yield Problem(field, text, arm.program)
        if other.aws != program.aws:
            text = f"its AWS connection is {other.aws}; a job of {program.aws} cannot use another account's model"
            yield Problem(field, text, arm.program)
        if program.filters.recommend and other.data_owner.name != program.data_owner.name:
            text = (
                "filters.recommend belongs to the dataset group of this program, so it cannot be used with a model "
                f"over the data of {other.data_owner.name}; remove the arm or the filter"
            )
            yield Problem(field, text, arm.program)


def _of_layer(
    layer: str, experiments: Mapping[str, Experiment], programs: Mapping[str, Program]
) -> Iterator[tuple[str, Problem]]:
    """Yield the mistakes of experiments of one layer with the programs that have them."""
    total = round(sum(experiment.share for experiment in experiments.values()), 9)
    for name, experiment in experiments.items():
        others = {other: each for other, each in experiments.items() if other != name}
        twins = [f"{other}.yaml" for other, each in others.items() if each.name == experiment.name]
        if twins:
            text = (
                f"{', '.join(twins)} has the same experiment, but one program runs it; give each experiment a name of "
                "its own"
            )
            yield name, Problem(("experiment", "name"), text, experiment.name)
        elif total > 1:
            shares = ", ".join(f"{other} {each.share:g}" for other, each in experiments.items())
            text = (
                f"the experiments of layer {layer} share no person, and ask for {total:g} of the people together "
                f"({shares}); at most 1 is possible. Lower shares, or name another layer"
            )
            yield name, Problem(("experiment", "arms"), text)
        elsewhere = [f"{other}.yaml" for other in others if programs[other].bucket != programs[name].bucket]
        if elsewhere:
            text = (
                f"a layer is kept in one bucket, and {', '.join(elsewhere)} with the same layer has another one; name "
                "another layer"
            )
            yield name, Problem(("experiment", "layer"), text, experiment.layer)
