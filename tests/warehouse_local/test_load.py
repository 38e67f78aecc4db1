from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from warehouse_local.errors import FileError, WarehouseError
from warehouse_local.load import LoadedTable, files_of, load_file, load_folder

Db = psycopg.Connection[tuple[Any, ...]]


def load_csv(db: Db, tmp_path: Path, content: str | bytes, table: str = "t") -> LoadedTable:
    path = tmp_path / f"{table}.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_file(db, path, table)


def rows(db: Db, table: str = "t") -> list[tuple[Any, ...]]:
    return db.execute(f"SELECT * FROM public.{table}").fetchall()


@pytest.mark.parametrize(
    ("values", "sql_type"),
    [
        (["1", "-20", "", "0"], "bigint"),
        (["999999999999999999"], "bigint"),
        (["1234567890123456789"], "text"),
        (["007", "12"], "text"),
        (["+49301234"], "text"),
        (["1", "2.5", "-1.0e3", ".5", "NaN"], "double precision"),
        (["1E5", "10E4"], "text"),
        (["1e5", "2.5"], "text"),
        (["2E+3", "7"], "text"),
        (["17850.0", "", "13047.0"], "bigint"),
        (["17850.0", "13047"], "bigint"),
        (["17850.0", "13047.5"], "double precision"),
        (["2.00", "3.00"], "double precision"),
        (["007.0"], "text"),
        (["1", "01.5"], "text"),
        (["true", "False", "TRUE"], "boolean"),
        (["f", "m"], "text"),
        (["2024-01-31", "2024-02-29"], "date"),
        (["2024-01-31", "2024-01-31T10:00:00Z"], "timestamptz"),
        (["2024-01-31 10:00:00.123456+02:00", "2024-01-31 10:00"], "timestamptz"),
        (["31.01.2024"], "text"),
        (["2024-02-30"], "text"),
        (["1", "x"], "text"),
        (["", ""], "text"),
        ([" 1", "2 "], "bigint"),
    ],
)
def test_the_narrowest_type_that_loses_nothing(
    db: Db, tmp_path: Path, values: list[str], sql_type: str
) -> None:
    loaded = load_csv(db, tmp_path, "id,v\n" + "".join(f"k,{value}\n" for value in values))
    assert loaded.columns["v"] == sql_type
    assert loaded.rows == len(values) == len(rows(db))


def test_whole_numbers_that_pandas_wrote_are_integers_and_codes_stay_codes(db: Db, tmp_path: Path) -> None:
    """A column of integers with an empty field is one of floats to pandas; 1E5 and 10E4 are two articles."""
    loaded = load_csv(db, tmp_path, "id,code\n17850.0,1E5\n,10E4\n-3.0,\n 7.0 ,1E5\n")
    assert loaded.columns == {"id": "bigint", "code": "text"}
    assert rows(db) == [(17850, "1E5"), (None, "10E4"), (-3, None), (7, "1E5")]
    assert [note for note in loaded.notes if "'id' is an integer" in note]


def test_values_arrive_as_they_were(db: Db, tmp_path: Path) -> None:
    load_csv(
        db,
        tmp_path,
        "\ufeffid,name,at,paid,ok\r\n"
        '0042,"Smith, ""Jo""\nJr.",2024-06-01 12:00:00,1.10,true\r\n'
        '7,"",2024-06-01T12:00:00+02:00,,\r\n'
        "\r\n"
        '8,,"","","false"\r\n',
    )
    assert rows(db) == [
        ("0042", 'Smith, "Jo"\nJr.', datetime(2024, 6, 1, 12, tzinfo=UTC), 1.1, True),
        ("7", "", datetime(2024, 6, 1, 10, tzinfo=UTC), None, None),
        ("8", None, None, None, False),
    ]


def test_a_type_is_inferred_over_the_whole_file(db: Db, tmp_path: Path) -> None:
    """The odd value lies beyond the first block read, where a sample of the file would not see it."""
    filler = "x" * 100
    content = "id,filler\n" + f"1,{filler}\n" * 100_000 + "n/a,\n"
    loaded = load_csv(db, tmp_path, content)
    assert loaded.columns["id"] == "text"
    assert any("'n/a'" in note for note in loaded.notes)
    assert db.execute("SELECT count(*) FROM t WHERE id = '1'").fetchone() == (100_000,)


