"""What a run reads (audience, catalogue, purchases, seeds, outcomes) is the same from every warehouse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pyarrow.parquet as pq
import pytest
from engines import AthenaApi, BigQueryServer, RedshiftApi, SnowflakeDriver, TrinoServer, google_clients

from recsync.context import StageContext
from recsync.lift.outcomes import read_outcomes
from recsync.program.intervals import Interval
from recsync.recommend.job_inputs import _rows, _write_pairs
from recsync.recommend.list_inputs import query_catalog, read_audience, read_purchases
from recsync.warehouse.hooks import Warehouse
from recsync.warehouse.hooks.bigquery import BigQueryWarehouse
from recsync.warehouse.hooks.snowflake import SnowflakeWarehouse

MOMENT = datetime(2026, 11, 22, 6, tzinfo=UTC)
SECOND = int(MOMENT.timestamp())
PEOPLE = [(f"u{n:02d}", f"e{n:02d}") for n in range(23)]
PRODUCTS = [(f"i{n:02d}", 'a "b", c' if n == 3 else f"title {n}", n + 1) for n in range(17)]
SALES = [(f"u{n % 23:02d}", f"i{n % 17:02d}", SECOND - n * 600) for n in range(200)]
TABLES = {
    "people": ("user_id VARCHAR, external_id VARCHAR", PEOPLE),
    "products": ("item_id VARCHAR, title VARCHAR, price INTEGER", PRODUCTS),
    "sales": ("user_id VARCHAR, item_id VARCHAR, sold_at BIGINT", SALES),
}
IN_TIME = "sold_at >= {{ data_interval_start_epoch }} AND sold_at < {{ data_interval_end_epoch }}"
QUERIES = {
    "audience": "SELECT user_id, external_id FROM people",
    "catalogue": "SELECT item_id, title, price FROM products",
    "interactions": f"SELECT user_id, item_id, 'buy' AS event_type, sold_at AS timestamp FROM sales WHERE {IN_TIME}",
    "seeds": "SELECT user_id, item_id FROM sales ORDER BY sold_at DESC, user_id, item_id",
    "segments": "SELECT item_id FROM products ORDER BY price DESC",
    "outcomes": f"SELECT user_id, sold_at AS timestamp, item_id FROM sales WHERE {IN_TIME}",
    "nothing": "SELECT user_id, item_id FROM sales WHERE sold_at < 0",
}
CONNECTIONS: dict[str, dict[str, Any]] = {
    "redshift": {"schema": "shop", "extra": {"workgroup_name": "shop", "iam_role": "default"}},
    "snowflake": {"host": "account", "extra": {"storage_integration": "exports"}},
    "athena": {"schema": "shop"},
    "gcpbigquery": {},
    "trino": {"host": "127.0.0.1", "login": "reader"},
}


def fill(database: duckdb.DuckDBPyConnection) -> None:
    for table, (columns, rows) in TABLES.items():
        database.execute(f"CREATE TABLE {table} ({columns})")
        database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


@pytest.fixture
def context(stage_shop: Any) -> StageContext:
    for name, query in QUERIES.items():
        (stage_shop.include / "sql" / "shop" / f"{name}.sql").write_text(query)
    rules = {"not_bought_in_days": 1}
    found: StageContext = stage_shop.write(
        braze={
            "attribute": "recs",
            "catalog": {"name": "shop", "fields": {"title": "string", "price": "number"}},
        },
        recommendations={"rules": rules},
    )
    return found


def read(context: StageContext, folder: Path) -> dict[str, Any]:
    """Read all that a run reads; tables whose order does not count are sorted."""
    folder.mkdir()
    found: dict[str, Any] = {"people": read_audience(context, MOMENT, folder / "audience")}
    catalog = query_catalog(context, MOMENT)
    found["catalog"] = catalog.table
    read_purchases(context, MOMENT, folder / "purchases", context.program.recommendations, catalog)
    read_outcomes(context, Interval(MOMENT - timedelta(hours=1), MOMENT), folder / "outcomes")
    for query in ("seeds", "nothing"):
        _write_pairs(context, f"shop/{query}.sql", MOMENT, folder / query)
    found["segments"] = _rows(context, "shop/segments.sql", MOMENT, ["item_id"])
    for name in ("audience", "purchases", "outcomes", "seeds", "nothing"):
        table = pq.read_table(folder / name)
        in_order = name in {"audience", "seeds"}
        found[name] = (
            table if in_order else table.sort_by([(column, "ascending") for column in table.schema.names])
        )
    return found


@pytest.fixture
def engine(
    request: pytest.FixtureRequest, context: StageContext, aws_json_server: Any, s3_url: str
) -> Iterator[Any]:
    s3 = boto3.client("s3", endpoint_url=s3_url, region_name="us-east-1")
    made: dict[str, Callable[[], Any]] = {
        "redshift": lambda: RedshiftApi(aws_json_server, s3),
        "athena": lambda: AthenaApi(aws_json_server, s3),
        "snowflake": lambda: SnowflakeDriver(s3),
        "trino": TrinoServer,
        "gcpbigquery": BigQueryServer,
    }
    found = made[request.param]()
    fill(found.database)
    yield found
    if isinstance(found, TrinoServer | BigQueryServer):
        found.close()


def opened(kind: str, engine: Any, connection: Any, context: StageContext) -> Warehouse:
    """Open the warehouse; those whose client is given to them are not opened by the program."""
    if kind == "snowflake":
        staging = context.bucket.uri(context.keys.staged_reads)
        return SnowflakeWarehouse(connection, staging_uri=staging, hook=engine)
    if kind == "gcpbigquery":
        return BigQueryWarehouse(connection, clients=google_clients(engine))
    return context.warehouse()


@pytest.mark.parametrize(("kind", "engine"), [(kind, kind) for kind in CONNECTIONS], indirect=["engine"])
def test_every_warehouse_gives_what_duckdb_gives(
    kind: str,
    engine: Any,
    context: StageContext,
    connect: Any,
    database_file: Path,
    aws_json_server: Any,
    s3_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with duckdb.connect(str(database_file)) as database:
        fill(database)
    connect(conn_type="duckdb", host=str(database_file))
    expected = read(context, tmp_path / "duckdb")
    bucket = context.bucket

    services = {name: {"endpoint_url": aws_json_server.url} for name in ("redshift-data", "athena")}
    extra = {"region_name": "us-east-1", "service_config": {**services, "s3": {"endpoint_url": s3_url}}}
    fields = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(fields))
    port = {"port": engine.http.port} if kind == "trino" else {}
    source = opened(kind, engine, connect(conn_type=kind, **CONNECTIONS[kind], **port), context)
    monkeypatch.setattr(StageContext, "warehouse", lambda _: source)
    found = read(context, tmp_path / kind)

    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        assert found[name] == rows, name
    assert (expected["people"], expected["nothing"].num_rows) == (len(PEOPLE), 0)
    assert (expected["seeds"].num_rows, len(expected["segments"])) == (len(SALES), len(PRODUCTS))
    assert list(bucket.keys(context.keys.staged_reads)) == []
    if kind == "redshift":
        # The Data API only describes queries without rows; a row of its results would be seen above.
        described = [engine.texts[body["Id"]] for body in aws_json_server.requests("GetStatementResult")]
        assert described
        assert all(text.endswith("WHERE 1 = 0") for text in described)
