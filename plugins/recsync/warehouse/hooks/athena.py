"""Read Athena: ``UNLOAD`` as Parquet, or the result file of a query with an order.

https://docs.aws.amazon.com/athena/latest/ug/unload.html
https://docs.aws.amazon.com/athena/latest/ug/querying-finding-output-files.html
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from airflow.providers.amazon.aws.hooks.athena import AthenaHook

from recsync.errors import FatalError, RecsyncError, RetriableError
from recsync.storage.csv_text import ByteStream
from recsync.storage.machine import check_disk
from recsync.warehouse.arrow_text import BATCH_ROWS, CsvBlocks, as_texts
from recsync.warehouse.column_types import ReturnedColumn
from recsync.warehouse.dialects import ATHENA
from recsync.warehouse.event_mapping import select_none
from recsync.warehouse.hooks.unload import Part, Unload, UnloadingWarehouse
from recsync.warehouse.unload_sql import athena_unload

_SUCCEEDED, _ENDED = "SUCCEEDED", frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
# A category of an error of Athena. https://docs.aws.amazon.com/athena/latest/APIReference/API_AthenaError.html
_SYSTEM_ERROR = 1
_GONE = ("table_not_found", "column_not_found", "schema_not_found", "does not exist", "cannot be resolved")


class AthenaWarehouse(UnloadingWarehouse):
    """Read a connection of type ``athena``.

    ``schema`` is the database; ``extra`` can have ``work_group`` (default ``primary``), ``catalog`` (default
    ``AwsDataCatalog``), ``region_name`` and ``aws_conn_id`` (default: that of the bucket).
    """

    dialect = ATHENA
    permissions = (
        "athena:StartQueryExecution on its work group, glue:GetTable and s3:GetObject on what it reads"
    )
    temporary_codes = frozenset(
        {"InternalServerException", "ThrottlingException", "TooManyRequestsException"}
    )

    @cached_property
    def hook(self) -> AthenaHook:
        extra = self.connection.extra_dejson
        # Not logged: the queries of an experiment may name people.
        return AthenaHook(
            aws_conn_id=self.api_conn_id,
            region_name=extra.get("region_name"),
            log_query=False,
        )

    def describe(self, query: str, *, name: str) -> list[ReturnedColumn]:
        uri = f"{self.staging_prefix}{uuid4().hex}/"
        unload = Unload(uri, query_id=self._execute(select_none(query), uri, name))
        self._waited_for(unload, name)
        with self.aws_errors(name):
            client: Any = self.hook.conn
            found = client.get_query_results(QueryExecutionId=unload.query_id, MaxResults=1)
        self.clear(uri)
        return [
            ReturnedColumn.of(
                column["Name"], column["Type"], column.get("Scale") if column["Type"] == "decimal" else None
            )
            for column in found["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        ]

    def unload(self, query: str, *, uri: str, name: str, ordered: bool) -> Unload:
        """Start the query. The files of ``UNLOAD`` have no order, so ordered rows come from the query's result file."""
        statement = query if ordered else athena_unload(query, f"{uri}rows/")
        return Unload(uri, query_id=self._execute(statement, f"{uri}result/", name), parquet=not ordered)

    def parts(self, unload: Unload, *, name: str) -> Iterable[Part]:
        """Wait for the query and return the files of its manifest, or its result file."""
        execution = self._waited_for(unload, name)
        result = str(execution["ResultConfiguration"]["OutputLocation"])
        if not result.startswith(unload.uri):
            raise FatalError(
                f"The work group of connection {self.conn_id} wrote the rows of {name} to another location than "
                "recsync asked for, and nothing deletes them there. Name a work_group in its extra that does not "
                "override client-side settings."
            )
        if not unload.parquet:
            return [Part(result)]
        there, manifest = (
            self.sizes(f"{unload.uri}rows/"),
            execution["Statistics"].get("DataManifestLocation"),
        )
        named = self.get_text(manifest).split() if manifest else []
        # Without rows there is no file, and maybe no manifest.
        if set(named) != set(there):
            raise RetriableError(
                f"The warehouse ({self.conn_id}) unloaded {len(named)} files for {name}, but {len(there)} are below "
                f"{unload.uri}rows/. A retry unloads them again."
            )
        return [Part(uri, there[uri]) for uri in sorted(named)]

    def cancel(self, unload: Unload) -> None:
        with self.aws_errors("an UNLOAD"):
            client: Any = self.hook.conn
            client.stop_query_execution(QueryExecutionId=unload.query_id)

    @contextmanager
    def open_unloaded(self, unload: Unload, *, name: str) -> Generator[ByteStream]:
        if unload.parquet:
            with self.open_unloaded_texts(unload, None, name=name) as batches:
                yield CsvBlocks(batches)
        else:
            with super().open_unloaded(unload, name=name) as stream:
                yield _WithoutHeader(stream)

    @contextmanager
    def open_unloaded_texts(
        self, unload: Unload, columns: Sequence[str] | None, *, name: str
    ) -> Generator[Iterator[pa.RecordBatch]]:
        if not unload.parquet:
            assert columns is not None
            with super().open_unloaded_texts(unload, columns, name=name) as batches:
                yield batches
            return
        with (
            self.finished(unload, name) as parts,
            TemporaryDirectory(prefix="recsync-") as folder,
            ThreadPoolExecutor(1) as ahead,
        ):
            largest = sorted(part.size_bytes or 0 for part in parts)[-2:]
            check_disk(Path(folder), sum(largest), f"two files of {name}")
            yield self._parquet(parts, columns, Path(folder), ahead, name)

    def _parquet(
        self,
        parts: Sequence[Part],
        columns: Sequence[str] | None,
        folder: Path,
        ahead: ThreadPoolExecutor,
        name: str,
    ) -> Iterator[pa.RecordBatch]:
        """Read the files one after another; download the next one meanwhile."""
        pending = [(folder / str(number), part.uri) for number, part in enumerate(parts)]
        fetched = ahead.submit(self._fetch, *pending[0]) if pending else None
        for number, (path, _) in enumerate(pending):
            assert fetched is not None
            fetched.result()
            fetched = ahead.submit(self._fetch, *pending[number + 1]) if number + 1 < len(pending) else None
            with pq.ParquetFile(path, buffer_size=1 << 20) as file:
                for batch in file.iter_batches(BATCH_ROWS):
                    yield as_texts(batch, columns or batch.schema.names, name=name)
            path.unlink()

    def _fetch(self, path: Path, uri: str) -> None:
        bucket, key = self._located(uri)
        bucket.download(key, path)

    def _execute(self, statement: str, uri: str, name: str) -> str:
        extra = self.connection.extra_dejson
        context = {"Database": self.connection.schema, "Catalog": extra.get("catalog")}
        with self.aws_errors(name):
            return str(
                self.hook.run_query(
                    statement,
                    {key: value for key, value in context.items() if value},
                    {"OutputLocation": uri},
                    workgroup=extra.get("work_group") or "primary",
                )
            )

    def _waited_for(self, unload: Unload, name: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            with self.aws_errors(name):
                found: dict[str, Any] = self.hook.get_query_info(str(unload.query_id))["QueryExecution"]
            return found if found["Status"]["State"] in _ENDED else None

        execution = self.poll(ended, cancel=lambda: self.cancel(unload), name=name)
        if execution["Status"]["State"] != _SUCCEEDED:
            raise self._unfinished(execution["Status"], name)
        return execution

    def _unfinished(self, status: dict[str, Any], name: str) -> RecsyncError:
        error = status.get("AthenaError", {})
        text = error.get("ErrorMessage") or status.get("StateChangeReason") or "no reason given"
        gone = self.was_described(name) and any(words in text.casefold() for words in _GONE)
        temporary = error.get("Retryable") or error.get("ErrorCategory") == _SYSTEM_ERROR
        if gone or temporary or status["State"] == "CANCELLED":
            return self.failed(name, f"query {status['State']}: {text}")
        return self.refused(name, text)


class _WithoutHeader:
    """Skips the first line of a result file: the column names, which contain no line feed."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream, self._rest, self._begun = stream, b"", False

    def read(self, size: int, /) -> bytes:
        while not self._begun:
            data = self._stream.read(size)
            _, found, self._rest = data.partition(b"\n")
            self._begun = bool(found) or not data
        if self._rest:
            piece, self._rest = self._rest[:size], self._rest[size:]
            return piece
        return self._stream.read(size)
