"""The document of a layer: which buckets its experiments have, and every change of them.

Each function returns the new document, and the same object when nothing changed: a repeated run writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np

from recsync.errors import FatalError
from recsync.experiments.assignment import (
    BUCKETS,
    OUTSIDE,
    Allocation,
    allocate,
    bucket_counts,
    format_buckets,
    free_buckets,
    parse_buckets,
)
from recsync.program import Experiment


@dataclass(frozen=True)
class LayerExperiment:
    """One experiment of a layer.

    :param program: the program that runs it, or ran it last.
    :param programs: all programs that ran it, the first one first: a program may be renamed.
    :param shares: by arm, as the program file says.
    :param gets: by arm, what its people get, as :attr:`recsync.program.Arm.label` writes it.
    :param buckets: by arm, :func:`recsync.experiments.assignment.format_buckets`. With ``stratify_by`` all are those of
        :data:`recsync.experiments.assignment.OUTSIDE`: people are dealt to arms within their stratum.
    :param revision: counts the changes of shares.
    :param since: ISO 8601 time of the first run.
    :param until: ISO 8601 time at which it ended, and its buckets were freed; empty while it runs.
    """

    program: str
    programs: tuple[str, ...]
    shares: Mapping[str, float]
    gets: Mapping[str, str]
    buckets: Mapping[str, str]
    stratify_by: str | None = None
    revision: int = 1
    since: str = ""
    until: str = ""

    @property
    def allocation(self) -> Allocation:
        """The buckets of its arms; after its end, another experiment may have them too."""
        return Allocation({arm: parse_buckets(text) for arm, text in self.buckets.items()})


@dataclass(frozen=True)
class Change:
    """One recorded change of a layer.

    :param at: ISO 8601 time of the run that made it.
    :param run: that run.
    :param what: the experiment ``started``, got other ``shares``, or arms that ``get`` something else, was taken over
        by another ``program``, or ``ended``.
    :param before: shares by arm; what arms got, or the program, for a change of these.
    :param after: the same after the change.
    :param moved: how many of the 10,000 buckets of the layer changed their arm, joined an arm or left one. With
        ``stratify_by``, people move one by one; see their rows in ``ENROLLED``.
    """

    at: str
    run: str
    program: str
    experiment: str
    what: Literal["started", "shares", "gets", "program", "ended"]
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    moved: int = 0


@dataclass(frozen=True)
class Layer:
    """The document of a layer.

    :param experiments: by name, also those that ended.
    :param changes: oldest first.
    """

    experiments: Mapping[str, LayerExperiment] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    @classmethod
    def parse(cls, document: Any) -> Layer:
        """Read the JSON of :meth:`to_json`; None: an empty layer."""
        if document is None:
            return cls()
        experiments = {
            name: LayerExperiment(**{**each, "programs": tuple(each["programs"])})
            for name, each in document["experiments"].items()
        }
        return cls(experiments, tuple(Change(**each) for each in document["changes"]))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            "experiments": {name: asdict(each) for name, each in self.experiments.items()},
            "changes": [asdict(each) for each in self.changes],
        }

    @property
    def running(self) -> dict[str, LayerExperiment]:
        """The experiments that have not ended."""
        return {name: each for name, each in self.experiments.items() if not each.until}

    def with_experiment(self, name: str, experiment: LayerExperiment, *changes: Change) -> Layer:
        """Replace one experiment, and record changes."""
        return Layer({**self.experiments, name: experiment}, (*self.changes, *changes))

    def without(self, name: str) -> Layer:
        """Remove an experiment; its changes stay."""
        return Layer({n: each for n, each in self.experiments.items() if n != name}, self.changes)


@dataclass(frozen=True)
class ProgramFiles:
    """What the program files say about one layer.

    :param owners: by experiment of the layer, the programs that have it; more than one is a mistake.
    :param unknown: programs with a broken file; their experiments are unknown.
    """

    owners: Mapping[str, tuple[str, ...]]
    unknown: Collection[str] = ()

    def have(self, name: str, experiment: LayerExperiment) -> bool:
        """Return whether an experiment may be in a program file."""
        return bool(self.owners.get(name)) or experiment.program in self.unknown


def end_missing(layer: Layer, files: ProgramFiles, *, at: str, run: str) -> Layer:
    """End the experiments that no program file has any more: their buckets are free from now on."""
    for name, each in layer.running.items():
        if not files.have(name, each) and not _changed_after(layer, name, at):
            moved = len(each.allocation.claimed)
            change = Change(at, run, each.program, name, "ended", before=each.shares, moved=moved)
            layer = layer.with_experiment(name, replace(each, until=at), change)
    return layer


def owner_problem(layer: Layer, experiment: str, program: str, files: ProgramFiles) -> str | None:
    """Return why a program must not run an experiment; None when it may."""
    others = [name for name in files.owners.get(experiment, ()) if name != program]
    if others:
        return (
            f"Experiment {experiment} is in the program file of {', '.join(others)} too, but one program runs it. Give "
            "each experiment a name of its own."
        )
    running = layer.running.get(experiment)
    if running and running.program != program and running.program in files.unknown:
        return (
            f"Experiment {experiment} is run by {running.program}, whose program file is broken, so it is not known "
            "whether that program still runs it. Correct that file first (make check)."
        )
    return None


def reconcile(
    layer: Layer, experiment: Experiment, program: str, files: ProgramFiles, *, at: str, run: str
) -> Layer:
    """Bring a program's experiment in line with its file: start it, change it, or take it over from another program.

    :param at: ISO 8601 time of the run.
    :raises FatalError: when another program runs it, the layer has too few free buckets, ``stratify_by`` changed, or
        the run is older than the last change and has another program file.
    """
    name, former = experiment.name, layer.experiments.get(experiment.name)
    if problem := owner_problem(layer, name, program, files):
        raise FatalError(problem)
    if former and former.stratify_by != experiment.stratify_by:
        raise FatalError(
            f"experiment.stratify_by of {name} was {former.stratify_by or 'not given'} when the experiment began, and "
            f"is {experiment.stratify_by or 'not given'} now. Its people were assigned by the former one: restore it, "
            "or give the experiment another name to assign everybody anew."
        )
    others = [each.allocation.claimed for other, each in layer.running.items() if other != name]
    current = _still_free(former, others)
    wanted = bucket_counts(experiment.shares)
    if experiment.stratify_by:
        # Releasing buckets would remove people from every arm: with strata, buckets do not determine the arm.
        wanted = {OUTSIDE: max(sum(wanted.values()), len(current.claimed))}
    free = free_buckets([*others, current.claimed])
    lacking = sum(wanted.values()) - len(current.claimed) - len(free)
    if lacking > 0:
        taken = [
            f"{other} of {each.program} has {len(each.allocation.claimed):,}"
            for other, each in layer.running.items()
            if other != name
        ]
        raise FatalError(
            f"Experiment {name} asks for {sum(wanted.values()):,} of the {BUCKETS:,} buckets of layer "
            f"{experiment.layer_name}, {lacking:,} more than are free: {', '.join(taken)}. Lower its shares, end "
            "another experiment of the layer, or name another layer."
        )
    allocation = allocate(name, wanted, current, free)
    gets = {arm: each.label for arm, each in experiment.arms.items()}
    shares = experiment.shares
    change = _Recorder(at, run, program, name)
    if former is None or former.until:
        moved, revision = len(allocation.claimed), former.revision + 1 if former else 1
        change.record("started", {}, shares, moved)
    else:
        revision = former.revision + (dict(former.shares) != shares)
        change.record("program", {"program": former.program}, {"program": program})
        change.record("shares", former.shares, shares, allocation.changed)
        change.record("gets", former.gets, gets)
    if not change.made:
        return layer
    if _changed_after(layer, name, at):
        raise FatalError(
            f"This run was created before the last change of experiment {name}, and its program file differs from "
            "that change. A cleared run keeps the program file of its time; start a new run instead."
        )
    programs = (former.programs if former else ()) + (program,)
    entry = LayerExperiment(
        program,
        tuple(dict.fromkeys(programs)),
        shares,
        gets,
        {arm: format_buckets(buckets) for arm, buckets in allocation.arms.items()},
        experiment.stratify_by,
        revision,
        since=former.since if former else at,
    )
    return layer.with_experiment(name, entry, *change.made)


def _changed_after(layer: Layer, experiment: str, at: str) -> bool:
    """Return whether an experiment was changed by a later run."""
    moment = datetime.fromisoformat(at)
    return any(
        datetime.fromisoformat(each.at) > moment for each in layer.changes if each.experiment == experiment
    )


def _still_free(former: LayerExperiment | None, others: list[Any]) -> Allocation:
    """Return the buckets that an experiment has, or had before it ended and are still free."""
    if former is None:
        return Allocation({})
    free = free_buckets(others)
    return Allocation({arm: np.intersect1d(each, free) for arm, each in former.allocation.arms.items()})


@dataclass
class _Recorder:
    """Collect the changes of one experiment that one run makes."""

    at: str
    run: str
    program: str
    experiment: str
    made: list[Change] = field(default_factory=list)

    def record(
        self,
        what: Literal["started", "shares", "gets", "program"],
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        moved: int = 0,
    ) -> None:
        """Record a change, unless nothing changed."""
        if dict(before) != dict(after):
            change = Change(self.at, self.run, self.program, self.experiment, what, before, after, moved)
            self.made.append(change)
