"""The examples: SQL for tables of event collectors, and programs over the data of the sample program."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlglot

from recsync.preflight.check_programs import check
from recsync.program.files import sharers
from recsync.program.intervals import Interval
from recsync.warehouse.dialects import dialect_named
from recsync.warehouse.templates import render, template_problems

REPO = Path(__file__).resolve().parents[2]
SOURCES = REPO / "examples" / "sources"
# The warehouse that an example is written for.
DIALECTS = {
    "segment": "snowflake",
    "rudderstack": "bigquery",
    "mparticle": "redshift",
    "braze_currents": "snowflake",
}
WANTED = {
    "interactions": {"user_id", "item_id", "timestamp", "event_type"},
    "audience": {"user_id", "external_id"},
    "catalogue": {"item_id", "title", "price"},
    "outcomes": {"user_id", "timestamp", "value", "item_id", "event", "outcome_id"},
}
FILES = sorted(SOURCES.glob("*/*.sql"))
HOUR = Interval(datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC))


def test_there_is_an_example_of_each_collector_that_the_page_names() -> None:
    assert {path.parent.name for path in FILES} == DIALECTS.keys()
    page = (REPO / "docs" / "warehouse.md").read_text()
    assert [name for name in DIALECTS if f"examples/sources/{name}" not in page] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_an_example_is_a_query_that_returns_what_a_program_reads(file: Path) -> None:
    text, dialect = file.read_text(), DIALECTS[file.parent.name]
    assert list(template_problems(text, file.name)) == []
    for interval in (HOUR, Interval.until(HOUR.end + timedelta(hours=1))):
        query = render(text, interval, name=file.name, dialect=dialect_named(dialect))
        parsed = sqlglot.parse_one(query, dialect=dialect)
        assert isinstance(parsed, sqlglot.exp.Query)
        assert WANTED[file.stem] <= {name.casefold() for name in parsed.named_selects}


def test_the_programs_over_the_samples_data_are_sound_beside_it(tmp_path: Path) -> None:
    for source in (REPO / "include", REPO / "examples" / "shared"):
        shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    assert check(tmp_path) == []
    assert sharers("grocery", tmp_path) == ["because", "promotion", "winback"]
