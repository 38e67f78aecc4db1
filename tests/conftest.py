"""Give every test process its own Airflow home before anything imports Airflow."""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.hooks
import botocore.session
import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import moto_in_process

# The first example of a test may import pandas or wait for a busy processor: no test is about time.
hypothesis.settings.register_profile("recsync", deadline=None)
hypothesis.settings.load_profile("recsync")

REPO = Path(__file__).resolve().parents[1]
_HOME = Path(tempfile.mkdtemp(prefix="recsync-airflow-"))

os.environ["AIRFLOW_HOME"] = str(_HOME)
os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{_HOME / 'airflow.db'}"
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
# Empty: dag.test() parses and serialises the whole folder before each run, which takes as long as ten tasks.
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(_HOME / "dags")
(_HOME / "dags").mkdir()
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(REPO / "plugins")
os.environ["AIRFLOW__CORE__EXECUTOR"] = "LocalExecutor"
os.environ["AIRFLOW__RECSYNC__WAITER_DELAY_SECONDS"] = "1"
# A test must never reach a real account by accident.
os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
for name in [n for n in os.environ if n.startswith("AIRFLOW_CONN_") or n.startswith("AWS_ENDPOINT_URL")]:
    del os.environ[name]

# A task runs in a process of its own and makes few clients; here thousands share one, and each would parse the AWS
# service models anew (0.1 s of CPU), and find out the same of the same event names and handlers (8 of the other 18 ms).
botocore.session.create_loader = cache(botocore.session.create_loader)  # type: ignore[attr-defined]
botocore.hooks.accepts_kwargs = cache(botocore.hooks.accepts_kwargs)  # type: ignore[attr-defined]
_alias_event_name = botocore.hooks.EventAliaser._alias_event_name
_ALIASES: dict[str, str] = {}


def _alias_once(aliaser: botocore.hooks.EventAliaser, event_name: str) -> str:
    # All aliasers have the same aliases.
    if event_name not in _ALIASES:
        _ALIASES[event_name] = _alias_event_name(aliaser, event_name)
    return _ALIASES[event_name]


botocore.hooks.EventAliaser._alias_event_name = _alias_once
moto_in_process.install()


# Moto's server logs each request, through Airflow's structlog.
logging.getLogger("werkzeug").setLevel(logging.WARNING)
# A test makes many objects among a million of the imported modules: look for garbage less often, and not among those.
# It takes a tenth of a delivery's CPU otherwise.
gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def _plain_user_agent() -> None:
    """Spare each AWS client the search of the whole call stack for whose user agent it has: 0.1 s under pytest."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    AwsGenericHook._get_caller = lambda self, target_function_name="execute": "Unknown"  # type: ignore[method-assign]


def pytest_collection_finish() -> None:
    """Leave the imported modules out of later searches for garbage."""
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the interpreter free its modules in order."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _shared_clients() -> None:
    """Let the hooks of equal connections share a client: making one takes as long as five requests."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    make, made = AwsGenericHook.get_client_type, {}

    def get_client(hook: Any, region_name: Any = None, config: Any = None, deferrable: bool = False) -> Any:
        connection = os.environ.get(f"AIRFLOW_CONN_{(hook.aws_conn_id or '').upper()}")
        if deferrable or not connection:
            return make(hook, region_name, config, deferrable)
        settings = hook._get_config(config)
        options = repr(settings and sorted(settings._user_provided_options.items()))
        surroundings = sorted((n, text) for n, text in os.environ.items() if n.startswith("AWS_"))
        key = (hook.client_type, connection, region_name, options, str(hook.verify), repr(surroundings))
        if key not in made:
            made[key] = make(hook, region_name, config)
        return made[key]

    AwsGenericHook.get_client_type = get_client  # type: ignore[method-assign]


# The longest files of tests/ by `pytest --durations`, outside those that need a stack: 15 s and more on two busy cores.
# One that begins last has the machine to itself, while the other workers are done.
LONGEST_FILES = (
    "e2e/test_evaluation.py",
    "e2e/test_recipes.py",
    "e2e/test_hourly_path.py",
    "e2e/test_late_events.py",
    "e2e/test_checkerboard.py",
    "e2e/test_retire.py",
    "e2e/test_costs.py",
    "e2e/test_experiment.py",
    "fault_matrix/test_fault_matrix.py",
    "stack/commands/test_new.py",
    "recsync/push/test_delivery_identifiers.py",
    "recsync/push/test_closing.py",
    "recsync/push/test_delivery_faults.py",
    "recsync/push/test_experiment_month.py",
    "personalize_local/test_server.py",
    "recsync/export/checks/test_profile.py",
    "recsync/push/test_accounts.py",
    "recsync/maintain/test_run.py",
    "deployment/test_image.py",
    "recommendations/test___main__.py",
    "personalize_local/real_time/test_streams.py",
    "docs/test_site.py",
    "personalize_local/engine/test_base.py",
    "warehouse_local/test_sample.py",
    "recsync/push/test_delivery_logs.py",
    "personalize_local/jobs/test_batch.py",
    "recsync/push/test_plan_files.py",
)


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Begin with the longest files, or one worker would still be at them when the others are done; skip long tests."""
    if not os.environ.get("RECSYNC_LONG_TESTS"):
        for item in items:
            if mark := item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason=mark.kwargs["reason"]))
    places = {REPO / "tests" / name: place for place, name in enumerate(LONGEST_FILES)}
    assert all(path.exists() for path in places), "LONGEST_FILES names a file that is not there"
    items.sort(
        key=lambda item: (
            item.get_closest_marker("stack") is None,
            "e2e" not in item.path.parts,
            places.get(item.path, len(places)),
        )
    )


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
