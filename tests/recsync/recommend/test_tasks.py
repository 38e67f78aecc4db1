"""The tasks that ask for recommendations, as far as a DAG shows them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import DAG, task

from airflow_personalize.resources import CAMPAIGN
from recsync.dag_kit import DEFAULT_ARGS
from recsync.program.parse import parse_program
from recsync.recommend.tasks import jobs_of, run_inference


@pytest.mark.parametrize(
    ("recipe", "wanted", "jobs"),
    [
        ("aws-user-personalization", True, ["batch_inference", "batch_inference_again"]),
        ("aws-user-personalization", False, ["batch_inference"]),
        ("aws-item-affinity", True, ["batch_segment", "batch_segment_again"]),
    ],
)
def test_a_second_job_asks_what_the_first_did_not_answer(recipe: str, wanted: bool, jobs: list[str]) -> None:
    fields = {
        "braze": {"attribute": "recs"},
        "personalize": {"recipe": recipe},
        "recommendations": {"ask_again": wanted, "min_length": 1},
    }

    @task
    def prepare() -> list[dict[str, str]]:
        """Stand where the DAG's own task stands."""
        return []

    with DAG("shop_recommend", schedule=None, default_args=DEFAULT_ARGS) as dag:
        run_inference(parse_program("shop", fields), prepare())
    assert sorted(name for name in dag.task_ids if name.startswith("batch")) == jobs
    if wanted:
        assert dag.get_task(jobs[1]).upstream_task_ids >= {"ask_again"}


def test_each_arm_with_a_model_of_its_own_has_a_job_of_its_own() -> None:
    arms = {
        "best": {"share": 0.5, "gets": "champion"},
        "sims": {"share": 0.2, "gets": {"challenger": "sims"}},
        "wine": {"share": 0.1, "gets": {"program": "wine"}},
        "popular": {"share": 0.1, "gets": "popular"},
        "out": {"share": 0.1, "gets": "nothing"},
    }
    challengers = {"sims": {"recipe": "aws-popularity-count"}}
    fields = {
        "braze": {"attribute": "recs"},
        "personalize": {"challengers": challengers},
        "experiment": {"name": "autumn", "arms": arms},
    }

    @task
    def prepare() -> list[dict[str, str]]:
        """Stand where the DAG's own task stands."""
        return []

    with DAG("shop_recommend", schedule=None, default_args=DEFAULT_ARGS) as dag:
        asked = run_inference(parse_program("shop", fields), prepare())
    assert [*asked.arms] == ["sims", "wine"]
    for arm in asked.arms:
        job = dag.get_task(f"batch_inference_arm_{arm}")
        assert job.upstream_task_ids == {f"ask_arm_{arm}"}
    assert dag.get_task("batch_inference").upstream_task_ids == {"prepare"}
    assert not [name for name in dag.task_ids if "popular" in name or "out" in name]


def test_the_deletion_of_a_campaign_is_tried_for_longer_than_its_creation_may_take() -> None:
    trending = {"braze": {"attribute": "recs"}, "personalize": {"recipe": "aws-trending-now"}}

    @task
    def prepare() -> None:
        """Stand where the DAG's own task stands."""

    with DAG("shop_recommend", schedule=None, default_args=DEFAULT_ARGS) as dag:
        run_inference(parse_program("shop", trending), prepare())
    delete = dag.get_task("delete_campaign")
    # Airflow's shortest delays: doubled each time, up to the longest.
    delays = [min(delete.retry_delay * 2**number, delete.max_retry_delay) for number in range(delete.retries)]
    assert delete.is_teardown
    assert sum(delays, timedelta()) > timedelta(seconds=CAMPAIGN.patience_seconds)


def test_a_plan_has_the_arguments_of_each_of_its_jobs() -> None:
    shared = {"solution_version_arn": "arn:version", "role_arn": "arn:role", "config": None}
    first = {"job": "a", "input": "s3://b/1-of-2/in", "output": "s3://b/1-of-2/out/"}
    second = {"job": "b", "input": "s3://b/2-of-2/in", "output": "s3://b/2-of-2/out/"}
    (former,) = jobs_of({**shared, **first})
    assert former == {
        "job_name": "a",
        "solution_version_arn": "arn:version",
        "input_path": "s3://b/1-of-2/in",
        "output_path": "s3://b/1-of-2/out/",
        "role_arn": "arn:role",
    }
    plan = {**shared, **first, "config": {"x": 1}, "parts": [first, second]}
    assert [(job["job_name"], job["batch_inference_job_config"]) for job in jobs_of(plan)] == [
        ("a", {"x": 1}),
        ("b", {"x": 1}),
    ]
    assert jobs_of({**plan, "experiment": {"is_champion_asked": False}}) == []
