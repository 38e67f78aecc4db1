from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import shops

from recsync import settings
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.export.checks import CheckContext, RowChecks
from recsync.export.checks.report import ExportReport
from recsync.new_program.choices import Answers, Question, ask_nobody
from recsync.new_program.proposal import Proposal
from recsync.new_program.run import main, new_program
from recsync.preflight.check_programs import check
from recsync.preflight.findings import Findings
from recsync.preflight.warehouse import check_warehouse
from recsync.program import DatasetType
from recsync.program.files import program_yaml
from recsync.program.intervals import Interval
from recsync.storage.csv_text import cut_records
from recsync.warehouse.hooks import warehouse
from recsync.warehouse.program_sql import export_query
from warehouse_local.load import load_folder


def made(name: str, shop: shops.Shop) -> Proposal:
    return new_program(name, answers=Answers(dict(shop.answers)), ask=ask_nobody)


def found_problems(name: str, include: Path) -> list[str]:
    """Check a program as `make programs` does, and its queries at the warehouse as `make preflight` does."""
    context = StageContext.of(name)
    findings = Findings(program_yaml(include / "programs" / f"{name}.yaml"))
    check_warehouse(context, findings, datetime.now(UTC))
    return [*check(include), *findings.problems, *findings.unreachable]


def exported(name: str, kind: DatasetType, interval: Interval, folder: Path) -> ExportReport:
    program = StageContext.of(name).program
    hook, schema = warehouse(program.warehouse), settings.schema(program, kind)
    checks = RowChecks(
        CheckContext(
            program=name, schema=schema, dataset_type=kind, interval=interval, full=interval.start.year == 1970,
            select_by="event_time", settings=program.checks, sql=kind.folder, work=folder,
        )
    )  # fmt: skip
    with hook.open_csv(export_query(program, kind, interval, schema, hook), name=kind.folder) as stream:
        for _ in checks.blocks(cut_records(stream)):
            pass
    return checks.finish()


@pytest.mark.parametrize("name", shops.SHOPS)
def test_a_folder_of_csv_files_becomes_a_program_that_passes_every_check(
    name: str, shop_dsn: str, include: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = shops.SHOPS[name]
    shops.write(shop, tmp_path / "data")
    assert not load_folder(shop_dsn, tmp_path / "data", lambda _: None)

    proposal = made(name, shop)

    chosen = {choice.key: choice.value for choice in proposal.choices}
    assert {key: chosen.get(key) for key in shop.chosen} == shop.chosen
    assert all(choice.reason for choice in proposal.choices)
    assert found_problems(name, include) == []
    everything = Interval.until(datetime.now(UTC))
    for kind in StageContext.of(name).program.dataset_types:
        report = exported(name, kind, everything, tmp_path)
        assert (report.quarantined, report.stop_message()) == (0, None)
        if kind is DatasetType.INTERACTIONS:
            assert report.exported == shop.events
    # What is told holds names of columns and counts, and no record.
    told = capsys.readouterr().out
    assert f"include/programs/{name}.yaml" in told
    assert "@example.org" not in told


@pytest.mark.parametrize("name", ["fashion", "news", "wholesale"])
def test_the_hours_of_a_day_hold_each_event_of_it_once(
    name: str, shop_dsn: str, include: Path, tmp_path: Path
) -> None:
    shop = shops.SHOPS[name]
    shops.write(shop, tmp_path / "data")
    load_folder(shop_dsn, tmp_path / "data", lambda _: None)
    made(name, shop)
    day = shops.NOW.replace(minute=0, second=0) - timedelta(days=9)

    hours = [Interval(day + timedelta(hours=n), day + timedelta(hours=n + 1)) for n in range(24)]
    reports = [exported(name, DatasetType.INTERACTIONS, hour, tmp_path) for hour in hours]
    whole = exported(name, DatasetType.INTERACTIONS, Interval(day, day + timedelta(days=1)), tmp_path)

    assert sum(report.exported for report in reports) == whole.exported > 0
    assert not any(report.quarantined for report in reports)


def test_a_program_is_written_in_the_dialect_of_the_warehouse(
    include: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, file = tmp_path / "data", tmp_path / "shop.duckdb"
    shops.write(shops.SHOPS["fashion"], data)
    with duckdb.connect(str(file)) as connection:
        for path in data.glob("*.csv"):
            connection.execute(f"CREATE TABLE {path.stem} AS FROM read_csv('{path}')")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(file)}))

    made("fashion", shops.SHOPS["fashion"])

    assert found_problems("fashion", include) == []
    report = exported("fashion", DatasetType.INTERACTIONS, Interval.until(datetime.now(UTC)), tmp_path)
    assert (report.exported, report.quarantined) == (shops.EVENTS, 0)


