from __future__ import annotations

from pathlib import Path

import pytest
from yaml import safe_load

from recsync.errors import ProgramError
from recsync.program.files import (
    days_of_lists_needed,
    experiment_problems,
    missing_programs,
    program_files,
    read_program,
    read_programs,
    shared_problems,
)
from recsync.program.parse import parse_program

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


def test_programs_that_rules_name_must_exist(include: Path) -> None:
    write(include, "braze: {attribute: recs}")
    rules = "{not_in: [shop, winback], not_mailed_in_days: {days: 7, programs: [shop, shopp]}}"
    text = f"braze: {{attribute: other}}\nrecommendations:\n  rules: {rules}\n"
    (include / "programs" / "winback.yaml").write_text(text.replace("winback", "weekly"))
    for query in ("interactions", "audience", "catalogue"):
        (include / "sql" / "winback").mkdir(exist_ok=True)
        (include / "sql" / "winback" / f"{query}.sql").write_text("SELECT 1")
    (include / "schemas" / "winback").mkdir()
    (include / "schemas" / "winback" / "interactions.json").write_text(SCHEMA)
    # A program with mistakes is there all the same.
    (include / "programs" / "broken.yaml").write_text("braze: {}")
    programs, _ = read_programs(include)
    found = missing_programs(programs, include)
    assert list(found) == ["winback"]
    assert len(found["winback"]) == 2
    there = "recommendations.rules.not_in.1: there is no include/programs/weekly.yaml. Name"
    assert found["winback"][0].startswith(f"winback.yaml:3: {there}")
    assert "programs.1: there is no include/programs/shopp.yaml; did you mean shop?" in found["winback"][1]
    (include / "programs" / "winback.yaml").write_text(text)
    programs, _ = read_programs(include)
    assert "is this program itself" in missing_programs(programs, include)["winback"][0]
    assert days_of_lists_needed(programs.values(), "shop") == 7
    assert days_of_lists_needed(programs.values(), "winback") == 0
    alone = parse_program(
        "shop", {"braze": {"attribute": "r"}, "recommendations": {"rules": {"not_mailed_in_days": 9}}}
    )
    assert days_of_lists_needed([alone, *programs.values()], "shop") == 9


def test_exports_need_the_lists_of_their_window_and_of_the_week_that_is_exported_again() -> None:
    document = {
        "braze": {"attribute": "r"},
        "personalize": {"attribution": {"source": "program", "window_days": 5}},
    }
    filling = parse_program("shop", document)
    sharer = parse_program(
        "weekly", {"data": "shop", "braze": {"attribute": "w"}}, lambda _: (document, lambda: filling)
    )
    assert days_of_lists_needed([filling, sharer], "shop") == 12
    assert days_of_lists_needed([filling, sharer], "weekly") == 12
    del document["personalize"]
    assert days_of_lists_needed([parse_program("shop", document)], "shop") == 0


def test_a_status_catalog_may_be_shared_and_is_nobodys_catalog_of_items(include: Path) -> None:
    limited = "recommendations: {max_age_days: 9}\nbraze:\n  attribute: "
    items = f"{limited}c\n  catalog: {{name: x, fields: {{title: string}}}}\n"
    texts = {"a": f"{limited}a\n  status_catalog: x\n", "b": f"{limited}b\n  status_catalog: x\n"}

    def found(texts: dict[str, str]) -> dict[str, list[str]]:
        for name, text in texts.items():
            (include / "programs" / f"{name}.yaml").write_text(text)
        return shared_problems(
            {name: parse_program(name, safe_load(text)) for name, text in texts.items()}, include
        )

    assert found(texts) == {}
    told = found({**texts, "c": items})
    assert {name: line.split(":")[:2] for name, (line,) in told.items()} == {
        "a": ["a.yaml", "4"], "b": ["b.yaml", "4"], "c": ["c.yaml", "4"]
    }  # fmt: skip
    assert "writes to the same Braze catalog" in told["a"][0]


def test_experiments_beside_each_other_are_told_with_their_line(include: Path) -> None:
    arms = "arms: {a: {share: 0.6, gets: champion}, b: {share: 0.1, gets: nothing}}"
    (include / "sql" / "shop" / "outcomes.sql").write_text("SELECT 1")
    (include / "sql" / "wine").mkdir()
    for query in ("audience", "catalogue", "outcomes"):
        (include / "sql" / "wine" / f"{query}.sql").write_text("SELECT 1")
    shop = write(
        include, f"braze: {{attribute: recs}}\nexperiment:\n  name: autumn\n  layer: mail\n  {arms}\n"
    )
    wine = f"braze: {{attribute: wine}}\ndata: shop\nexperiment:\n  name: winter\n  layer: mail\n  {arms}\n"
    shop.with_name("wine.yaml").write_text(wine)
    sound, broken = read_programs(include)
    assert broken == {}
    found = experiment_problems(sound, include)
    assert sorted(found) == ["shop", "wine"]
    assert found["wine"][0].startswith("wine.yaml:6: experiment.arms: the experiments of layer mail")
    shop.with_name("wine.yaml").write_text(wine.replace("layer: mail", "layer: wine"))
    assert experiment_problems(read_programs(include)[0], include) == {}
