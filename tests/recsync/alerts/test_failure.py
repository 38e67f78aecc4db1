"""What people are told of a task that failed: through a run of a real DAG, and by the error's class."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import ClientError

from airflow_personalize.errors import DriftError
from recsync.alerts.failure import FailureNotifier, describe_failure
from recsync.dag_kit import stage_dag
from recsync.errors import (
    BudgetExceededError,
    FatalError,
    ProgramError,
    PromotionRefusedError,
    RejectedError,
    RetriableError,
)
from recsync.program import Event

WEBHOOK = {"via": "webhook", "connection": "team", "every_minutes": 0}
TI = SimpleNamespace(
    task_id="judge", dag_id="shop_train_full", run_id="manual__1", try_number=1, log_url="http://af/x"
)


@pytest.fixture
def runs(save_dag: Any, program: Any) -> Callable[..., Any]:
    """Run a DAG of the program whose only task calls a function."""

    def run(body: Callable[[], Any], *, retries: int = 0) -> Any:
        # Airflow 3.3.2 cannot end a successful dag.test() of a DAG that has a deadline.
        shop = program(WEBHOOK, deadline_hours={"train_full": None})
        with stage_dag(shop, "train_full", schedule=None, doc_md=None) as dag:

            @task(retries=retries, retry_delay=timedelta())
            def judge() -> None:
                body()

            judge()
        save_dag(dag)
        return dag.test()

    return run


def raises(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


def test_a_refused_promotion_is_told_with_its_figures_and_a_link_to_the_log(runs: Any, webhook: Any) -> None:
    error = PromotionRefusedError("NDCG at 25 is 0.02, below the champion's 0.31.")
    run = runs(raises(error))
    (body,) = webhook.bodies
    assert body["event"] == "promotion_refused"
    assert body["subject"].endswith(": train_full refused a solution version (judge)")
    assert "What happened: NDCG at 25 is 0.02, below the champion's 0.31." in body["text"]
    assert "What to do: Nothing has to be done at once: the former champion stays" in body["text"]
    assert f"Where: task judge of DAG {run.dag_id}, run {run.run_id}" in body["text"]
    assert f"/dags/{run.dag_id}/runs/" in body["text"].split("Log: ")[1]


def test_only_the_last_try_is_told(runs: Any, webhook: Any) -> None:
    tries: list[int] = []

    def body() -> None:
        tries.append(get_current_context()["ti"].try_number)
        assert webhook.posted == []
        raise RetriableError("Amazon Personalize answers 503.")

    runs(body, retries=1)
    assert tries == [1, 2]
    assert [b["event"] for b in webhook.bodies] == ["failure"]
    assert "Every try failed" in webhook.bodies[0]["text"]


@pytest.mark.parametrize("error", [FatalError("No access."), RejectedError("Braze refused an item.")])
def test_what_no_retry_can_help_fails_and_is_told_at_the_first_try(
    runs: Any, webhook: Any, error: Exception
) -> None:
    run = runs(raises(error), retries=3)
    (ti,) = run.get_task_instances()
    assert (str(ti.state), ti.try_number) == ("failed", 1)
    (body,) = webhook.bodies
    assert f"What happened: {error}" in body["text"]
    assert ", try 1" in body["text"]


def test_a_task_that_succeeds_is_not_told(runs: Any, webhook: Any) -> None:
    assert runs(lambda: None).state == "success"
    assert webhook.posted == []


def test_a_server_that_refuses_messages_leaves_the_run_as_it_is(runs: Any, webhook: Any) -> None:
    webhook.statuses = [404]
    run = runs(raises(FatalError("No access.")))
    assert [str(ti.state) for ti in run.get_task_instances()] == ["failed"]


@pytest.mark.parametrize(
    ("error", "event", "to_do"),
    [
        (PromotionRefusedError("x"), Event.PROMOTION_REFUSED, "the former champion stays"),
        (BudgetExceededError("x"), Event.BUDGET_STOPPED, "Raise the budget"),
        (DriftError("x"), Event.DRIFT, "in line with the other"),
        (ProgramError(["x"]), Event.FAILURE, "make check"),
        (FatalError("x"), Event.FAILURE, "A retry does not help"),
    ],
)
def test_the_class_of_the_error_decides_what_is_told(error: FatalError, event: Event, to_do: str) -> None:
    found, _, text = describe_failure("train_full", TI, error)
    assert found is event
    assert to_do in text


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (AirflowException("training failed: CREATE FAILED - Insufficient data"), "Insufficient data"),
        (
            ClientError(
                {"Error": {"Code": "LimitExceededException", "Message": "20 solutions"}}, "CreateSolution"
            ),
            "20 solutions",
        ),
        (RetriableError(""), "RetriableError"),
    ],
)
def test_what_services_say_about_their_resources_is_told(error: Exception, shown: str) -> None:
    assert shown in describe_failure("train_full", TI, error)[2]


def test_what_a_driver_says_may_name_a_person_and_is_not_told() -> None:
    text = describe_failure("export", TI, ValueError("duplicate key (user_id)=(jo-doe-17)"))[2]
    assert "jo-doe-17" not in text
    assert "What happened: ValueError" in text


def test_a_driver_error_behind_ours_is_told_in_our_words() -> None:
    try:
        try:
            raise ValueError("jo-doe-17")
        except ValueError as error:
            raise FatalError("The warehouse refuses the query.") from error
    except FatalError as error:
        text = describe_failure("export", TI, error)[2]
    assert "The warehouse refuses the query." in text
    assert "jo-doe-17" not in text


def test_a_killed_process_is_told_without_an_error(program: Any, webhook: Any) -> None:
    # As the DAG processor calls it when the task's process is gone: no exception, and an instance without a log.
    gone = SimpleNamespace(**{name: value for name, value in vars(TI).items() if name != "log_url"})
    FailureNotifier(program(WEBHOOK), "push")({"ti": gone})
    assert "ended without an error: killed" in webhook.bodies[0]["text"]


def test_dags_of_a_program_without_alerts_call_nobody(program: Any) -> None:
    with stage_dag(program(), "push", schedule=None, doc_md=None) as dag:
        task(lambda: None, task_id="nothing")()
    assert list(dag.tasks[0].on_failure_callback) == []
    assert not dag.deadline


def test_alerts_make_no_new_version_of_a_dag_at_each_parse(program: Any) -> None:
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import DagSerialization

    def parsed() -> str:
        with stage_dag(program(WEBHOOK), "push", schedule=None, doc_md=None) as dag:
            task(lambda: None, task_id="nothing")()
        return str(SerializedDagModel.hash(DagSerialization.to_dict(dag)))

    assert parsed() == parsed()
