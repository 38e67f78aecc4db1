"""Choose how a warehouse is read, by the type of its connection."""

from __future__ import annotations

from recsync.connections import connection as airflow_connection
from recsync.warehouse.hooks.base import Warehouse


def warehouse(conn_id: str, *, aws_conn_id: str = "aws_default", staging_uri: str | None = None) -> Warehouse:
    """Open the warehouse behind an Airflow connection; nothing is connected to before the first query.

    :param aws_conn_id: connection that reaches the bucket into which Redshift and Snowflake unload.
    :param staging_uri: ``s3://bucket/prefix/`` below which they unload what ``open_csv`` and ``read`` give.
    """
    # Each warehouse brings its own client; a task loads only the one that it uses.
    connection = airflow_connection(conn_id, field="warehouse")
    if connection.conn_type in {"postgres", "postgresql"}:
        from recsync.warehouse.hooks.postgres import PostgresWarehouse

        return PostgresWarehouse(connection)
    if connection.conn_type == "duckdb":
        from recsync.warehouse.hooks.duckdb import DuckDbWarehouse

        return DuckDbWarehouse(connection)
    if connection.conn_type == "redshift":
        from recsync.warehouse.hooks.redshift import RedshiftWarehouse

        return RedshiftWarehouse(connection, aws_conn_id=aws_conn_id, staging_uri=staging_uri)
    if connection.conn_type == "snowflake":
        from recsync.warehouse.hooks.snowflake import SnowflakeWarehouse

        return SnowflakeWarehouse(connection, aws_conn_id=aws_conn_id, staging_uri=staging_uri)
    from recsync.warehouse.hooks.dbapi import DbApiWarehouse

    return DbApiWarehouse(connection)
