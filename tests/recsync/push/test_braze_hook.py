from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from braze_client.errors import BrazeSettingsError
from braze_client.rate_plan import RatePlan
from recsync.errors import FatalError
from recsync.push.braze_hook import BrazeHook

KEY = "secret-key-0123"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_connection(**fields: Any) -> BrazeHook:
        connection = {"conn_type": "braze", "host": "https://rest.test", "password": KEY, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_BRAZE_TEST", json.dumps(connection))
        return BrazeHook("braze_test")

    return set_connection


def test_the_extra_is_the_rate_plan(connect: Any) -> None:
    assert connect().rate_plan == RatePlan()
    hook = connect(extra={"max_objects": 50, "burst_requests": 60})
    assert hook.rate_plan == RatePlan(max_objects=50, burst_requests=60)
    assert hook.client().plan == hook.rate_plan


def test_a_wrong_extra_names_the_connection(connect: Any) -> None:
    with pytest.raises(BrazeSettingsError, match="Connection braze_test, extra: max_objects = 0"):
        _ = connect(extra={"max_objects": 0}).rate_plan


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"password": ""}, "has no password"),
        ({"password": f"{KEY}\n"}, "characters that no API key has"),
        ({"host": ""}, "has no host"),
        ({"host": "http://rest.test"}, "the API key would be sent unencrypted"),
        ({"host": "rest.test", "schema": "http"}, "the API key would be sent unencrypted"),
        ({"host": "http://127.0.0.1.example.com"}, "the API key would be sent unencrypted"),
    ],
)
def test_a_connection_that_lacks_something_says_so(connect: Any, fields: Any, complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint) as caught:
        connect(**fields).client()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "https://rest.test"},
        {"host": "rest.test"},
        {"host": "http://localhost:5002"},
        {"host": "http://127.8.0.1:5002"},
        {"host": "http://[::1]:5002"},
        {"host": "http://braze:5002", "extra": {"allow_http": True}},
    ],
)
def test_the_key_travels_encrypted_or_stays_on_the_machine(connect: Any, fields: Any) -> None:
    assert connect(**fields).client().plan == connect(**fields).rate_plan


def test_every_client_is_a_fresh_one(connect: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    hook = connect(host="127.0.0.1", schema="http", port=1, extra={"max_tries": 1})

    async def once() -> dict[str, int]:
        async with hook.client() as client:
            with pytest.raises(Exception, match="no clear answer"):
                await client.catalogs()
            return dict(client.answers)

    assert asyncio.run(once()) == {"no answer": 1}
    assert asyncio.run(once()) == {"no answer": 1}
    assert hook.get_conn() is not hook.client()