def test_changed_column_names_are_told(db: Db, tmp_path: Path) -> None:
    loaded = load_csv(db, tmp_path, "User ID,Größe,,2nd,select,fine\n1,2,3,4,5,6\n")
    assert list(loaded.columns) == ["user_id", "grosse", "column_3", "_2nd", "select", "fine"]
    assert sum("is called" in note for note in loaded.notes) == 4


def test_semicolons_are_understood(db: Db, tmp_path: Path) -> None:
    assert load_csv(db, tmp_path, 'a;b\n1;"x;y"\n').columns == {"a": "bigint", "b": "text"}
    assert rows(db) == [(1, "x;y")]


def test_a_file_with_a_header_alone_is_an_empty_table(db: Db, tmp_path: Path) -> None:
    assert load_csv(db, tmp_path, "a,b\n").rows == 0
    assert rows(db) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3\n", r"line 3: 1 fields where the header has 2.*mend or remove"),
        ('a,b\n"1\n2",3\n4,5,6\n', r"line 4: 3 fields where the header has 2.*quotes"),
        (b"a,b\n1,2\n3,caf\xe9\n", r"line 3, byte 6: byte 0xe9 is not UTF-8.*iconv"),
        (b"caf\xe9,b\n1,2\n", r"line 1, byte 4.*UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), r"UTF-16"),
        ("", r"empty.*name the columns"),
        ("\n1,2\n", r"empty.*name the columns"),
        ("a,b,a\n1,2,3\n", r"line 1: the columns 'a' and 'a' would both be called 'a'.*Rename"),
        ("A b,a-b\n1,2\n", r"'A b' and 'a-b' would both be called 'a_b'"),
        ('a,b\n1,"never closed\n', r"line 2: the row that begins here cannot be read.*Close the quotes"),
        ("a,b\n1,x\n2,nul\x00byte\n", r"line 3: .*NUL.*Remove it"),
    ],
)
def test_a_broken_file_is_explained_and_changes_nothing(
    db: Db, tmp_path: Path, content: str | bytes, message: str
) -> None:
    load_csv(db, tmp_path, "before\nstill here\n")
    with pytest.raises(FileError, match=r"(?s)^t\.csv: .*" + message):
        load_csv(db, tmp_path, content)
    assert rows(db) == [("still here",)]
    assert db.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE '%new%'").fetchone() == (0,)


def test_readers_see_the_old_or_the_new_table_only(db: Db, dsn: str, tmp_path: Path) -> None:
    load_csv(db, tmp_path, "a\nold\n")
    with psycopg.connect(dsn) as reader:
        assert reader.execute("SELECT a FROM t").fetchone() == ("old",)
        reader.rollback()
        load_csv(db, tmp_path, "b,c\n1,2\n")
        assert reader.execute("SELECT * FROM t").fetchone() == (1, 2)


def test_a_table_that_a_view_reads_is_not_dropped_under_it(db: Db, tmp_path: Path) -> None:
    load_csv(db, tmp_path, "a\n1\n")
    db.execute("CREATE VIEW public.v AS SELECT a FROM t")
    with pytest.raises(FileError, match=r"used by other objects .*view v"):
        load_csv(db, tmp_path, "a\n2\n")
    with pytest.raises(FileError, match="not a table"):
        load_csv(db, tmp_path, "a\n2\n", table="v")
    assert rows(db) == [(1,)]


