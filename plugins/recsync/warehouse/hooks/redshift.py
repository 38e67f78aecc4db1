"""Read Redshift: ``UNLOAD`` through the Data API, which needs no open connection and no password.

https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import cached_property

from airflow.providers.amazon.aws.hooks.redshift_data import RedshiftDataHook
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from airflow_personalize.refusals import is_permanent
from recsync.errors import FatalError, RecsyncError
from recsync.warehouse.column_types import ReturnedColumn
from recsync.warehouse.dialects import REDSHIFT
from recsync.warehouse.event_mapping import select_none
from recsync.warehouse.hooks.unload import Part, Unload, UnloadingWarehouse, redshift_unload

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
# DESCRIBE takes less than a second, UNLOAD up to hours.
_FIRST_POLL_SECONDS, _SLOWEST_POLL_SECONDS = 0.2, 5.0


class RedshiftWarehouse(UnloadingWarehouse):
    """Read a connection of type ``redshift``.

    ``schema`` is the database; ``extra`` needs ``iam_role`` and ``cluster_identifier`` or ``workgroup_name``, and can
    have ``db_user``, ``secret_arn``, ``region``, ``bucket_region`` and ``aws_conn_id``, the connection for the Data API
    (default: that of the bucket).
    """

    dialect = REDSHIFT
    permissions = "SELECT on what it reads, and its iam_role s3:PutObject on the bucket"

    def describe(self, query: str, *, name: str) -> list[ReturnedColumn]:
        statement_id = self._execute(select_none(query), name)
        self._wait(statement_id, name)
        with self._errors(name):
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
            aws_conn_id=self._data_conn_id,
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

    @property
    def _data_conn_id(self) -> str:
        return str(self.connection.extra_dejson.get("aws_conn_id") or self.aws_conn_id)

    @cached_property
    def hook(self) -> RedshiftDataHook:
        return RedshiftDataHook(
            aws_conn_id=self._data_conn_id, region_name=self.connection.extra_dejson.get("region")
        )

    def _execute(self, statement: str, name: str) -> str:
        extra = self.connection.extra_dejson
        cluster = extra.get("cluster_identifier")
        workgroup = extra.get("workgroup_name")
        if bool(cluster) == bool(workgroup):
            raise FatalError(
                f"Connection {self.conn_id} needs either cluster_identifier or workgroup_name in its extra."
            )
        with self._errors(name):
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
        pause, end = _FIRST_POLL_SECONDS, time.monotonic() + self.statement_timeout_seconds
        while True:
            with self._errors(name):
                answer = self.hook.conn.describe_statement(Id=statement_id)
            if answer["Status"] == _FINISHED:
                return int(answer.get("ResultRows", -1))
            if answer["Status"] in {_FAILED, _ABORTED}:
                raise self._unfinished(answer["Status"], answer.get("Error") or "no reason given", name)
            if time.monotonic() >= end:
                self.cancel_statement(statement_id)
                limit = f"{self.statement_timeout_seconds:g} seconds"
                raise self.failed(
                    name,
                    f"the statement had not ended after {limit} and was cancelled; statement_timeout_seconds in the "
                    "connection's extra is the limit",
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _SLOWEST_POLL_SECONDS)

    def _unfinished(self, status: str, text: str, name: str) -> RecsyncError:
        words = text.casefold()
        gone = self.was_described(name) and "does not exist" in words
        if status == _ABORTED or gone or any(word in words for word in _TEMPORARY_MESSAGES):
            return self.failed(name, f"statement {status}: {text}")
        return self.refused(name, text)

    @contextmanager
    def _errors(self, name: str) -> Generator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _TEMPORARY_CODES:
                raise self.failed(name, error) from None
            remedy = "Correct the connection, or give its AWS role the actions that docs/warehouse.md names."
            raise self.refused(name, error, remedy=remedy) from None
        except ParamValidationError as error:
            raise self.refused(name, error, remedy="Correct the connection.") from None
        except BotoCoreError as error:
            if is_permanent(error):
                remedy = f"Correct the connection {self._data_conn_id} (AIRFLOW_CONN_{self._data_conn_id.upper()})."
                raise self.refused(name, error, remedy=remedy) from None
            raise self.failed(name, error) from None
