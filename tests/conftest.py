"""Give every test process its own Airflow home before anything imports Airflow."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest

REPO = Path(__file__).resolve().parents[1]
_HOME = Path(tempfile.mkdtemp(prefix="recsync-airflow-"))

os.environ["AIRFLOW_HOME"] = str(_HOME)
os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{_HOME / 'airflow.db'}"
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(REPO / "dags")
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(REPO / "plugins")
os.environ["AIRFLOW__CORE__EXECUTOR"] = "LocalExecutor"
os.environ["AIRFLOW__RECSYNC__WAITER_DELAY_SECONDS"] = "1"
# A test must never reach a real account by accident.
os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
for name in [n for n in os.environ if n.startswith("AIRFLOW_CONN_") or n.startswith("AWS_ENDPOINT_URL")]:
    del os.environ[name]

# A task runs in a process of its own and makes few clients; here thousands share one, and each would parse the AWS
# service models anew: 0.1 s of its own for each client.
botocore.session.create_loader = cache(botocore.session.create_loader)  # type: ignore[attr-defined]


@pytest.fixture(scope="session", autouse=True)
def _plain_user_agent() -> None:
    """Spare each AWS client the search of the whole call stack for whose user agent it has: 0.1 s under pytest."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    AwsGenericHook._get_caller = lambda self, target_function_name="execute": "Unknown"  # type: ignore[method-assign]


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Begin with the tests of the whole stack: they wait the longest, and the others run beside them."""
    items.sort(key=lambda item: item.get_closest_marker("stack") is None)


@pytest.fixture
def no_record_content(row_content: re.Pattern[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail a test in which a log line, an error or an alert of recsync held an id or a value of a record.

    Yields the texts, so that more can be added.

    :param row_content: what the ids and values of the test's data look like; a fixture of the folder.
    """
    from recsync.alerts.message import Message
    from recsync.errors import DELIBERATE

    told: list[str] = []
    handle, make = logging.Logger.handle, Message.__init__

    def keep_record(logger: logging.Logger, record: logging.LogRecord) -> None:
        if not record.name.startswith(("werkzeug", "moto")):
            told.append(f"log of {record.name}: {record.getMessage()} {record.exc_text or ''}")
        handle(logger, record)

    def keep_error(error: Exception, *args: object) -> None:
        Exception.__init__(error, *args)
        told.append(f"{type(error).__name__}: {error}")

    def keep_message(message: Message, *args: Any, **kwargs: Any) -> None:
        make(message, *args, **kwargs)
        told.append(f"alert: {message.subject}: {message.text}")

    monkeypatch.setattr(logging.Logger, "handle", keep_record)
    monkeypatch.setattr(Message, "__init__", keep_message)
    for kind in DELIBERATE:
        monkeypatch.setattr(kind, "__init__", keep_error)
    yield told
    quoting = [text for text in told if row_content.search(text)]
    assert not quoting, quoting[:5]
