"""Test the server process: restarts, the lock of the data folder, and Airflow's AWS hook as a client."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from personalize_local.server import Server
from personalize_local.service import Settings
from personalize_local.storage import FolderInUse

LOCAL = Path(__file__).resolve().parents[2] / "local"


def wait_for(world: Any, noun: str, arn: str, status: str) -> None:
    while world.describe(noun, arn)["status"] != status:
        time.sleep(0.01)


def test_jobs_killed_half_way_end_right_after_a_restart(
    start_process: Callable[..., Any],
    make_world: Callable[..., Any],
    checkerboard_csv: str,
    tmp_path: Path,
) -> None:
    process, url = start_process("--time-scale", "0")
    world = make_world(url)
    group = world.group()
    dataset = world.dataset(group)
    world.import_csv(dataset, checkerboard_csv)
    solution = world.solution(group)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0

    slow, url = start_process("--time-scale", "1")
    world = make_world(url)
    version = world.personalize.create_solution_version(solutionArn=solution)["solutionVersionArn"]
    job = world.start_import(dataset, world.put("restart.csv", checkerboard_csv), "INCREMENTAL")
    wait_for(world, "SolutionVersion", version, "CREATE IN_PROGRESS")
    slow.kill()
    slow.wait()
    (tmp_path / "models" / "half-written").mkdir()

    process, url = start_process("--time-scale", "0")
    world = make_world(url)
    assert world.wait("SolutionVersion", version)["status"] == "ACTIVE"
    assert world.wait("DatasetImportJob", job)["status"] == "ACTIVE"
    assert world.personalize.get_solution_metrics(solutionVersionArn=version)["metrics"]
    # Only what the state refers to is left: one model, and the two imports of the dataset.
    assert len(list((tmp_path / "models").iterdir())) == 1
    assert len(list((tmp_path / "datasets").iterdir())) == 2
    source = world.put("restart/users.json", '{"userId":"u1"}\n')
    batch = world.start_batch(version, source, f"s3://{world.bucket}/restart-out/")
    assert world.wait("BatchInferenceJob", batch)["status"] == "ACTIVE"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0


def test_deletes_and_stops_go_on_after_a_restart(
    start_server: Callable[..., Any],
    make_world: Callable[..., Any],
    checkerboard_csv: str,
) -> None:
    fast = start_server()
    world = make_world(fast.url)
    group, other = world.group(), world.group()
    world.import_csv(world.dataset(group), checkerboard_csv)
    solution = world.solution(group)
    fast.close()
    slow = start_server(time_scale=60)
    world = make_world(slow.url)
    version = world.personalize.create_solution_version(solutionArn=solution)["solutionVersionArn"]
    world.personalize.stop_solution_version_creation(solutionVersionArn=version)
    world.personalize.delete_dataset_group(datasetGroupArn=other)
    slow.close()
    world = make_world(start_server().url)
    assert world.wait("SolutionVersion", version)["status"] == "CREATE STOPPED"
    world.wait_gone(
        lambda: [
            g
            for g in world.personalize.list_dataset_groups()["datasetGroups"]
            if g["datasetGroupArn"] == other
        ]
    )
    assert world.describe("DatasetGroup", group)["status"] == "ACTIVE"


def test_two_servers_cannot_share_a_data_folder(start_server: Callable[..., Any], tmp_path: Path) -> None:
    start_server()
    with pytest.raises(FolderInUse, match="another personalize_local"):
        Server(Settings(tmp_path / "data"))


def test_a_port_in_use_is_a_plain_error(start_process: Callable[..., Any], tmp_path: Path) -> None:
    _, url = start_process()
    port = url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "personalize_local", "--port", port, "--data", str(tmp_path / "other")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(LOCAL), *sys.path])}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30, check=False)
    assert ended.returncode == 1
    assert "in use" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture
def hook(fast_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return Airflow's generic hook for Personalize, with a connection that names the server."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    connection = {
        "conn_type": "aws",
        "login": "test",
        "password": "test",
        "extra": {"region_name": "us-east-1", "endpoint_url": fast_server.url},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PERSONALIZE_TEST", json.dumps(connection))
    return AwsGenericHook(aws_conn_id="personalize_test", client_type="personalize")


def test_the_hook_reaches_the_server(hook: Any) -> None:
    recipes = hook.conn.list_recipes()["recipes"]
    assert "aws-user-personalization" in {recipe["name"] for recipe in recipes}


def test_the_async_client_reaches_the_server(hook: Any) -> None:
    async def describe() -> Any:
        async with await hook.get_async_conn() as client:
            arn = "arn:aws:personalize:us-east-1:000000000000:solution/none"
            try:
                await client.describe_solution(solutionArn=arn)
            except client.exceptions.ResourceNotFoundException as error:
                return error.response["Error"]["Message"]

    assert "solution/none" in asyncio.run(describe())
