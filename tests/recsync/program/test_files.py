from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml
from croniter import croniter

from recsync.errors import ProgramError
from recsync.program import DatasetType, parse_program
from recsync.program.files import program_files, read_program

REPO = Path(__file__).resolve().parents[3]
SCHEMA = (
    '{"type": "record", "name": "Interactions", "namespace": "com.amazonaws.personalize.schema",'
    ' "version": "1.0", "fields": [{"name": "USER_ID", "type": "string"},'
    ' {"name": "ITEM_ID", "type": "string"}, {"name": "TIMESTAMP", "type": "long"}]}'
)


@pytest.fixture
def include(tmp_path: Path) -> Path:
    for name in ("programs", "sql/shop", "schemas/shop"):
        (tmp_path / name).mkdir(parents=True)
    for query in ("interactions", "audience", "catalogue"):
        (tmp_path / "sql" / "shop" / f"{query}.sql").write_text("SELECT 1")
    (tmp_path / "schemas" / "shop" / "interactions.json").write_text(SCHEMA)
    return tmp_path


def write(include: Path, text: str) -> Path:
    path = include / "programs" / "shop.yaml"
    path.write_text(text)
    return path


def problems(include: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ProgramError) as caught:
        read_program(write(include, text), include)
    return caught.value.problems


def test_every_committed_program_is_sound() -> None:
    include = REPO / "include"
    assert [read_program(path, include).name for path in program_files(include)] == ["grocery"]


def test_defaults_fill_what_is_left_out(include: Path) -> None:
    program = read_program(write(include, "braze: {attribute: recs}\n"), include)
    assert program.name == "shop"
    assert program.dataset_types == (DatasetType.INTERACTIONS,)
    assert program.sql_file("interactions") == "shop/interactions.sql"
    assert program.braze.payload == "ids"
    assert program.schedules.export == "0 * * * *"


def test_default_minutes_are_spread_by_the_name_and_a_stated_schedule_is_kept(include: Path) -> None:
    names = [f"shop-{number}" for number in range(60)]
    text = "braze: {attribute: recs}\nschedules: {recommend: '0 6 * * *', maintain: null}\n"
    found = {name: parse_program(name, yaml.safe_load(text)).schedules for name in names}
    assert {schedules.recommend for schedules in found.values()} == {"0 6 * * *"}
    assert {schedules.maintain for schedules in found.values()} == {None}
    assert {schedules.export for schedules in found.values()} == {"0 * * * *"}, "intervals are full hours"
    fulls = Counter(schedules.train_full for schedules in found.values())
    assert all(croniter.is_valid(cron) and cron.endswith(" 3 * * 0") for cron in fulls)
    assert max(fulls.values()) <= 6
    assert len(fulls) > 30, "of 60 minutes"
    again = read_program(
        write(include, "braze: {attribute: recs}\nschedules: {train_full: H 4 * * 1}\n"), include
    )
    assert again.schedules.train_full == "55 4 * * 1", "the same on every machine and after every restart"


def test_all_problems_are_told_at_once_with_line_field_and_value(include: Path) -> None:
    found = problems(
        include,
        "braze:\n  attribute: $recs\n  payload: ids\npersonalise: {}\nrecommendations:\n  length: many\n",
    )
    assert len(found) == 3
    assert any(line.startswith("shop.yaml:6: recommendations.length:") and "'many'" in line for line in found)
    assert any(line.startswith("shop.yaml:2: braze.attribute:") and "'$recs'" in line for line in found)
    assert any(line.startswith("shop.yaml:4: personalise: unknown field") for line in found)


def test_a_recipe_that_is_not_there_names_the_alternatives(include: Path) -> None:
    (line,) = problems(include, "braze: {attribute: recs}\npersonalize: {recipe: aws-hrnn}\n")
    assert "aws-user-personalization" in line
    assert "'aws-hrnn'" in line


def test_broken_yaml_names_the_line(include: Path) -> None:
    (line,) = problems(include, "braze:\n  attribute: [\n")
    assert line.startswith("shop.yaml:3: not valid YAML")


def test_a_file_that_is_missing_is_named(include: Path) -> None:
    (include / "sql" / "shop" / "audience.sql").unlink()
    assert problems(include, "braze: {attribute: recs}\n") == (
        "shop.yaml:1: inputs.audience: include/sql/shop/audience.sql does not exist; write it",
    )


def test_a_broken_schema_is_named(include: Path) -> None:
    (include / "schemas" / "shop" / "interactions.json").write_text(SCHEMA.replace('"long"', '"string"'))
    (line,) = problems(include, "braze: {attribute: recs}\n")
    assert line == "include/schemas/shop/interactions.json:1: needs field TIMESTAMP of type long, not null"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "events: {types: {buy: null}}\npersonalize: {event_type: view}\nbraze: {attribute: recs}",
            "personalize.event_type names view, which events.types leaves out",
        ),
        (
            "events: {types: {buy: null}}\nrecommendations: {rules: {bought_event_types: [buy, sold]}}\n"
            "braze: {attribute: recs}",
            "bought_event_types names sold, which events.types leaves out",
        ),
        ("braze: {attribute: r, payload: objects}", "payload: objects needs item_fields"),
        ("braze: {attribute: r, item_fields: [name]}", "item_fields belong to payload: objects"),
        (
            "braze: {attribute: r}\npersonalize: {num_results: 5}",
            "must be at least recommendations.length (12)",
        ),
        ("braze: {attribute: r}\nschedules: {export: hourly now}", "must be a cron expression"),
        ("braze: {attribute: r}\ndatasets: {interactions: {sql: ../x.sql}}", "must be a path below include/"),
        ("braze: {attribute: r, catalog: {name: c, fields: {id: string}}}", "not be 'id'"),
        ("- a list", "the file must be a list of lines of the form"),
        ("", "the file must be a list of lines of the form"),
    ],
)
def test_values_that_cannot_be_are_refused(include: Path, text: str, expected: str) -> None:
    assert any(expected in line for line in problems(include, text))
