from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from small_shop import SmallShop
from stage_shop import ROLE_ARN

sys.path.insert(0, str(Path(__file__).parents[1] / "push"))
from kit import Servers, servers

from recsync.errors import RetriableError
from recsync.forget import tasks
from recsync.forget.batch import read_batch
from recsync.forget.request import request_erasure

ARN = "arn:aws:personalize:us-east-1:123456789012:data-deletion-job/shop-forget"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with servers(tmp_path_factory.mktemp("forget")) as started:
        yield started


@pytest.fixture
def braze(running: Servers, small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """A Braze that knows two people with recsync's attribute and another one."""
    connection = {"conn_type": "braze", "host": running.braze, "password": running.key}
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", json.dumps(connection))
    monkeypatch.setattr(tasks, "_SECONDS_BETWEEN_LOOKS", 0.1)
    running.control("PATCH", "settings", json={"apply_delay_seconds": 0.1})
    people = [{"external_id": who, "recs": ["i1"], "color": "red"} for who in ("ann", "bob")]
    headers = {"Authorization": f"Bearer {running.key}"}
    answer = requests.post(
        f"{running.braze}/users/track", json={"attributes": people}, headers=headers, timeout=30
    )
    answer.raise_for_status()
    assert running.profiles().keys() >= {"ann", "bob"}
    return running


def forget(shop: SmallShop, mode: str, external_id: str = "ann") -> dict[str, Any]:
    shop.write_program(erasure={"braze": mode})
    name = request_erasure("shop", "u-ann", external_id=external_id)
    result = tasks.forget_in_braze("shop", name)
    assert read_batch("shop", name).steps() == {"braze": result}
    return result


def test_the_profile_is_deleted(small_shop: SmallShop, braze: Servers) -> None:
    assert forget(small_shop, "profile") == {"mode": "profile", "profiles": 1, "gone": True}
    assert braze.profiles() == {"bob": {"recs": ["i1"], "color": "red"}}


def test_only_recsyncs_attributes_are_removed(small_shop: SmallShop, braze: Servers) -> None:
    assert forget(small_shop, "attributes") == {"mode": "attributes", "profiles": 1, "gone": True}
    assert braze.profiles()["ann"] == {"color": "red"}
    assert braze.profiles()["bob"] == {"recs": ["i1"], "color": "red"}


def test_nobody_is_created_by_the_removal_of_attributes(small_shop: SmallShop, braze: Servers) -> None:
    assert forget(small_shop, "attributes", "unknown")["gone"]
    assert "unknown" not in braze.profiles()


def test_braze_is_left_alone_when_the_program_says_so(small_shop: SmallShop, braze: Servers) -> None:
    assert forget(small_shop, "nothing") == {"mode": "nothing", "profiles": 1, "gone": None}
    assert braze.profiles()["ann"] == {"recs": ["i1"], "color": "red"}


def test_a_profile_that_braze_still_shows_is_retried(small_shop: SmallShop, braze: Servers) -> None:
    braze.control("PATCH", "settings", json={"apply_delay_seconds": 600})
    with pytest.raises(RetriableError, match="Braze accepted the deletion and still shows the profile"):
        forget(small_shop, "profile")
    assert "ann" not in braze.profiles()  # it applies what is pending


def test_the_deletion_job_reads_the_one_user(small_shop: SmallShop, local_personalize: Any) -> None:
    """In the dialect of Amazon Personalize, which marks quotes with a backslash."""
    name = request_erasure("shop", 'ann, "7"\\')
    assert tasks.deletion_job("shop", name, "run-1") is None
    group = local_personalize.create_dataset_group(name="shop")["datasetGroupArn"]
    job = tasks.deletion_job("shop", name, "run-1")
    assert job is not None
    key = read_batch("shop", name).input_key
    assert small_shop.context.bucket.get(key) == b'USER_ID\n"ann, \\"7\\"\\\\"\n'
    assert (job["dataset_group_arn"], job["location"]) == (group, small_shop.context.bucket.uri(key))
    assert job["role_arn"] == ROLE_ARN
    again, other = tasks.deletion_job("shop", name, "run-1"), tasks.deletion_job("shop", name, "run-2")
    assert again == job
    assert other is not None
    assert other["job"] != job["job"]


def test_the_result_of_the_job_is_recorded(small_shop: SmallShop, aws_json_server: Any) -> None:
    job = {"jobName": "shop-forget", "dataDeletionJobArn": ARN, "numDeleted": 3}
    aws_json_server.on("DescribeDataDeletionJob", {"dataDeletionJob": job})
    name = request_erasure("shop", "u1")
    tasks.record_deletion_job("shop", name, ARN)
    assert aws_json_server.requests("DescribeDataDeletionJob") == [{"dataDeletionJobArn": ARN}]
    assert read_batch("shop", name).steps() == {"personalize": {"job": "shop-forget", "deleted": 3}}
