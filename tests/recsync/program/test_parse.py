"""A program over the data of another one: what it takes from the other's file, and what its own may not say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recsync.errors import ProgramError
from recsync.program import Program, names
from recsync.program.files import owners, read_program, read_programs, sharers
from recsync.training.solutions import OWN, trained_by_full

_AVRO = {"type": "record", "namespace": "com.amazonaws.personalize.schema", "version": "1.0"}
FIELDS = {
    "interactions": [
        ("USER_ID", "string"),
        ("ITEM_ID", "string"),
        ("TIMESTAMP", "long"),
        ("EVENT_TYPE", "string"),
    ],
    "items": [("ITEM_ID", "string"), ("PRICE", ["null", "float"])],
}
OWNER = """
datasets: {interactions: {}, items: {}}
bucket: the-bucket
events: {types: {buy: 1, view:}}
personalize: {hyperparameters: {hidden_dimension: 64}}
braze: {attribute: recs}
"""


@pytest.fixture
def include(tmp_path: Path) -> Path:
    for folder in ("programs", "sql/weekly", "schemas/weekly"):
        (tmp_path / folder).mkdir(parents=True)
    for name, fields in FIELDS.items():
        (tmp_path / f"sql/weekly/{name}.sql").write_text("SELECT 1")
        described = [{"name": column, "type": kind} for column, kind in fields]
        schema = {**_AVRO, "name": name.title(), "fields": described}
        (tmp_path / f"schemas/weekly/{name}.json").write_text(json.dumps(schema))
    write(
        tmp_path,
        "weekly",
        OWNER.replace("events: {types: {buy: 1, view:}}\n", "events: {types: {buy: , view: }}\n"),
    )
    return tmp_path


def write(include: Path, name: str, text: str) -> None:
    (include / "sql" / name).mkdir(exist_ok=True)
    for query in ("audience", "catalogue"):
        (include / f"sql/{name}/{query}.sql").write_text("SELECT 1")
    (include / f"programs/{name}.yaml").write_text(text)


def read(include: Path, name: str) -> Program:
    return read_program(include / f"programs/{name}.yaml", include)


def problems(include: Path, name: str, text: str) -> list[str]:
    write(include, name, text)
    with pytest.raises(ProgramError) as caught:
        read(include, name)
    return caught.value.problems


def test_what_the_data_and_the_model_are_stands_once(include: Path) -> None:
    write(
        include,
        "winback",
        "data: weekly\npersonalize: {model: weekly, num_results: 30}\nbraze: {attribute: back}\n",
    )
    winback, weekly = read(include, "winback"), read(include, "weekly")
    assert (winback.data_owner, winback.model_owner) == (weekly, weekly)
    assert (winback.bucket, winback.dataset_types) == ("the-bucket", weekly.dataset_types)
    assert (winback.personalize.recipe, winback.personalize.results) == (weekly.personalize.recipe, 30)
    assert winback.personalize.hyperparameters == weekly.personalize.hyperparameters
    assert names.dataset_group_name(winback) == "weekly"
    assert winback.sql_file("interactions") == "weekly/interactions.sql"
    assert winback.sql_file("audience") == "winback/audience.sql"
    stages = {
        name for name in ("export", "train_full", "recommend", "push", "forget") if winback.has_stage(name)
    }
    assert stages == {"recommend", "push"}
    assert winback.has_stage("somebodys_own_dag_file")


def test_the_same_settings_are_one_solution(include: Path) -> None:
    same = "data: weekly\npersonalize: {hyperparameters: {hidden_dimension: 64}}\nbraze: {attribute: same}\n"
    write(include, "same", same)
    write(include, "other", same.replace("64", "128").replace("same", "other"))
    weights = "event_weights: {buy: 1, view: 0.5}"
    v2 = f"{{recipe: aws-user-personalization-v2, {weights}}}"
    write(include, "weighing", f"data: weekly\npersonalize: {v2}\nbraze: {{attribute: weighing}}\n")
    write(
        include,
        "lighter",
        f"data: weekly\npersonalize: {v2.replace('0.5', '0.1')}\nbraze: {{attribute: lighter}}\n",
    )
    read_all, broken = read_programs(include)
    assert not broken
    solutions = {name: trained_by_full(program, {})[OWN].name for name, program in read_all.items()}
    assert solutions["same"] == solutions["weekly"]
    # Weights change in place, so those that differ need a solution each.
    assert len(set(solutions.values())) == 4
    assert all(name.startswith("weekly-") for name in solutions.values())
    assert owners(include) == ["weekly"]
    assert sharers("weekly", include) == ["lighter", "other", "same", "weighing"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("datasets: {items: {}}", "datasets: is decided in weekly.yaml, which owns the data; remove it here"),
        ("schedules: {export: '0 * * * *'}", "schedules.export: is decided in weekly.yaml"),
        ("erasure: {braze: nothing}", "erasure: is decided in weekly.yaml"),
        (
            "personalize: {model: weekly, recipe: aws-sims}",
            "personalize.recipe: is decided in weekly.yaml, which owns",
        ),
        (
            "gate: {minimum: 0.1}\npersonalize: {model: weekly}",
            "gate: is decided in weekly.yaml, which owns the model",
        ),
        ("personalize: {model: nobody}", "personalize.model: there is no include/programs/nobody.yaml"),
        ("personalize: {model: alone}", "personalize.model: does not use the data of weekly"),
        ("personalize: {model: third}", "personalize.model: asks the model of weekly itself; name weekly"),
        ("personalize: {model: shared}", "personalize.model: is the program itself"),
        ("personalize: {recipe: aws-next-best-action}", "aws-next-best-action needs datasets.actions"),
        (
            "personalize: {event_type: watch}",
            "personalize.event_type names watch, which events.types leaves out",
        ),
        (
            "personalize: {model: weekly}\naudience: {segment: {items: [a]}}",
            "audience.segment: needs a model that",
        ),
    ],
)
def test_what_may_not_stand_in_a_sharers_file(include: Path, text: str, told: str) -> None:
    write(include, "alone", "braze: {attribute: alone}")
    write(include, "third", "data: weekly\npersonalize: {model: weekly}\nbraze: {attribute: third}")
    found = problems(include, "shared", f"data: weekly\nbraze: {{attribute: shared}}\n{text}\n")
    assert any(told in line for line in found), found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data: nobody", "data: there is no include/programs/nobody.yaml"),
        ("data: shared", "data: is the program itself"),
        ("data: second", "data: uses the data of weekly itself; name the owner, data: weekly"),
        ("data: broken", "data: broken.yaml must be corrected first"),
        ("personalize: {model: weekly}", "personalize.model: needs data"),
    ],
)
def test_the_owner_of_the_data_must_be_one(include: Path, text: str, told: str) -> None:
    write(include, "second", "data: weekly\nbraze: {attribute: second}")
    write(include, "broken", "brase: {}")
    found = problems(include, "shared", f"{text}\nbraze: {{attribute: shared}}\n")
    assert any(told in line for line in found), found
