"""Airflow's own AWS hook drives the server by `endpoint_url` alone, synchronously and for the triggerer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest


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