@pytest.fixture
def ratings(shop_dsn: str, tmp_path: Path) -> str:
    shops.write(shops.SHOPS["movies"], tmp_path / "data")
    load_folder(shop_dsn, tmp_path / "data", lambda _: None)
    return shop_dsn


def test_files_that_are_there_are_not_overwritten_unless_somebody_says_so(
    ratings: str, include: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["movies"]) == 0
    own = include / "sql" / "movies" / "audience.sql"
    own.write_text("SELECT 1 AS user_id")

    assert main(["movies"]) == 1
    assert "OVERWRITE=1" in capsys.readouterr().err
    assert own.read_text() == "SELECT 1 AS user_id"

    (include / "programs" / "movies.yaml").unlink()
    with pytest.raises(FatalError, match="Nothing was written"):
        new_program("movies", ask=lambda question: question.choices[0])
    assert not (include / "programs" / "movies.yaml").exists()

    assert main(["movies", "--overwrite"]) == 0
    assert "include/sql/movies/audience.sql (written anew)" in capsys.readouterr().out
    assert "DISTINCT" in own.read_text()


def test_answers_decide_and_only_what_they_leave_open_is_asked(
    ratings: str, include: Path, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.yaml"
    answers.write_text("interactions: tags\nevent: null\nattribute: recs_tagged\ntitle: genres\n")
    assert main(["tagged", "--answers", str(answers)]) == 0
    program = StageContext.of("tagged").program
    assert program.braze.attribute == "recs_tagged"
    assert "FROM public.tags" in (include / "sql/tagged/interactions.sql").read_text()
    assert "genres AS title" in (include / "sql/tagged/catalogue.sql").read_text()


def test_an_answer_that_is_missing_without_a_terminal_names_the_line_to_write(
    shop_dsn: str, include: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shops.write(shops.SHOPS["unnamed"], tmp_path / "data")
    load_folder(shop_dsn, tmp_path / "data", lambda _: None)

    assert main(["log"]) == 1
    told = capsys.readouterr().err
    assert "  user: a\n" in told
    assert "ANSWERS=<file>" in told
    assert list((include / "programs").glob("*.yaml")) == []


def test_at_a_terminal_each_open_question_is_asked_once(shop_dsn: str, include: Path, tmp_path: Path) -> None:
    shops.write(shops.SHOPS["unnamed"], tmp_path / "data")
    load_folder(shop_dsn, tmp_path / "data", lambda _: None)
    asked: list[Question] = []

    def ask(question: Question) -> str:
        asked.append(question)
        return {"user": "a", "item": "b", "month_first": "true"}[question.key]

    new_program("log", ask=ask)

    assert [question.key for question in asked] == ["user", "item", "month_first"]
    assert "'MM/DD/YYYY'" in (include / "sql/log/interactions.sql").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["My Shop"], "lower-case letters"),
        (["movies", "--tables", "nothing"], "no tables to look at"),
        (["movies", "--answers", "nowhere.yaml"], "no file nowhere.yaml"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    ratings: str, include: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert message in capsys.readouterr().err
    assert list((include / "programs").glob("*.yaml")) == []


def test_too_few_interactions_are_told(
    ratings: str, include: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tagged", "--tables", "tags"]) == 0
    assert "200 interactions" in capsys.readouterr().out
