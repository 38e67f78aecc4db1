"""Stand-ins for warehouses: the protocols of Trino and BigQuery, the APIs of Athena and Redshift, Snowflake's driver.

DuckDB runs their SQL, as sqlglot reads it.

They prove the hooks, with the real clients, and what sqlglot understands of the SQL; they are not those engines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import count
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import urlsplit

import duckdb
import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from airflow.providers.common.sql.hooks.sql import DbApiHook
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from recsync.warehouse.hooks.bigquery import Clients

Reply = tuple[int, dict[str, Any]]


class Engine:
    """A DuckDB that takes the SQL of another dialect."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.database = duckdb.connect(config={"threads": 1})
        self.database.execute("SET TimeZone = 'UTC'")
        self.statements: list[str] = []

    def run(self, sql: str) -> pa.Table:
        self.statements.append(sql)
        (query,) = sqlglot.transpile(sql, read=self.dialect, write="duckdb")
        return self.database.cursor().sql(query).to_arrow_table()


class JsonServer:
    """Answer HTTP requests with JSON."""

    def __init__(self, answer: Callable[[str, str, bytes], Reply]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, reply = answer(self.command, urlsplit(self.path).path, body)
                payload = b"" if status == 204 else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_DELETE = _serve  # ruff: ignore[mixed-case-variable-in-class-scope]

            def log_message(self, *_: Any) -> None:
                """Keep the test output clean."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _cut(table: pa.Table, parts: int) -> list[pa.Table]:
    """Cut a table into files; a table without rows has none."""
    rows = max(1, -(-table.num_rows // parts))
    return [table.slice(first, rows) for first in range(0, table.num_rows, rows)]


def _csv(table: pa.Table, cell: Callable[[Any], str]) -> bytes:
    lines = (",".join(map(cell, row.values())) + "\n" for row in table.to_pylist())
    return "".join(lines).encode()


def _put(s3: Any, uri: str, body: bytes) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3.put_object(Bucket=bucket, Key=key, Body=body)


def _quoted(value: Any) -> str:
    """Quote every value; NULL is an empty cell."""
    return "" if value is None else '"' + str(value).replace('"', '""') + '"'


_SIMPLE = {pa.int32(): "integer", pa.int64(): "bigint", pa.bool_(): "boolean", pa.float64(): "double"}


def _trino_type(kind: pa.DataType) -> tuple[str, dict[str, Any]]:
    if pa.types.is_decimal(kind):
        arguments = [{"kind": "LONG", "value": part} for part in (kind.precision, kind.scale)]
        return f"decimal({kind.precision},{kind.scale})", {"rawType": "decimal", "arguments": arguments}
    if pa.types.is_list(kind):
        name, inner = _trino_type(kind.value_type)
        arguments = [{"kind": "TYPE", "value": inner}]
        return f"array({name})", {"rawType": "array", "arguments": arguments}
    if pa.types.is_timestamp(kind):
        return "timestamp(6)", {"rawType": "timestamp", "arguments": [{"kind": "LONG", "value": 6}]}
    name = _SIMPLE.get(kind, "varchar")
    arguments = [{"kind": "LONG", "value": 2**31 - 1}] if name == "varchar" else []
    return name, {"rawType": name, "arguments": arguments}


class TrinoServer(Engine):
    """https://trino.io/docs/current/develop/client-protocol.html

    :param page_rows: rows of a page; the next one is sent when it is asked for.
    """

    def __init__(self, page_rows: int = 7) -> None:
        super().__init__("trino")
        self.page_rows = page_rows
        self.cancelled: list[str] = []
        self.failure: dict[str, Any] | None = None
        self._queries: dict[str, pa.Table] = {}
        self._numbers = count(1)
        self.http = JsonServer(self._answer)

    def close(self) -> None:
        self.http.close()

    def _answer(self, method: str, path: str, body: bytes) -> Reply:
        if method == "POST":
            query = f"q{next(self._numbers)}"
            try:
                if self.failure:
                    return 200, self._page(query, error=self.failure)
                self._queries[query] = self.run(body.decode())
            except (duckdb.Error, sqlglot.errors.SqlglotError) as error:
                failure = {"errorType": "USER_ERROR", "errorName": "SYNTAX_ERROR", "message": str(error)}
                return 200, self._page(query, error={"errorCode": 1, "failureInfo": {}, **failure})
            return 200, self._page(query, nextUri=f"{self.http.url}/v1/statement/executing/{query}/t/0")
        *_, query, _, token = path.split("/")
        if method == "DELETE":
            self.cancelled.append(query)
            return 204, {}
        table, first = self._queries[query], int(token) * self.page_rows
        names = zip(table.schema.names, map(_trino_type, table.schema.types), strict=True)
        page = table.slice(first, self.page_rows)
        more = {"columns": [{"name": n, "type": kind, "typeSignature": of} for n, (kind, of) in names]}
        if page.num_rows:
            data = [[_json(value) for value in row.values()] for row in page.to_pylist()]
            following = f"{self.http.url}/v1/statement/executing/{query}/t/{int(token) + 1}"
            more |= {"data": data, "nextUri": following}
        return 200, self._page(query, **more)

    def _page(self, query: str, **more: Any) -> dict[str, Any]:
        stats = {"state": "RUNNING" if "nextUri" in more else "FINISHED", "queued": False}
        return {"id": query, "infoUri": f"{self.http.url}/ui/{query}", "stats": stats, "warnings": [], **more}


def _json(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | list) else str(value)


class AthenaApi(Engine):
    """Answers of Athena's API for an ``AwsJsonServer``, with its files on S3.

    :param parts: files of an UNLOAD.
    :param manifest: write it; without rows Athena's documentation does not promise one.
    """

    def __init__(self, server: Any, s3: Any, *, parts: int = 3) -> None:
        super().__init__("athena")
        self.s3, self.parts, self.manifest_without_rows = s3, parts, False
        self.location: str | None = None
        self.failure: dict[str, Any] | None = None
        self.executions: dict[str, dict[str, Any]] = {}
        self.tables: dict[str, pa.Table] = {}
        self._numbers = count(1)
        server.on("StartQueryExecution", self._start).on("GetQueryExecution", self._get)
        server.on("GetQueryResults", self._results).on("StopQueryExecution", self._stop)

    def _start(self, body: dict[str, Any]) -> Any:
        query, sql = f"id-{next(self._numbers)}", body["QueryString"]
        folder = self.location or body["ResultConfiguration"]["OutputLocation"]
        unload = re.fullmatch(r"UNLOAD \(\n(.*)\n\)\nTO '([^']+)'\nWITH \(.*\)", sql, re.DOTALL)
        execution = {
            "QueryExecutionId": query,
            "Statistics": {},
            "ResultConfiguration": {"OutputLocation": f"{folder}{query}{'' if unload else '.csv'}"},
            "Status": {"State": "SUCCEEDED"},
        }
        self.executions[query] = execution
        try:
            table = self.tables[query] = self.run(unload[1] if unload else sql)
        except (duckdb.Error, sqlglot.errors.SqlglotError) as error:
            reason = {"ErrorCategory": 2, "Retryable": False, "ErrorMessage": f"SYNTAX_ERROR: {error}"}
            execution["Status"] = {"State": "FAILED", "AthenaError": reason}
            return {"QueryExecutionId": query}
        if self.failure:
            execution["Status"] = self.failure
        elif unload:
            files = self._unload(table, unload[2], query)
            if files or self.manifest_without_rows:
                manifest = f"{folder}{query}-manifest.csv"
                _put(self.s3, manifest, "\n".join(files).encode())
                execution["Statistics"] = {"DataManifestLocation": manifest}
        else:
            header = ",".join(map(_quoted, table.schema.names)) + "\n"
            body = header.encode() + _csv(table, _quoted)
            _put(self.s3, execution["ResultConfiguration"]["OutputLocation"], body)
        return {"QueryExecutionId": query}

    def _unload(self, table: pa.Table, uri: str, query: str) -> list[str]:
        files = []
        for number, part in enumerate(_cut(table, self.parts)):
            body = BytesIO()
            # Athena names columns in lower case.
            names = [name.casefold() for name in table.schema.names]
            pq.write_table(part.rename_columns(names), body, compression="snappy")
            files.append(f"{uri}2026_{query}_{number}")
            _put(self.s3, files[-1], body.getvalue())
        return files

    def _get(self, body: dict[str, Any]) -> Any:
        return {"QueryExecution": self.executions[body["QueryExecutionId"]]}

    def _stop(self, body: dict[str, Any]) -> Any:
        self.executions[body["QueryExecutionId"]]["Status"] = {"State": "CANCELLED"}
        return {}

    def _results(self, body: dict[str, Any]) -> Any:
        schema = self.tables[body["QueryExecutionId"]].schema
        columns = []
        for name, kind in zip(schema.names, schema.types, strict=True):
            scale = kind.scale if pa.types.is_decimal(kind) else 0
            columns.append({"Name": name, "Type": _trino_type(kind)[0].partition("(")[0], "Scale": scale})
        header = {"Data": [{"VarCharValue": name} for name in schema.names]}
        return {"ResultSet": {"Rows": [header], "ResultSetMetadata": {"ColumnInfo": columns}}}


class RedshiftApi(Engine):
    """Answers of Redshift's Data API for an ``AwsJsonServer``, with the files of UNLOAD on S3.

    Every statement has a result with rows that no table holds: whoever read rows by it would have them.

    https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html#unload-parameters
    """

    FOREIGN = "of the data api"

    def __init__(self, server: Any, s3: Any, *, parts: int = 3) -> None:
        super().__init__("redshift")
        self.s3, self.parts = s3, parts
        self.texts: dict[str, str] = {}
        self.results: dict[str, pa.Table] = {}
        self._numbers = count(1)
        server.on("ExecuteStatement", self._execute).on("GetStatementResult", self._result)
        server.on(
            "DescribeStatement",
            lambda body: {
                "Id": body["Id"],
                "Status": "FINISHED",
                "ResultRows": self.results[body["Id"]].num_rows,
            },
        )

    def _execute(self, body: dict[str, Any]) -> Any:
        statement = f"{next(self._numbers):08d}-2222-3333-4444-555555555555"
        self.texts[statement] = body["Sql"]
        unload = re.match(r"UNLOAD \(\$\$\n(.*)\n\$\$\)\nTO '([^']+)'", body["Sql"], re.DOTALL)
        table = self.results[statement] = self.run(unload[1] if unload else body["Sql"])
        # Without rows, UNLOAD writes nothing.
        if unload and table.num_rows:
            self._unload(table, unload[2], "PARALLEL OFF" in body["Sql"])
        return {"Id": statement}

    def _unload(self, table: pa.Table, uri: str, one: bool) -> None:
        entries = []
        for number, part in enumerate(_cut(table, 1 if one else self.parts)):
            url, body = (
                f"{uri}{number:03d}" if one else f"{uri}{number:04d}_part_00",
                _csv(part, _redshift_cell),
            )
            _put(self.s3, url, body)
            entries.append({"url": url, "meta": {"content_length": len(body), "record_count": part.num_rows}})
        elements = [{"name": name, "type": {"base": "character varying"}} for name in table.schema.names]
        manifest = {
            "entries": entries,
            "schema": {"elements": elements},
            "meta": {"content_length": 1, "record_count": table.num_rows},
            "author": {"name": "Amazon Redshift", "version": "1.0.0"},
        }
        _put(self.s3, f"{uri}manifest", json.dumps(manifest).encode())

    def _result(self, body: dict[str, Any]) -> Any:
        schema = self.results[body["Id"]].schema
        names = {pa.int32(): "int4", pa.int64(): "int8", pa.bool_(): "bool", pa.float64(): "float8"}
        columns = [
            {"name": name, "label": name, "typeName": names.get(kind, "varchar"), "scale": 0}
            for name, kind in zip(schema.names, schema.types, strict=True)
        ]
        foreign = [[{"stringValue": self.FOREIGN} for _ in columns]]
        return {"ColumnMetadata": columns, "Records": foreign, "TotalNumRows": 1, "NextToken": "more"}


def _redshift_cell(value: Any) -> str:
    """Write NULL and an empty text alike, and quotes only where they are needed."""
    text = "" if value is None else str(value)
    return _quoted(text) if re.search(r'[",\r\n]', text) else text


class SnowflakeDriver(Engine, DbApiHook):
    """Snowflake's driver: ``COPY INTO`` writes files to S3, and its result names them."""

    conn_name_attr = "snowflake_conn_id"
    _CODES: ClassVar = {pa.int32(): 0, pa.int64(): 0, pa.bool_(): 13, pa.float64(): 1}

    def __init__(self, s3: Any, *, parts: int = 3) -> None:
        DbApiHook.__init__(self)
        Engine.__init__(self, "snowflake")
        self.s3, self.parts = s3, parts
        self.description: list[tuple[Any, ...]] = []
        self._files: list[tuple[Any, ...]] = []

    @property
    def sqlalchemy_url(self) -> Any:
        raise NotImplementedError

    def get_uri(self) -> str:
        raise NotImplementedError

    def get_conn(self) -> Any:
        return self

    def cursor(self) -> SnowflakeDriver:
        return self

    def close(self) -> None:
        """Stay open."""

    def execute(self, statement: str) -> None:
        copy = re.match(r"COPY INTO '([^']+)'\nFROM \(\n(.*)\n\)\nSTORAGE_INTEGRATION", statement, re.DOTALL)
        if copy is None:
            schema = self.run(statement).schema
            self.description = [
                (name, self._CODES.get(kind, 2), None, None, None, 0, True)
                for name, kind in zip(schema.names, schema.types, strict=True)
            ]
            return
        table, one = self.run(copy[2]), "SINGLE = TRUE" in statement
        self.description, self._files = [("FILE_NAME",), ("FILE_SIZE",), ("ROW_COUNT",)], []
        for number, part in enumerate(_cut(table, 1 if one else self.parts)):
            url, body = copy[1] if one else f"{copy[1]}0_{number}_0.csv", _csv(part, _snowflake_cell)
            _put(self.s3, url, body)
            self._files.append((url.rpartition("/")[2], len(body), part.num_rows))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._files

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        raise AssertionError(f"{size} rows were asked for, which come by COPY INTO")


def _snowflake_cell(value: Any) -> str:
    """Quote texts and nothing else (FIELD_OPTIONALLY_ENCLOSED_BY)."""
    return _quoted(value) if isinstance(value, str) or value is None else str(value)


_BIGQUERY_TYPES = {pa.int32(): "INTEGER", pa.int64(): "INTEGER", pa.bool_(): "BOOLEAN", pa.float64(): "FLOAT"}


def _field(name: str, kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {**_field(name, kind.value_type), "mode": "REPEATED"}
    if pa.types.is_decimal(kind):
        return {"name": name, "type": "NUMERIC", "mode": "NULLABLE", "scale": str(kind.scale)}
    found = "TIMESTAMP" if pa.types.is_timestamp(kind) else _BIGQUERY_TYPES.get(kind, "STRING")
    return {"name": name, "type": found, "mode": "NULLABLE"}


class BigQueryServer(Engine):
    """Jobs over REST and the Storage Read API over gRPC.

    https://cloud.google.com/bigquery/docs/reference/rest/v2/Job
    https://cloud.google.com/bigquery/docs/reference/storage/rpc

    :param block_rows: rows of a block of a stream.
    """

    def __init__(self, block_rows: int = 5) -> None:
        super().__init__("bigquery")
        self.block_rows = block_rows
        self.failure: Reply | None = None
        self.jobs: dict[str, pa.Table] = {}
        self.streams: list[int] = []
        self.http = JsonServer(self._answer)
        self.grpc = grpc.server(ThreadPoolExecutor(4))
        service = "google.cloud.bigquery.storage.v1.BigQueryRead"
        session, request = types.ReadSession, types.CreateReadSessionRequest
        handlers = {
            "CreateReadSession": grpc.unary_unary_rpc_method_handler(
                self._session, request.deserialize, session.serialize
            ),
            "ReadRows": grpc.unary_stream_rpc_method_handler(
                self._rows, types.ReadRowsRequest.deserialize, types.ReadRowsResponse.serialize
            ),
        }
        self.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.grpc_port = self.grpc.add_insecure_port("127.0.0.1:0")
        self.grpc.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")

    def close(self) -> None:
        self.channel.close()
        self.grpc.stop(None)
        self.http.close()

    def _answer(self, method: str, path: str, body: bytes) -> Reply:
        if method == "POST" and path.endswith("/jobs"):
            return self._insert(json.loads(body))
        job = path.removesuffix("/cancel").rpartition("/")[2]
        if "/queries/" in path:
            table = self.jobs[job]
            fields = [_field(*pair) for pair in zip(table.schema.names, table.schema.types, strict=True)]
            reply = {"jobComplete": True, "totalRows": str(table.num_rows), "schema": {"fields": fields}}
            return 200, {**reply, "jobReference": self._reference(job)}
        return 200, {"job": self._job(job)} if path.endswith("/cancel") else self._job(job)

    def _insert(self, document: dict[str, Any]) -> Reply:
        configuration, reference = document["configuration"], document["jobReference"]
        try:
            if self.failure:
                return self.failure
            table = self.run(configuration["query"]["query"])
        except (duckdb.Error, sqlglot.errors.SqlglotError) as error:
            problem = {"reason": "invalidQuery", "message": str(error)}
            return 400, {"error": {"code": 400, "message": str(error), "errors": [problem]}}
        self.jobs[reference["jobId"]] = table
        found = self._job(reference["jobId"])
        if configuration.get("dryRun"):
            fields = [_field(*pair) for pair in zip(table.schema.names, table.schema.types, strict=True)]
            found["statistics"] = {"query": {"schema": {"fields": fields}}}
        found["configuration"] |= {"dryRun": configuration.get("dryRun", False)}
        found["configuration"]["query"] |= {"query": configuration["query"]["query"]}
        return 200, found

    def _reference(self, job: str) -> dict[str, Any]:
        return {"projectId": "shop", "jobId": job, "location": "US"}

    def _job(self, job: str) -> dict[str, Any]:
        table = {"projectId": "shop", "datasetId": "_anonymous", "tableId": job}
        query = {"query": self.statements[-1], "useLegacySql": False, "destinationTable": table}
        return {
            "id": job,
            "jobReference": self._reference(job),
            "configuration": {"jobType": "QUERY", "query": query},
            "status": {"state": "DONE"},
            "statistics": {},
        }

    def _session(self, request: types.CreateReadSessionRequest, _: Any) -> types.ReadSession:
        table = self.jobs[request.read_session.table.rpartition("/")[2]]
        wanted = request.max_stream_count or 2
        self.streams.append(wanted)
        job = request.read_session.table.rpartition("/")[2]
        streams = [types.ReadStream(name=f"{job}/{part}/{wanted}") for part in range(wanted)]
        return types.ReadSession(
            name="session",
            arrow_schema=types.ArrowSchema(serialized_schema=table.schema.serialize().to_pybytes()),
            streams=streams if table.num_rows else [],
        )

    def _rows(self, request: types.ReadRowsRequest, _: Any) -> Any:
        job, part, wanted = request.read_stream.split("/")
        batches = self.jobs[job].combine_chunks().to_batches(max_chunksize=self.block_rows)
        schema = types.ArrowSchema(serialized_schema=self.jobs[job].schema.serialize().to_pybytes())
        for batch in batches[int(part) :: int(wanted)][request.offset :]:
            block = types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes())
            yield types.ReadRowsResponse(
                arrow_record_batch=block, arrow_schema=schema, row_count=batch.num_rows
            )


def google_clients(server: BigQueryServer) -> Clients:
    """Return Google's own clients, which call the server."""
    jobs = Client(
        project="shop",
        location="US",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": server.http.url},
    )
    transport: Any = BigQueryReadGrpcTransport
    reader: Any = BigQueryReadClient
    return Clients(jobs, reader(transport=transport(channel=server.channel)))
