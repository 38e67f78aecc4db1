from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml
from croniter import croniter

from recsync.program import DatasetType
from recsync.program.files import read_program
from recsync.program.parse import parse_program

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