def test_parquet_types_are_carried_over(db: Db, tmp_path: Path) -> None:
    moment = datetime(2024, 1, 2, 3, 4, 5, 678901)
    table = pa.table(
        {
            "Whole": pa.array([1, None], pa.int32()),
            "big": pa.array([2**64 - 1, 0], pa.uint64()),
            "real": pa.array([1.5, float("nan")], pa.float32()),
            "money": pa.array([Decimal("1.10"), None], pa.decimal128(10, 2)),
            "ok": [True, None],
            "day": [date(2024, 1, 2), None],
            "naive": pa.array([moment, None], pa.timestamp("ns")),
            "zoned": pa.array([moment, None], pa.timestamp("ms", tz="Europe/Berlin")),
            "kind": pa.array(["x", None]).dictionary_encode(),
            "text": ["", 'quote " and\nline'],
            "raw": [b"\x00\xff", None],
            "tags": [["a", "b"], None],
            "nothing": pa.nulls(2),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    loaded = load_file(db, tmp_path / "t.parquet", "t")
    assert loaded.columns == {
        "whole": "bigint",
        "big": "numeric",
        "real": "double precision",
        "money": "numeric",
        "ok": "boolean",
        "day": "date",
        "naive": "timestamptz",
        "zoned": "timestamptz",
        "kind": "text",
        "text": "text",
        "raw": "bytea",
        "tags": "jsonb",
        "nothing": "text",
    }
    first, second = rows(db)
    utc = moment.replace(tzinfo=UTC)
    millis = utc.replace(microsecond=678000)
    assert first == (
        *(1, Decimal(2**64 - 1), 1.5, Decimal("1.10"), True, date(2024, 1, 2), utc, millis),
        *("x", "", b"\x00\xff", ["a", "b"], None),
    )
    assert second[9] == 'quote " and\nline'
    assert second[0] is None


def test_an_unreadable_parquet_file_is_explained(db: Db, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(FileError, match=r"t\.parquet: not a Parquet file that can be loaded"):
        load_file(db, tmp_path / "t.parquet", "t")


def test_a_parquet_file_damaged_in_the_middle_changes_nothing(db: Db, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [str(n) for n in range(50_000)]}), path, compression="zstd")
    load_file(db, path, "t")
    content = bytearray(path.read_bytes())
    content[1000:3000] = b"\x55" * 2000
    path.write_bytes(content)
    with pytest.raises(FileError, match="not a Parquet file that can be loaded"):
        load_file(db, path, "t")
    assert db.execute("SELECT count(*) FROM t").fetchone() == (50_000,)


def test_one_broken_file_does_not_keep_the_others_out(db: Db, dsn: str, tmp_path: Path) -> None:
    (tmp_path / "Good One.csv").write_text("a\n1\n")
    (tmp_path / "bad.csv").write_text("a,b\n1\n")
    (tmp_path / "readme.md").write_text("no table")
    pq.write_table(pa.table({"p": [1, 2]}), tmp_path / "parq.parquet")
    said: list[str] = []
    failures = load_folder(dsn, tmp_path, said.append)
    assert [failure.file_name for failure in failures] == ["bad.csv"]
    assert rows(db, "good_one") == [(1,)]
    assert rows(db, "parq") == [(1,), (2,)]
    output = "\n".join(said)
    for part in ("readme.md", "FAILED, table 'bad'", "2 rows", "a bigint"):
        assert part in output


def test_folders_that_cannot_be_loaded_are_explained(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="is not a folder"):
        files_of(tmp_path / "missing")
    with pytest.raises(WarehouseError, match="nothing to load"):
        files_of(tmp_path)
    (tmp_path / "a.csv").touch()
    (tmp_path / "A.parquet").touch()
    with pytest.raises(WarehouseError, match="would both become table 'a'"):
        files_of(tmp_path)


def test_the_command_reports_failure_by_its_exit_status(dsn: str, db: Db, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1\n")
    command = [sys.executable, "-m", "warehouse_local", "load", str(tmp_path)]
    environ = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2] / "local"),
        "AIRFLOW_CONN_WAREHOUSE": dsn,
    }
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "bad.csv: line 2" in done.stdout


def test_a_stray_quote_inside_a_field_is_no_fault(db: Db, tmp_path: Path) -> None:
    load_csv(db, tmp_path, 'a,b\n5" pipe,1\n')
    assert rows(db) == [('5" pipe', 1)]


def test_a_parquet_text_with_nul_is_explained(db: Db, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["x\0y"]}), tmp_path / "t.parquet")
    with pytest.raises(FileError, match=r"t\.parquet: .*0x00"):
        load_file(db, tmp_path / "t.parquet", "t")
