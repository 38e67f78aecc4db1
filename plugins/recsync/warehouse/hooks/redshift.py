"""Read Redshift: ``UNLOAD`` through the Data API, which needs no open connection and no password.

https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from airflow.providers.amazon.aws.hooks.redshift_data import RedshiftDataHook
from botocore.exceptions import BotoCoreError, ClientError

from recsync.errors import FatalError, RecsyncError
from recsync.warehouse.column_types import ReturnedColumn
from recsync.warehouse.dialects import REDSHIFT
from recsync.warehouse.event_mapping import select_none
from recsync.warehouse.hooks.unload import Part, Unload, UnloadingWarehouse
from recsync.warehouse.unload_sql import redshift_unload

# Temporary errors of the Data API.
# https://docs.aws.amazon.com/redshift-data/latest/APIReference/API_ExecuteStatement.html#API_ExecuteStatement_Errors
_TEMPORARY_CODES = frozenset({
    "ActiveSessionsExceededException", "ActiveStatementsExceededException", "DatabaseConnectionException",
    "ExecuteStatementException", "InternalServerException", "ThrottlingException", "TooManyRequestsException",
})  # fmt: skip
# Temporary errors of Redshift, which the Data API reports without a SQLSTATE.
_TEMPORARY_MESSAGES = (
    "serializable isolation", "disk full", "out of memory", "timeout", "timed out", "canceled", "cancelled", "aborted",
    "connection reset", "connection refused", "connection lost", "slowdown", "slow down", "internalerror",
    "serviceunavailable", "restart", "could not open relation",
)  # fmt: skip
_FINISHED, _FAILED, _ABORTED = "FINISHED", "FAILED", "ABORTED"
_ENDED = frozenset({_FINISHED, _FAILED, _ABORTED})


class RedshiftWarehouse(UnloadingWarehouse):
    """Read a connection of type ``redshift``.

    ``schema`` is the database; ``extra`` needs ``iam_role`` and ``cluster_identifier`` or ``workgroup_name``, and can
    have ``db_user``, ``secret_arn``, ``region``, ``bucket_region`` and ``aws_conn_id``, the connection for the Data API
    (default: that of the bucket).
    """

    dialect = REDSHIFT
    permissions = "SELECT on what it reads, and its iam_role s3:PutObject on the bucket"
    temporary_codes = _TEMPORARY_CODES

    def describe(self, query: str, *, name: str) -> list[ReturnedColumn]:
        statement_id = self._execute(select_none(query), name)
        self._wait(statement_id, name)
        with self.aws_errors(name):
            metadata = self.hook.conn.get_statement_result(Id=statement_id)["ColumnMetadata"]
        return [
            ReturnedColumn.of(
                column.get("label") or column["name"], column.get("typeName", ""), column.get("scale")
            )
            for column in metadata
        ]

    def unload(self, query: str, *, uri: str, name: str, ordered: bool) -> Unload:
        extra = self.connection.extra_dejson
        role = self.needed("iam_role", "ARN of the role that Redshift assumes to write to S3, or default")
        statement = redshift_unload(
            query, uri, iam_role=role, ordered=ordered, region=extra.get("bucket_region")
        )
        statement_id = self._execute(statement, name)
        return Unload(
            uri,
            statement_id,
            aws_conn_id=self.api_conn_id,
            region_name=extra.get("region"),
            timeout_seconds=self.statement_timeout_seconds,
        )

    def parts(self, unload: Unload, *, name: str) -> Iterable[Part]:
        """Wait for ``UNLOAD`` and read its manifest; without rows it writes neither a manifest nor parts."""
        rows = self._wait(str(unload.statement_id), name)
        if rows <= 0 and not self.sizes(unload.uri):
            return []
        manifest = self.get_json(f"{unload.uri}manifest")
        entries = sorted(manifest["entries"], key=lambda entry: str(entry["url"]))
        return [Part(entry["url"], entry.get("meta", {}).get("content_length")) for entry in entries]

    def cancel(self, unload: Unload) -> None:
        self.cancel_statement(str(unload.statement_id))

    def cancel_statement(self, statement_id: str) -> None:
        """Cancel a statement, if it still runs."""
        try:
            self.hook.conn.cancel_statement(Id=statement_id)
        except (ClientError, BotoCoreError) as error:
            self.hook.log.info("Statement %s was not cancelled: %s", statement_id, error)

    @cached_property
    def hook(self) -> RedshiftDataHook:
        return RedshiftDataHook(
            aws_conn_id=self.api_conn_id, region_name=self.connection.extra_dejson.get("region")
        )

    def _execute(self, statement: str, name: str) -> str:
        extra = self.connection.extra_dejson
        cluster = extra.get("cluster_identifier")
        workgroup = extra.get("workgroup_name")
        if bool(cluster) == bool(workgroup):
            raise FatalError(
                f"Connection {self.conn_id} needs either cluster_identifier or workgroup_name in its extra."
            )
        with self.aws_errors(name):
            output = self.hook.execute_query(
                statement,
                database=self.connection.schema or extra.get("database") or "dev",
                cluster_identifier=cluster,
                workgroup_name=workgroup,
                db_user=extra.get("db_user") or (self.connection.login if cluster else None),
                secret_arn=extra.get("secret_arn"),
                statement_name=f"recsync {name}",
                wait_for_completion=False,
            )
        return str(output.statement_id)

    def _wait(self, statement_id: str, name: str) -> int:
        """Wait for a statement and return its number of rows; -1 when unknown."""

        def ended() -> dict[str, Any] | None:
            with self.aws_errors(name):
                found: dict[str, Any] = self.hook.conn.describe_statement(Id=statement_id)
            return found if found["Status"] in _ENDED else None

        answer = self.poll(ended, cancel=lambda: self.cancel_statement(statement_id), name=name)
        if answer["Status"] == _FINISHED:
            return int(answer.get("ResultRows", -1))
        raise self._unfinished(answer["Status"], answer.get("Error") or "no reason given", name)

    def _unfinished(self, status: str, text: str, name: str) -> RecsyncError:
        words = text.casefold()
        gone = self.was_described(name) and "does not exist" in words
        if status == _ABORTED or gone or any(word in words for word in _TEMPORARY_MESSAGES):
            return self.failed(name, f"statement {status}: {text}")
        return self.refused(name, text)
