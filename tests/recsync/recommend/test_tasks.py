"""The tasks that ask for recommendations, as far as a DAG shows them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import DAG, task

from airflow_personalize.resources import CAMPAIGN
from recsync.dag_kit import DEFAULT_ARGS
from recsync.program.parse import parse_program
from recsync.recommend.tasks import run_inference


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

    @task(multiple_outputs=True)
    def prepare() -> dict[str, str]:
        """Stand where the DAG's own task stands."""
        return {}

    with DAG("shop_recommend", schedule=None, default_args=DEFAULT_ARGS) as dag:
        run_inference(parse_program("shop", fields), prepare())
    assert sorted(name for name in dag.task_ids if name.startswith("batch")) == jobs
    if wanted:
        assert dag.get_task(jobs[1]).upstream_task_ids >= {"ask_again"}


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
