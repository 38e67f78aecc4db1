from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stack import report
from stack.report import Personalize, Trained

NDCG = dict.fromkeys(report._SHOWN_METRICS, 0.5)
# Of four programs over one set of data: recipe -> metrics.
SOLUTIONS = {
    "aws-similar-items": {**NDCG, "coverage": 0.1},
    "aws-popularity-count": dict.fromkeys(NDCG, 0.25),
    "aws-user-personalization": NDCG,
    "aws-item-affinity": {"recall": 0.3},
}


class _Client:
    """Answer what the report asks."""

    def get_paginator(self, operation: str) -> Any:
        self.operation = operation
        return self

    def paginate(self, **of: str) -> Iterator[dict[str, Any]]:
        if self.operation == "list_dataset_groups":
            yield {"datasetGroups": [{"name": each, "datasetGroupArn": each} for each in ("shop", "shop-b")]}
        elif self.operation == "list_datasets":
            yield {"datasets": [{"datasetArn": of["datasetGroupArn"]}]}
        elif self.operation == "list_solutions":
            found = [{"solutionArn": each, "recipeArn": f"recipe/{each}"} for each in SOLUTIONS]
            yield {"solutions": found if of["datasetGroupArn"] == "shop" else found[:1]}
        elif self.operation == "list_solution_versions":
            version = {
                "solutionVersionArn": of["solutionArn"],
                "trainingMode": "FULL",
                "status": "ACTIVE",
            }
            yield {"solutionVersions": [version]}
        elif self.operation == "list_dataset_import_jobs":
            jobs = 2 if of["datasetArn"] == "shop" else 1
            yield {"datasetImportJobs": [{"importMode": "FULL"}] * jobs}
        else:
            names = ("shop-recommend-1", "winback-recommend-3")
            yield {"batchInferenceJobs": [{"jobName": each} for each in names]}

    def get_solution_metrics(self, **of: str) -> dict[str, Any]:
        return {"metrics": SOLUTIONS[of["solutionVersionArn"]]}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("stack.report.boto3.client", lambda *_, **__: _Client())
    files = {
        "shop": "personalize: {baseline_recipe: aws-popularity-count, challengers: {s: {recipe: aws-similar-items}}}",
        "winback": "data: shop\npersonalize: {model: shop}",
        "because": "data: shop\npersonalize: {recipe: aws-similar-items}",
        "segments": "data: shop\npersonalize: {recipe: aws-item-affinity}",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.fixture
def read(programs: Path) -> Any:
    return lambda name: Personalize("http://nowhere", name, Trained.of(programs, name))


@pytest.mark.parametrize("name", ["shop", "winback"])
def test_the_ratio_is_that_of_the_own_recipe_to_the_baseline(read: Any, name: str) -> None:
    heading, ndcg, *_ = read(name).metric_lines()
    assert heading.split() == ["user-personalization", "similar-items", "popularity-count", "ratio"]
    assert ndcg.split() == ["NDCG@25", "0.5000", "0.5000", "0.2500", "2.00"]
    assert read(name).verdict_lines() == []


def test_a_program_over_the_data_of_another_one_shows_its_own_recipe(read: Any) -> None:
    heading, *_, coverage = read("because").metric_lines()
    assert heading.split() == ["similar-items"]
    assert coverage.split() == ["coverage", "0.1000"]
    assert read("because").verdict_lines() == []


def test_a_recipe_with_other_metrics_is_no_error(read: Any) -> None:
    assert read("segments").metric_lines() == [
        "none of these: the recipe has other metrics, see the task `metrics`"
    ]


def test_a_baseline_that_is_better_is_told(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOLUTIONS, "aws-popularity-count", dict.fromkeys(NDCG, 0.6))
    assert "below that of the baseline" in read("shop").verdict_lines()[0]


def test_imports_and_trainings_are_those_of_the_data_and_batch_jobs_the_programs_own(read: Any) -> None:
    assert read("winback").job_lines() == [
        "imports         2 FULL",
        "trainings       4 FULL",
        "batch inference 1 jobs",
    ]
