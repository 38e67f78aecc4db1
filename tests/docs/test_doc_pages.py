"""The pages and the snippets, taken at their word."""

from __future__ import annotations

import json
import re
import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsync.export.checks import CheckContext, RowChecks
from recsync.program import DatasetType, Program
from recsync.program.files import read_program
from recsync.program.intervals import Interval
from recsync.storage.csv_text import cut_records
from recsync.warehouse.hooks import warehouse as opened
from warehouse_local.load import load_folder
from warehouse_local.server import EmbeddedServer, running

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted((REPO / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_into_the_checkout_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_connection_on_the_page_is_one_that_airflow_reads() -> None:
    from airflow.sdk import Connection

    text = (REPO / "docs/real-services.md").read_text() + (REPO / ".env.example").read_text()
    lines = re.findall(r"AIRFLOW_CONN_(\w+)='(.*)'", text)
    assert len(lines) == 6
    for name, value in lines:
        connection = Connection.from_json(value, conn_id=name.lower())
        assert (
            connection.conn_type
            == {"WAREHOUSE": "postgres", "AWS_DEFAULT": "aws", "BRAZE_DEFAULT": "braze"}[name]
        )


def blocks(page: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def bookshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files of docs/second-program.md as the page shows them."""
    page = (REPO / "docs/second-program.md").read_text()
    sql = dict(zip(("interactions", "items", "audience", "catalogue"), _of("sql", page), strict=True))
    schemas = dict(zip(("interactions", "items"), _of("json", page), strict=True))
    folder = tmp_path_factory.mktemp("books")
    files = {f"include/sql/books/{name}.sql": text for name, text in sql.items()}
    files |= {f"include/schemas/books/{name}.json": text for name, text in schemas.items()}
    files["include/programs/books.yaml"] = _of("yaml", page)[0]
    for name in files:
        assert f"`{name}`" in page, name
    files |= dict(zip(("data/orders.csv", "data/books.csv"), _of("csv", page), strict=True))
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _of(language: str, page: str) -> list[str]:
    return [text for kind, text in blocks(page) if kind == language]


@pytest.fixture(scope="module")
def warehouse(bookshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Load the page's CSV files into an embedded warehouse; yield its address."""
    folder = tmp_path_factory.mktemp("warehouse")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = EmbeddedServer(folder / "data", port, secrets.token_urlsafe())
    with running(server, log=folder / "log"):
        assert not load_folder(server.dsn(), bookshop / "data")
        yield server.dsn()


def test_the_second_program_is_sound_and_exports_what_personalize_reads(
    bookshop: Path, warehouse: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", warehouse)
    include = bookshop / "include"
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(include))
    from recsync.warehouse.program_sql import read_query

    program = read_program(include / "programs" / "books.yaml", include)
    hook = opened(program.warehouse)
    ordered = datetime(2026, 11, 1, 9, tzinfo=UTC)
    everything, hour = (
        Interval.until(ordered + timedelta(days=1)),
        Interval(ordered, ordered + timedelta(hours=1)),
    )
    rows = {
        (kind, name): exported_rows(program, kind, interval, tmp_path)
        for kind in program.dataset_types
        for name, interval in {"full": everything, "hour": hour}.items()
    }
    columns = ["item_id", *program.braze.sent_fields]
    found = {}
    for query, wanted in {"audience": ["user_id"], "catalogue": columns}.items():
        with hook.read(read_query(program, query, everything, hook)[1], wanted, name=query) as read:
            found[query] = [row for batch in read.batches for row in batch.to_pylist()]

    assert rows == {
        (DatasetType.INTERACTIONS, "full"): 1,
        (DatasetType.INTERACTIONS, "hour"): 1,
        (DatasetType.ITEMS, "full"): 1,
        (DatasetType.ITEMS, "hour"): 0,
    }
    assert found == {
        "audience": [{"user_id": "C-0001"}],
        "catalogue": [
            dict(zip(columns, ("b-17", "Middlemarch", "George Eliot", "9.9"), strict=True)),
        ],
    }


def exported_rows(program: Program, kind: DatasetType, interval: Interval, folder: Path) -> int:
    """Count the rows that pass the checks."""
    from recsync import settings
    from recsync.warehouse.program_sql import export_query

    hook, schema = opened(program.warehouse), settings.schema(program, kind)
    checks = RowChecks(
        CheckContext(
            program=program.name,
            schema=schema,
            dataset_type=kind,
            interval=interval,
            full=False,
            select_by="event_time",
            settings=program.checks,
            sql=kind.folder,
            work=folder,
        )
    )
    with hook.open_csv(export_query(program, kind, interval, schema, hook), name=kind.folder) as stream:
        for _ in checks.blocks(cut_records(stream)):
            pass
    report = checks.finish()
    assert report.quarantined == 0
    return report.exported


def test_the_pages_hold_json_that_can_be_read() -> None:
    found = [text for page in PAGES for text in _of("json", page.read_text())]
    assert found
    for text in found:
        json.loads(text)
