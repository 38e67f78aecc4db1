"""What counts as the same configuration."""

from __future__ import annotations

import pytest

from recsync.hooks.personalize_drift import drift, unasked_hyperparameters
from recsync.hooks.personalize_resources import BATCH_INFERENCE_JOB, SOLUTION

COLUMNS = {"INTERACTIONS": ["A", "B"]}


def config(**members):
    return {"solutionConfig": members, "performAutoTraining": False}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (config(), {"performAutoTraining": False}),
        (config(), config(algorithmHyperParameters={"bptt": "32"})),
        (config(), config(autoTrainingConfig={"schedulingExpression": "rate(7 days)"})),
        (config(), config(optimizationObjective={}, hpoConfig=None)),
        (
            config(algorithmHyperParameters={"bptt": "20"}),
            config(algorithmHyperParameters={"training.bptt": "20", "data.recency_mask": "True"}),
        ),
        (
            config(trainingDataConfig={"excludedDatasetColumns": {"INTERACTIONS": ["B", "A"]}}),
            config(trainingDataConfig={"excludedDatasetColumns": COLUMNS}),
        ),
        ({}, {"performAutoTraining": True, "performHPO": False}),
        (config(performHPO=None), config()),
    ],
)
def test_the_same_to_the_service_is_no_drift(asked, found):
    assert drift(SOLUTION, asked, found) == []


@pytest.mark.parametrize(
    ("asked", "found", "path"),
    [
        (config(), config(eventValueThreshold="5"), "solutionConfig.eventValueThreshold"),
        (
            config(trainingDataConfig={"excludedDatasetColumns": {"INTERACTIONS": ["A"]}}),
            config(trainingDataConfig={"excludedDatasetColumns": COLUMNS}),
            "solutionConfig.trainingDataConfig",
        ),
        (
            config(eventsConfig={"eventParametersList": [{"eventType": "buy", "weight": 1.0}]}),
            config(eventsConfig={"eventParametersList": [{"eventType": "buy", "weight": 0.5}]}),
            "solutionConfig.eventsConfig",
        ),
        (
            config(algorithmHyperParameters={"bptt": "20"}),
            config(),
            "solutionConfig.algorithmHyperParameters",
        ),
        ({}, {"performAutoTraining": False}, "performAutoTraining"),
    ],
)
def test_another_training_is_drift(asked, found, path):
    lines = drift(SOLUTION, asked, found)
    assert [line.split(":")[0] for line in lines] == [path]


def test_defaults_the_service_fills_into_a_batch_job_are_no_drift():
    explore = {"itemExplorationConfig": {"explorationWeight": "0.3"}}
    assert drift(BATCH_INFERENCE_JOB, {}, {"numResults": 25, "batchInferenceJobConfig": explore}) == []


def test_hyperparameters_nobody_asked_for_are_named():
    asked = config(algorithmHyperParameters={"bptt": "20"})
    found = config(algorithmHyperParameters={"training.bptt": "20", "data.recency_mask": "True"})
    assert unasked_hyperparameters(asked, found) == ["recency_mask"]
    assert unasked_hyperparameters({}, {}) == []
