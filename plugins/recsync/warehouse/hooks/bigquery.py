"""Read BigQuery: run a query job and stream its result as Arrow batches through the Storage Read API.

https://cloud.google.com/bigquery/docs/reference/storage
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from recsync.errors import RecsyncError
from recsync.warehouse.arrow_text import as_texts
from recsync.warehouse.column_types import ReturnedColumn
from recsync.warehouse.dialects import BIGQUERY, Dialect
from recsync.warehouse.hooks.base import ArrowWarehouse
from recsync.warehouse.hooks.dbapi import provider_hook

if TYPE_CHECKING:
    from airflow.sdk import Connection

# Blocks of the service have up to some MB. Two streams keep one processor busy, and a short queue bounds memory.
_STREAMS, _QUEUED_BLOCKS = 2, 4
# Quotas, cancellations, and errors of the service; other errors are about the query or a permission.
# https://cloud.google.com/bigquery/docs/error-messages
_TEMPORARY_REASONS = frozenset({
    "backendError", "internalError", "quotaExceeded", "rateLimitExceeded", "resourcesExceeded", "stopped",
    "tableUnavailable", "jobBackendError", "jobInternalError", "jobRateLimitExceeded", "timeout",
})  # fmt: skip
_TOO_MANY, _SERVER_ERRORS = 429, 500


@dataclass(frozen=True)
class Clients:
    """Google's clients.

    :param jobs: ``google.cloud.bigquery.Client``.
    :param storage: ``google.cloud.bigquery_storage.BigQueryReadClient``.
    """

    jobs: Any
    storage: Any


class BigQueryWarehouse(ArrowWarehouse):
    """Read a connection of type ``gcpbigquery``, through the Google provider's hook.

    :param clients: default: those of the connection.
    """

    permissions = (
        "roles/bigquery.jobUser and roles/bigquery.readSessionUser on the project, and roles/bigquery.dataViewer on "
        "the datasets it reads"
    )

    def __init__(self, connection: Connection, *, clients: Clients | None = None, **staging: Any) -> None:
        super().__init__(connection, **staging)
        self._given = clients

    @property
    def dialect(self) -> Dialect:  # type: ignore[override] # a constant elsewhere
        """The dialect; tables are listed for one location, that of the connection or the US."""
        location = self.connection.extra_dejson.get("location") or "us"
        tables = (
            "SELECT table_schema AS schema_name, table_name AS table_name FROM "
            f"{BIGQUERY.quoted(f'region-{location.lower()}')}.INFORMATION_SCHEMA.TABLES"
        )
        return replace(BIGQUERY, tables=tables)

    @cached_property
    def _clients(self) -> Clients:
        if self._given is not None:
            return self._given
        hook = provider_hook(self.connection)
        from google.cloud.bigquery_storage import BigQueryReadClient

        credentials = hook.get_credentials()
        jobs = hook.get_client(project_id=hook.project_id, location=hook.location)
        reader: Any = BigQueryReadClient
        return Clients(jobs, reader(credentials=credentials))

    def describe(self, query: str, *, name: str) -> list[ReturnedColumn]:
        """Describe by a dry run, which costs nothing."""
        with self._errors(name):
            job = self._start(query, dry_run=True)
        return [_column(field) for field in job.schema]

    @contextmanager
    def open_texts(self, query: str, *, name: str) -> Generator[Iterator[pa.RecordBatch]]:
        with self._errors(name):
            job = self._start(query)
        try:
            yield self._batches(job, name)
        finally:
            # Cancelling a job that has ended does nothing.
            with suppress(RecsyncError), self._errors(name):
                if not job.done(reload=False):
                    job.cancel()

    def _batches(self, job: Any, name: str) -> Iterator[pa.RecordBatch]:
        with self._errors(name):
            rows = job.result(timeout=self.statement_timeout_seconds)
            # The client reads one stream when the query has an ORDER BY, and keeps its order.
            found = rows.to_arrow_iterable(
                bqstorage_client=self._clients.storage,
                max_queue_size=_QUEUED_BLOCKS,
                max_stream_count=_STREAMS,
            )
            for batch in found:
                if batch.num_rows:
                    yield as_texts(batch, batch.schema.names, name=name)

    def _start(self, query: str, *, dry_run: bool = False) -> Any:
        clients = self._clients
        from google.cloud.bigquery import QueryJobConfig

        options: dict[str, Any] = (
            {"dry_run": True, "use_query_cache": False}
            if dry_run
            else {"job_timeout_ms": int(self.statement_timeout_seconds * 1000)}
        )
        return clients.jobs.query(query, job_config=QueryJobConfig(use_legacy_sql=False, **options))

    @contextmanager
    def _errors(self, name: str) -> Generator[None]:
        try:
            yield
        except Exception as error:
            if (explained := self._explained(error, name)) is None:
                raise
            raise explained from None

    def _explained(self, error: Exception, name: str) -> RecsyncError | None:
        module = type(error).__module__
        if not module.startswith(("google.", "grpc", "requests.")) and not isinstance(error, TimeoutError):
            return None
        code = int(getattr(error, "code", None) or 0)
        reasons = {problem.get("reason") for problem in getattr(error, "errors", None) or ()}
        text = getattr(error, "message", None) or error
        gone = code == 404 and self.was_described(name)
        wrong = 400 <= code < _SERVER_ERRORS and code != _TOO_MANY
        if wrong and not gone and not reasons & _TEMPORARY_REASONS:
            return self.refused(name, text)
        if module.startswith("google.auth"):
            return self.refused(name, text, remedy=f"Correct the connection {self.conn_id}.")
        return self.failed(name, text)


def _column(field: Any) -> ReturnedColumn:
    kind = f"ARRAY<{field.field_type}>" if field.mode == "REPEATED" else field.field_type
    return ReturnedColumn.of(field.name, kind, field.scale)
