"""The document of a layer: who may run what, and what is recorded."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from recsync.errors import FatalError
from recsync.experiments.layer import Layer, ProgramFiles, end_missing, reconcile
from recsync.program import Experiment

DAYS = [f"2026-09-{day:02d}T05:30:00+00:00" for day in range(1, 10)]
HALF = {"a": {"share": 0.3, "gets": "champion"}, "b": {"share": 0.2, "gets": "nothing"}}


def experiment(name: str = "autumn", /, **fields: Any) -> Experiment:
    return Experiment.model_validate({"name": name, "layer": "mail", "arms": HALF, **fields})


def files(*unknown: str, **owners: tuple[str, ...]) -> ProgramFiles:
    return ProgramFiles(owners, frozenset(unknown))


def settled(layer: Layer, asked: Experiment, program: str = "shop", *, day: int = 0) -> Layer:
    there = ProgramFiles({asked.name: (program,)})
    return reconcile(layer, asked, program, there, at=DAYS[day], run=f"run{day}")


def test_a_layer_is_read_as_it_is_written() -> None:
    layer = settled(settled(Layer(), experiment()), experiment("winter"), "wine", day=1)
    assert Layer.parse(json.loads(json.dumps(layer.to_json()))) == layer
    assert Layer.parse(None) == Layer()


def test_experiments_of_a_layer_have_buckets_of_their_own() -> None:
    layer = settled(settled(Layer(), experiment()), experiment("winter"), "wine", day=1)
    first, second = (each.allocation.claimed for each in layer.running.values())
    assert len(first) == len(second) == 5000
    assert not np.intersect1d(first, second).size
    with pytest.raises(
        FatalError, match="5,000 more than are free: autumn of shop has 5,000, winter of wine has 5,000"
    ):
        settled(layer, experiment("spring"), "beer", day=2)


def test_repeating_changes_nothing() -> None:
    layer = settled(Layer(), experiment())
    assert settled(layer, experiment()) is layer
    assert settled(layer, experiment(), day=3) is layer


def test_each_change_is_recorded() -> None:
    layer = settled(Layer(), experiment())
    arms = {**HALF, "a": {"share": 0.4, "gets": "popular"}}
    layer = settled(layer, experiment(arms=arms), "store", day=1)
    layer = end_missing(layer, files(), at=DAYS[2], run="run2")
    assert [(each.at, each.program, each.what, each.moved) for each in layer.changes] == [
        (DAYS[0], "shop", "started", 5000),
        (DAYS[1], "store", "program", 0),
        (DAYS[1], "store", "shares", 1000),
        (DAYS[1], "store", "gets", 0),
        (DAYS[2], "store", "ended", 6000),
    ]
    assert layer.changes[2].before == {"a": 0.3, "b": 0.2}
    assert layer.changes[2].after == {"a": 0.4, "b": 0.2}
    assert layer.changes[3].after == {"a": "popular", "b": "nothing"}
    assert layer.experiments["autumn"].revision == 2
    assert layer.experiments["autumn"].until == DAYS[2]


def test_an_ended_experiment_leaves_room_and_comes_back_where_it_can() -> None:
    layer = end_missing(settled(Layer(), experiment()), files(), at=DAYS[1], run="run1")
    former = layer.experiments["autumn"].allocation
    back = settled(layer, experiment(), day=2).experiments["autumn"].allocation
    assert all((back.arms[arm] == former.arms[arm]).all() for arm in "ab")
    wide = {arm: {**fields, "share": 0.4} for arm, fields in HALF.items()}
    layer = settled(layer, experiment("winter", arms=wide), "wine", day=2)
    tight = {arm: {**fields, "share": 0.1} for arm, fields in HALF.items()}
    layer = settled(layer, experiment(arms=tight), day=3)
    first, second = (each.allocation.claimed for each in layer.running.values())
    assert not np.intersect1d(first, second).size
    assert len(first) == 2000


def test_an_experiment_of_a_broken_program_file_goes_on() -> None:
    layer = settled(Layer(), experiment())
    assert end_missing(layer, files("shop"), at=DAYS[1], run="run1") is layer
    assert end_missing(layer, files(autumn=("store",)), at=DAYS[1], run="run1") is layer
    with pytest.raises(FatalError, match="run by shop, whose program file is broken"):
        reconcile(layer, experiment(), "store", files("shop", autumn=("store",)), at=DAYS[1], run="run1")


def test_two_programs_never_run_one_experiment() -> None:
    both = files(autumn=("shop", "store"))
    with pytest.raises(FatalError, match="in the program file of shop too"):
        reconcile(Layer(), experiment(), "store", both, at=DAYS[0], run="run0")


def test_an_earlier_run_ends_nothing() -> None:
    layer = settled(Layer(), experiment(), day=2)
    assert end_missing(layer, files(), at=DAYS[1], run="run1") is layer
    with pytest.raises(FatalError, match="created before the last change of experiment autumn"):
        settled(layer, experiment(arms={**HALF, "a": {"share": 0.1, "gets": "champion"}}), day=1)


def test_with_strata_buckets_are_not_those_of_arms_and_are_never_given_back() -> None:
    layer = settled(Layer(), experiment(stratify_by="city"))
    assert list(layer.experiments["autumn"].buckets) == [""]
    smaller = {**HALF, "a": {"share": 0.1, "gets": "champion"}}
    layer = settled(layer, experiment(stratify_by="city", arms=smaller), day=1)
    assert len(layer.experiments["autumn"].allocation.claimed) == 5000
    with pytest.raises(FatalError, match="was city when the experiment began, and is not given now"):
        settled(layer, experiment(), day=2)
