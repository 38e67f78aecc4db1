"""Snowflake: nothing here speaks SQL as it does, so a driver of our own carries COPY INTO out on S3."""

from __future__ import annotations

import re
from typing import Any

import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook

from recsync.errors import FatalError, RetriableError
from recsync.warehouse.column_types import Kind
from recsync.warehouse.hooks import warehouse
from recsync.warehouse.hooks.snowflake import SnowflakeWarehouse

BUCKET = "staging"
URI = f"s3://{BUCKET}/shop/full.unload/"
FIELDS = {"conn_type": "snowflake", "host": "account", "extra": {"storage_integration": "exports"}}


class ProgrammingError(Exception):
    """As PEP 249 names it."""


class Driver(DbApiHook):
    """Write the files that were scripted, where the statement says; tell of them as DETAILED_OUTPUT does."""

    conn_name_attr = "snowflake_conn_id"

    def __init__(
        self,
        s3: Any,
        files: list[bytes] | Exception,
        summary: tuple[list[tuple[str]], tuple[Any, ...]] | None = None,
    ) -> None:
        super().__init__()
        self.s3, self.files, self.summary, self.statements = s3, files, summary, [""]
        self.description: list[tuple[Any, ...]] = []
        self.told: list[tuple[Any, ...]] = []

    @property
    def sqlalchemy_url(self) -> Any:
        raise NotImplementedError

    def get_uri(self) -> str:
        raise NotImplementedError

    def get_conn(self) -> Any:
        return self

    def cursor(self) -> Driver:
        return self

    def close(self) -> None:
        """Stay open."""

    def execute(self, statement: str) -> None:
        self.statements.append(statement)
        if isinstance(self.files, Exception):
            raise self.files
        # Name, type code, …, precision, scale.
        self.description = [
            ("USER_ID", 2, None, 16, None, None, True),
            ("ITEM_ID", 0, None, None, 38, 0, True),
            ("GENRES", 10, None, None, None, None, True),
        ]
        if statement.startswith("COPY INTO"):
            self.description = [("FILE_NAME",), ("FILE_SIZE",), ("ROW_COUNT",)]
            self._copy(statement)
            if self.summary:
                self.description, self.told = self.summary[0], [self.summary[1]]

    def _copy(self, statement: str) -> None:
        found = re.match(rf"COPY INTO 's3://{BUCKET}/([^']+)'\nFROM \(", statement)
        assert found
        single = "SINGLE = TRUE" in statement
        assert isinstance(self.files, list)
        for number, body in enumerate(self.files):
            key = found[1] if single else f"{found[1]}0_{number}_0.csv"
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
            self.told.append((key.rpartition("/")[2], len(body), body.count(b"\n")))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.told

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        return self.told[:size]


@pytest.fixture
def connection(connect: Any) -> Any:
    return connect(**FIELDS)


def test_the_parts_are_streamed_in_order(connection: Any, s3: Any, staged: Any, read_all: Any) -> None:
    driver = Driver(s3, [b'"u1",1\n', b'"",2\n', b",3\n"])
    source = SnowflakeWarehouse(connection, hook=driver)
    unload = source.start_unload("SELECT 1", uri=URI, name="x", ordered=False)
    assert unload.statement_id is None
    assert "STORAGE_INTEGRATION = exports" in driver.statements[-1]
    with source.open_unloaded(type(unload).from_dict(unload.to_dict()), name="x") as stream:
        assert read_all(stream) == b'"u1",1\n"",2\n,3\n'
    assert staged() == []


def test_an_ordered_query_is_one_file(connection: Any, s3: Any, staged: Any, read_all: Any) -> None:
    source = SnowflakeWarehouse(connection, hook=Driver(s3, [b"1\n2\n"]))
    unload = source.start_unload("SELECT 1", uri=URI, name="x")
    assert [key.rpartition("/")[2] for key in staged()] == ["rows.csv"]
    with source.open_unloaded(unload, name="x") as stream:
        assert read_all(stream) == b"1\n2\n"


