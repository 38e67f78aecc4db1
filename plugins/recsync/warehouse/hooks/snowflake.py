"""Read Snowflake: ``COPY INTO`` a location on S3, through the Snowflake provider's hook.

https://docs.snowflake.com/en/sql-reference/sql/copy-into-location
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING

from recsync.errors import RetriableError
from recsync.warehouse.column_types import ReturnedColumn
from recsync.warehouse.dialects import SNOWFLAKE
from recsync.warehouse.hooks.dbapi import DbApiWarehouse
from recsync.warehouse.hooks.unload import Part, Unload, UnloadingWarehouse
from recsync.warehouse.unload_sql import snowflake_copy

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import Connection

# The columns of COPY INTO's result with DETAILED_OUTPUT. Without a file the result may be a summary: rows_unloaded, or
# a status alone.
_FILE_NAME, _FILE_SIZE, _ROWS_UNLOADED = "file_name", "file_size", "rows_unloaded"

# The driver's type codes.
# https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api#type-codes
_TYPE_NAMES = dict(
    enumerate((
        "fixed", "real", "text", "date", "timestamp", "variant", "timestamp_ltz", "timestamp_tz", "timestamp_ntz",
        "object", "array", "binary", "time", "boolean",
    ))
)  # fmt: skip


class SnowflakeWarehouse(UnloadingWarehouse):
    """Read a connection of type ``snowflake``; its ``extra`` needs ``storage_integration`` too.

    :param hook: default: the connection's own, which needs the Snowflake provider.
    """

    dialect = SNOWFLAKE
    permissions = "SELECT on what it reads, and USAGE on the storage integration"

    def __init__(
        self,
        connection: Connection,
        *,
        aws_conn_id: str = "aws_default",
        staging_uri: str | None = None,
        hook: DbApiHook | None = None,
    ) -> None:
        super().__init__(connection, aws_conn_id=aws_conn_id, staging_uri=staging_uri)
        self._hook = hook

    @cached_property
    def _rows(self) -> DbApiWarehouse:
        return DbApiWarehouse(self.connection, self._hook, type_names=_TYPE_NAMES)

    def describe(self, query: str, *, name: str) -> list[ReturnedColumn]:
        return self._rows.describe(query, name=name)

    def unload(self, query: str, *, uri: str, name: str, ordered: bool) -> Unload:
        """Run ``COPY INTO`` to its end."""
        integration = self.needed(
            "storage_integration", "name of the integration that may write to the bucket"
        )
        statement = snowflake_copy(
            query,
            f"{uri}rows.csv" if ordered else f"{uri}rows_",
            storage_integration=integration,
            ordered=ordered,
        )
        with (
            self._rows.errors(name),
            closing(self._rows.hook.get_conn()) as session,
            closing(session.cursor()) as cursor,
        ):
            cursor.execute(statement)
            names = [str(column[0]).casefold() for column in cursor.description]
            files = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        if any(_FILE_NAME not in file and int(file.get(_ROWS_UNLOADED) or 0) for file in files):
            raise RetriableError(
                f"The warehouse ({self.conn_id}) unloaded rows for {name} and named no file."
            )
        # The path is relative to varying places; its last part is the file's name.
        parts = tuple(
            (str(file[_FILE_NAME]).rpartition("/")[2], int(file[_FILE_SIZE]))
            for file in files
            if _FILE_NAME in file and int(file[_FILE_SIZE])
        )
        return Unload(uri, parts=parts)

    def parts(self, unload: Unload, *, name: str) -> Iterable[Part]:
        """Return the files that ``COPY INTO`` reported; exactly these must exist."""
        reported = dict(unload.parts)
        # An empty file has no rows, whether it is reported or not.
        found = [uri for uri, size_bytes in self.sizes(unload.uri).items() if size_bytes]
        if {uri.removeprefix(unload.uri) for uri in found} != set(reported):
            raise RetriableError(
                f"The warehouse ({self.conn_id}) unloaded {len(reported)} files for {name}, but {len(found)} others "
                f"are below {unload.uri}."
            )
        return [Part(uri, reported[uri.removeprefix(unload.uri)]) for uri in found]
