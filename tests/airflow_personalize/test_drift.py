"""What counts as the same configuration."""

from __future__ import annotations

import pytest

from airflow_personalize.drift import drift, unasked_hyperparameters
from airflow_personalize.resources import BATCH_INFERENCE_JOB, CAMPAIGN, SOLUTION

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
    assert drift(SOLUTION.compared, asked, found) == []


@pytest.mark.parametrize(
    ("asked", "found", "path"),
    [
        (config(), config(eventValueThreshold="5"), "solutionConfig.eventValueThreshold"),
        (
            config(trainingDataConfig={"excludedDatasetColumns": {"INTERACTIONS": ["A"]}}),
            config(trainingDataConfig={"excludedDatasetColumns": COLUMNS}),
            "solutionConfig.trainingDataConfig.excludedDatasetColumns.INTERACTIONS",
        ),
        (
            config(eventsConfig={"eventParametersList": [{"eventType": "buy", "weight": 1.0}]}),
            config(eventsConfig={"eventParametersList": [{"eventType": "buy", "weight": 0.5}]}),
            "solutionConfig.eventsConfig.eventParametersList",
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
    lines = drift(SOLUTION.compared, asked, found)
    assert [line.split(":")[0] for line in lines] == [path]


def test_defaults_the_service_fills_into_a_batch_job_are_no_drift():
    explore = {"itemExplorationConfig": {"explorationWeight": "0.3"}}
    assert (
        drift(BATCH_INFERENCE_JOB.compared, {}, {"numResults": 25, "batchInferenceJobConfig": explore}) == []
    )


def test_hyperparameters_nobody_asked_for_are_named():
    asked = config(algorithmHyperParameters={"bptt": "20"})
    found = config(algorithmHyperParameters={"training.bptt": "20", "data.recency_mask": "True"})
    assert unasked_hyperparameters(asked, found) == ["recency_mask"]
    assert unasked_hyperparameters({}, {}) == []


def test_lists_of_this_api_are_sets():
    events = [{"eventType": "buy", "weight": 1.0}, {"eventType": "view", "weight": 0.1}]
    asked = config(eventsConfig={"eventParametersList": events})
    filled = [{**each, "eventValueThreshold": 0.0} for each in reversed(events)]
    assert drift(SOLUTION.compared, asked, config(eventsConfig={"eventParametersList": filled})) == []
    twice = config(eventsConfig={"eventParametersList": [events[0], events[0]]})
    assert len(drift(SOLUTION.compared, twice, asked)) == 1


@pytest.mark.parametrize(
    ("found", "same"),
    [("up/0a1b2c3d", True), ("up/$LATEST", True), ("other/0a1b2c3d", False), ("up", False)],
)
def test_the_newest_version_of_a_solution_is_any_of_its_versions(found, same):
    prefix = "arn:aws:personalize:eu-west-1:123456789012:solution/"
    asked = {"solutionVersionArn": prefix + "up/$LATEST"}
    assert (drift(CAMPAIGN.compared, asked, {"solutionVersionArn": prefix + found}) == []) is same