def test_no_rows_are_no_files(connection: Any, s3: Any, read_all: Any) -> None:
    source = SnowflakeWarehouse(connection, hook=Driver(s3, []))
    unload = source.start_unload("SELECT 1", uri=URI, name="x")
    with source.open_unloaded(unload, name="x") as stream:
        assert read_all(stream) == b""


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ([("rows_unloaded",), ("input_bytes",), ("output_bytes",)], (0, 0, 0)),
        ([("status",)], ("Copy executed with 0 files processed.",)),
        ([("FILE_NAME",), ("FILE_SIZE",), ("ROW_COUNT",)], ("rows.csv", 0, 0)),
    ],
)
def test_no_rows_may_be_told_by_a_summary(
    connection: Any, s3: Any, read_all: Any, columns: list[tuple[str]], row: tuple[Any, ...]
) -> None:
    driver = Driver(s3, [], summary=(columns, row))
    source = SnowflakeWarehouse(connection, hook=driver)
    unload = source.start_unload("SELECT 1", uri=URI, name="x")
    with source.open_unloaded(unload, name="x") as stream:
        assert read_all(stream) == b""


def test_rows_without_a_file_are_not_taken_for_none(connection: Any, s3: Any) -> None:
    driver = Driver(s3, [], summary=([("rows_unloaded",), ("input_bytes",)], (7, 70)))
    with pytest.raises(RetriableError, match="unloaded rows for x and named no file"):
        SnowflakeWarehouse(connection, hook=driver).start_unload("SELECT 1", uri=URI, name="x")


@pytest.mark.parametrize("lost", [True, False])
def test_a_file_more_or_less_is_not_the_whole(connection: Any, s3: Any, staged: Any, lost: bool) -> None:
    source = SnowflakeWarehouse(connection, hook=Driver(s3, [b"1\n", b"2\n"]))
    unload = source.start_unload("SELECT 1", uri=URI, name="x", ordered=False)
    if lost:
        s3.delete_object(Bucket=BUCKET, Key=staged()[0])
    else:
        s3.put_object(Bucket=BUCKET, Key=f"{staged()[0]}.more", Body=b"3\n")
    with (
        pytest.raises(RetriableError, match="unloaded 2 files for x"),
        source.open_unloaded(unload, name="x"),
    ):
        pass
    assert staged() == []


def test_a_refusal_reaches_the_person(connection: Any, s3: Any) -> None:
    error = ProgrammingError("002003 (42S02): Object 'SALES' does not exist or not authorized")
    source = SnowflakeWarehouse(connection, hook=Driver(s3, error))
    with pytest.raises(FatalError, match=r"refused shop/items.sql: 002003 .* not authorized"):
        source.start_unload("SELECT 1", uri=URI, name="shop/items.sql")


def test_columns_are_named_as_snowflake_names_them(connection: Any, s3: Any) -> None:
    source = SnowflakeWarehouse(connection, hook=Driver(s3, []))
    columns = source.columns("SELECT 1", name="x")
    assert [(column.name, column.kind) for column in columns] == [
        ("USER_ID", Kind.TEXT),
        ("ITEM_ID", Kind.INTEGER),
        ("GENRES", Kind.ARRAY),
    ]


def test_without_the_provider_it_says_what_to_install(connection: Any, moto_url: str) -> None:
    source = warehouse("warehouse")
    assert isinstance(source, SnowflakeWarehouse)
    with pytest.raises(FatalError, match=r"type snowflake, .*: install its provider"):
        source.start_unload("SELECT 1", uri=URI, name="x")


def test_without_an_integration_it_says_so(connect: Any, s3: Any) -> None:
    source = SnowflakeWarehouse(connect(conn_type="snowflake"), hook=Driver(s3, []))
    with pytest.raises(FatalError, match="lacks storage_integration"):
        source.start_unload("SELECT 1", uri=URI, name="x")
