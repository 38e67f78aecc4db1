"""A connection that is missing or cannot be read is named with its environment variable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recsync import settings
from recsync.errors import FatalError
from recsync.push.braze_hook import BrazeHook
from recsync.settings import connection
from recsync.warehouse.hooks import warehouse


def test_the_include_folder_is_the_settings_then_beside_the_dag_files_then_beside_the_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", raising=False)
    monkeypatch.setattr(settings, "_beside_dags", {})
    beside_plugins = Path(settings.__file__).resolve().parents[2] / "include"
    dag_file = str(tmp_path / "version" / "dags" / "export.py")
    settings.use_include_beside(dag_file)
    assert settings.include_folder() == beside_plugins, "there is none"
    (tmp_path / "version" / "include" / "programs").mkdir(parents=True)
    settings.use_include_beside(dag_file)
    assert settings.include_folder() == tmp_path / "version" / "include"
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", "/somewhere")
    assert settings.include_folder() == Path("/somewhere")


def test_a_connection_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", "postgres://u:p@db/shop")
    assert connection("shop_db", field="warehouse").host == "db"


def test_a_missing_connection_is_named_with_field_and_variable() -> None:
    with pytest.raises(
        FatalError, match=r"no Airflow connection nowhere.*names as warehouse.*AIRFLOW_CONN_NOWHERE"
    ):
        warehouse("nowhere")
    with pytest.raises(FatalError, match=r"names as braze\.connection.*AIRFLOW_CONN_NO_BRAZE"):
        BrazeHook("no_braze").client()


@pytest.mark.parametrize(
    "text", ['{"conn_type": "postgres", "password": "hush"', "postgres://u:hush@db:port/shop", "hush"]
)
def test_a_connection_that_cannot_be_read_is_named_without_its_text(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", text)
    with pytest.raises(FatalError, match=r"SHOP_DB|shop_db") as caught:
        warehouse("shop_db").columns("SELECT 1", name="x")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("executor", "broker", "setting", "url"),
    [
        ("CeleryExecutor", "redis://:pw@redis:6379/0", "", "redis://:pw@redis:6379/0"),
        (
            "LocalExecutor,CeleryExecutor",
            "rediss://redis/1?ssl_cert_reqs=CERT_NONE",
            "",
            "rediss://redis/1?ssl_cert_reqs=none",
        ),
        ("CeleryExecutor", "redis://one:6379/0;redis://two:6379/0", "", "redis://one:6379/0"),
        ("CeleryExecutor", "amqp://rabbit", "", None),
        ("LocalExecutor", "redis://:pw@redis:6379/0", "", None),
        ("CeleryExecutor", "redis://:pw@redis:6379/0", "off", None),
        ("LocalExecutor", "", "redis://other:6379/2", "redis://other:6379/2"),
        ("LocalExecutor", "", "pace_plain", "redis://:p%40ss@cache:6380/3"),
        ("LocalExecutor", "", "pace_tls", "rediss://who:p%40ss@cache:6379/0?ssl_cert_reqs=none"),
        ("LocalExecutor", "", "pace_missing", None),
    ],
)
def test_the_pace_is_shared_through_the_setting_or_the_broker(
    monkeypatch: pytest.MonkeyPatch, executor: str, broker: str, setting: str, url: str | None
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PACE_PLAIN", "redis://:p%40ss@cache:6380/3")
    tls = {"conn_type": "redis", "host": "cache", "login": "who", "password": "p@ss"}
    tls_extra = {"ssl": True, "ssl_cert_reqs": "none", "db": 0}
    monkeypatch.setenv("AIRFLOW_CONN_PACE_TLS", json.dumps({**tls, "extra": tls_extra}))
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", broker)
    monkeypatch.setenv("AIRFLOW__RECSYNC__PACE_REDIS_URL", setting)
    assert settings.pace_redis_url() == url
