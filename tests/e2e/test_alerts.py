"""What the stages themselves tell people, through a topic of Amazon SNS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from dag_runs import load_dag, serialise, states
from services import REGION
from shop import FULL_UNTIL, PROGRAM, Shop

ALERTS = """
checks: {drift: {min_exports: 1}}
alerts:
  - {via: sns, connection: aws_topics, to: ["%s"], events: [failure, drift]}
"""


@dataclass(frozen=True)
class Inbox:
    """A topic, and a queue that gets what is published there."""

    sqs: Any
    topic: str
    queue: str

    def take(self) -> list[dict[str, str]]:
        """Give subject and text of every new message."""
        found = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]


@pytest.fixture
def inbox(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """Subscribe to the shop's alerts."""
    aws = {"conn_type": "aws", "login": "test", "password": "test"}
    extra = {"region_name": REGION, "endpoint_url": shop.services.s3}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_TOPICS", json.dumps({**aws, "extra": extra}))
    sns, sqs = (_client(shop, name) for name in ("sns", "sqs"))
    topic = sns.create_topic(Name=shop.name)["TopicArn"]
    queue = sqs.create_queue(QueueName=shop.name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return Inbox(sqs, topic, queue)


def _client(shop: Shop, service: str) -> Any:
    import boto3

    return boto3.client(service, endpoint_url=shop.services.s3, region_name=REGION)


def export(shop: Shop, start: datetime) -> None:
    """Export the interactions of one hour."""
    from recsync.context import StageContext
    from recsync.export.dataset import export_dataset
    from recsync.program import DatasetType
    from recsync.program.intervals import Interval

    context, hour = StageContext.of(shop.name), Interval(start, start + timedelta(hours=1))
    key = context.keys.export(DatasetType.INTERACTIONS, hour.key)
    export_dataset(context, DatasetType.INTERACTIONS, hour, key)


def test_an_unusual_export_is_told_once_a_day_with_its_figures(shop: Shop, inbox: Inbox) -> None:
    shop.write_files(PROGRAM + ALERTS % inbox.topic)
    hour = FULL_UNTIL - timedelta(hours=1)
    export(shop, hour - timedelta(days=1))
    shop.add_orders([(f"c {n}", "p-1", hour + timedelta(minutes=1)) for n in range(59)])
    assert inbox.take() == []
    for _ in range(2):
        export(shop, hour)
    (message,) = inbox.take()
    assert message["Subject"] == f"[recsync] {shop.name}: the export of interactions is not as usual"
    assert "rows where" in message["Message"]
    assert f"/{shop.name}/exports/reports/interactions/" in message["Message"]


def test_an_export_that_fails_is_told_without_naming_anybody(
    shop: Shop, inbox: Inbox, run: Callable[..., Any]
) -> None:
    broken = 'SELECT customer AS user_id, customer::int AS item_id, 1 AS "timestamp" FROM shop.orders'
    shop.write_files(PROGRAM + ALERTS % inbox.topic, sql={"interactions": broken})
    failed = run(f"{shop.name}_export", logical_date=FULL_UNTIL)
    assert "failed" in states(failed).values()
    (message,) = inbox.take()
    assert message["Subject"] == f"[recsync] {shop.name}: export failed (export_interactions)"
    assert f"/dags/{shop.name}_export/runs/" in message["Message"]
    assert "'c 0'" not in message["Message"]
    assert "What happened: " in message["Message"]


def test_a_connection_that_is_not_there_fails_and_is_told_at_the_first_try(
    airflow_database: None, shop: Shop, inbox: Inbox
) -> None:
    shop.write_files(f"warehouse: nowhere\n{PROGRAM}{ALERTS % inbox.topic}")
    dag = load_dag(f"{shop.name}_export")
    assert {task.retries for task in dag.tasks} == {3}
    serialise(dag)
    ended = dag.test(logical_date=FULL_UNTIL)
    tries = {ti.task_id: ti.try_number for ti in ended.get_task_instances() if str(ti.state) == "failed"}
    assert set(tries.values()) == {1}
    told = [message["Message"] for message in inbox.take()]
    assert any("AIRFLOW_CONN_NOWHERE" in message and "names as warehouse" in message for message in told)
