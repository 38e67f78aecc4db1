"""Tables loaded back: PostgreSQL really (``RECSYNC_LONG_TESTS=1``), the other warehouses as statements that parse."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import sqlglot
from airflow.dag_processing.dagbag import DagBag
from table_kit import MadeKit

from recsync.tables.build import write_rows
from recsync.tables.ddl import DIALECTS, TableLocation
from recsync.tables.load import load, statements, statements_before
from recsync.tables.schema import ACCOUNTS, TABLES, VERSIONS
from recsync.tables.store import TableStore
from warehouse_local.server import EmbeddedServer, running

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "load_tables"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
DAYS = [date(2026, 1, 1), date(2026, 1, 2)]
ON_POSTGRES = pytest.mark.skipif(not os.environ.get("RECSYNC_LONG_TESTS"), reason="starts a PostgreSQL")
MOMENT = datetime(2026, 1, 1, 6, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    embedded = EmbeddedServer(folder / "data", port, secrets.token_hex(8))
    with running(embedded, log=folder / "log"):
        yield embedded


@pytest.fixture
def filled(made_kit: MadeKit, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> MadeKit:
    """Store two days of accounts, one of them in two objects, and a version."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", server.dsn())
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS recsync CASCADE")
        connection.execute("CREATE SCHEMA recsync")
    put(made_kit, DAYS[0], "d1", ["a", 'with "quotes", commas\nand lines', ""])
    put(made_kit, DAYS[0], "d2", ["c"])
    put(made_kit, DAYS[1], "d3", ["d"])
    row = {"program": made_kit.kit.name, "is_champion": True, "metric_value": 0.1, "evaluated_at": MOMENT}
    write_rows(VERSIONS, [row], made_kit.folder.parent / "x.parquet")
    made_kit.kit.context.store(TableStore).put(VERSIONS, DAYS[0], "v", made_kit.folder.parent / "x.parquet")
    return made_kit


def put(kit: MadeKit, day: date, delivery: str, reasons: list[str]) -> None:
    rows = [
        {"program": kit.kit.name, "delivery": delivery, "external_id": f"b{n}", "reason": reason,
         "planned_at": MOMENT, "data_points": n}
        for n, reason in enumerate(reasons)
    ]  # fmt: skip
    path = kit.folder.parent / "x.parquet"
    write_rows(ACCOUNTS, rows, path)
    kit.kit.context.store(TableStore).put(ACCOUNTS, day, delivery, path)


def loaded(kit: MadeKit, table: str = "accounts", since: datetime = LONG_AGO) -> dict[str, int]:
    return load(
        kit.kit.name, table, connection="warehouse", schema="recsync", dialect="postgres", changed_since=since
    )


@ON_POSTGRES
def test_postgres_holds_the_rows_of_the_objects_however_often_they_are_loaded(
    filled: MadeKit, server: EmbeddedServer
) -> None:
    assert loaded(filled) == loaded(filled) == {"days": 2, "rows": 5}
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        rows = connection.execute(
            "SELECT date, delivery, reason, data_points, planned_at, user_id FROM recsync.accounts ORDER BY 2, 4"
        ).fetchall()
        assert [row[:4] for row in rows] == [
            (DAYS[0], "d1", "a", 0),
            (DAYS[0], "d1", 'with "quotes", commas\nand lines', 1),
            (DAYS[0], "d1", "", 2),
            (DAYS[0], "d2", "c", 0),
            (DAYS[1], "d3", "d", 0),
        ]
        assert {row[4:] for row in rows} == {(MOMENT, None)}
        assert loaded(filled, "versions") == {"days": 1, "rows": 1}
        assert loaded(filled, "costs") == {"days": 0, "rows": 0}
        versions = connection.execute("SELECT is_champion, metric_value, evaluated_at FROM recsync.versions")
        assert versions.fetchall() == [(True, 0.1, MOMENT)]


@ON_POSTGRES
def test_a_day_that_was_written_again_replaces_the_former_one_and_another_program_stays(
    filled: MadeKit, server: EmbeddedServer
) -> None:
    loaded(filled)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("INSERT INTO recsync.accounts (program, date) VALUES ('other', '2026-01-01')")
        put(filled, DAYS[0], "d1", ["only this"])
        assert loaded(filled, since=datetime.now(UTC) + timedelta(hours=1)) == {"days": 0, "rows": 0}
        assert loaded(filled)["rows"] == 3
        found = connection.execute(
            "SELECT program, delivery FROM recsync.accounts ORDER BY 2 NULLS FIRST"
        ).fetchall()
    name = filled.kit.name
    assert found == [("other", None), (name, "d1"), (name, "d2"), (name, "d3")]


@ON_POSTGRES
def test_a_load_that_fails_leaves_the_day_as_it_was(
    filled: MadeKit, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(filled)
    key = filled.keys("accounts")[1]
    filled.kit.context.bucket.put(key, b"no parquet")
    with pytest.raises(Exception, match="Parquet"):
        loaded(filled)
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT count(*) FROM recsync.accounts").fetchone() == (5,)


@pytest.mark.parametrize("dialect", ["redshift_spectrum", "snowflake", "bigquery", "duckdb"])
def test_the_statements_of_other_warehouses_parse(dialect: str) -> None:
    location = TableLocation.of("my-shop", "bucket")
    for table in TABLES.values():
        found = "\n;".join(statements(location, table, dialect, "recsync", "my-shop", DAYS[0]))
        kinds = [
            type(each).__name__ for each in sqlglot.parse(found, dialect=DIALECTS[dialect].sqlglot) if each
        ]
        assert [kind for kind in kinds if kind not in {"Transaction", "Commit"}] == ["Delete", "Insert"]
        assert (kinds[0], kinds[-1]) == ("Transaction", "Commit") or dialect != "bigquery"
    before = statements_before(location, ACCOUNTS, dialect, DAYS)
    assert len(before) == {"redshift_spectrum": 2, "snowflake": 1}.get(dialect, 0)


def test_the_example_is_a_dag_that_loads_every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    bag = DagBag(EXAMPLE)
    assert bag.import_errors == {}
    dag = bag.dags["grocery_load_tables"]
    assert set(dag.task_ids) == set(TABLES)
    assert dag.doc_md
    assert all(task.retries >= 1 for task in dag.tasks)
