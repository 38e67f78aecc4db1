"""The filter of a run: its name, each person's values, and which former filters are deleted."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from airflow_personalize.errors import PersonalizeFatalError
from recsync.errors import FatalError
from recsync.program import Program
from recsync.program.parse import parse_program
from recsync.recommend.filters import (
    active_filter,
    add_values,
    filter_values,
    keep_values,
    make_room,
    retire_filters,
    to_retire,
)
from recsync.warehouse.column_types import Kind

MORNING = datetime(2026, 11, 19, 5, 30, 7, tzinfo=UTC)


MIDNIGHT = int(datetime(2026, 11, 19, tzinfo=UTC).timestamp())


NEW = "INCLUDE ItemID WHERE Items.CREATION_TIMESTAMP > {{ epoch(data_interval_end - days(30)) }}"


def program(name: str = "shop", **filters: Any) -> Program:
    return parse_program(name, {"braze": {"attribute": "recs"}, "filters": filters})


def test_all_runs_of_a_day_share_a_filter_and_other_days_have_others() -> None:
    shop = program(recommend={"expression": NEW})
    morning, evening = (active_filter(shop, MORNING.replace(hour=hour)) for hour in (0, 23))
    tomorrow = active_filter(shop, MORNING + timedelta(days=1))
    assert morning == evening
    assert morning is not None
    assert tomorrow is not None
    assert morning.expression.endswith(f"> {MIDNIGHT - 30 * 86_400}")
    assert morning.name != tomorrow.name
    assert morning.name.startswith("shop-filter-")
    longest = active_filter(program("x" * 32, recommend={"expression": NEW}), MORNING)
    assert longest is not None
    assert len(longest.name) <= 63
    assert active_filter(program(), MORNING) is None


def summary(name: str, age_days: int, status: str = "ACTIVE") -> dict[str, Any]:
    created = MORNING - timedelta(days=age_days)
    return {"name": name, "filterArn": f"arn:{name}", "status": status, "creationDateTime": created}


def own(number: int, program_name: str = "shop") -> str:
    return f"{program_name}-filter-{number:012x}"


def retired(found: list[dict[str, Any]], current: str | None, keep: int = 2) -> set[str]:
    return {each["name"] for each in to_retire(program(keep=keep), found, current)}


def test_the_current_filter_and_the_newest_before_it_stay() -> None:
    found = [summary(own(age), age) for age in range(6)]
    assert retired(found, own(0)) == {own(3), own(4), own(5)}
    # A run of a past day uses an old one again.
    assert retired(found, own(5)) == {own(2), own(3), own(4)}
    assert retired(found, own(99)) == {own(2), own(3), own(4), own(5)}
    assert retired(found, None) == {own(age) for age in range(6)}


def test_filters_of_others_are_never_touched() -> None:
    foreign = [
        "hand-made",
        "shop-filter-new-items",
        own(7, "shop2"),
        own(8, "shop-filter"),
        own(9, "my-shop"),
        own(10) + "0",
        f"shop-filter-{'A' * 12}",
    ]
    assert retired([summary(name, 100 + n) for n, name in enumerate(foreign)], None) == set()


def test_one_that_failed_goes_and_one_that_goes_already_is_left() -> None:
    found = [
        summary(own(1), 1, "CREATE FAILED"),
        summary(own(2), 2, "DELETE IN_PROGRESS"),
        summary(own(3), 3),
    ]
    assert retired(found, own(1)) == {own(1)}


PREFIX = "arn:aws:personalize:eu-west-1:123456789012:"
VERSION = f"{PREFIX}solution/shop/0a1b2c3d"
GROUP = f"{PREFIX}dataset-group/shop"


def listed(number: int, program: str = "shop") -> dict[str, Any]:
    name = f"{program}-filter-{number:012x}"
    arn = f"{PREFIX}filter/{name}"
    return {"name": name, "filterArn": arn, "status": "ACTIVE", "creationDateTime": 1_700_000_000 + number}


@pytest.fixture
def filters(personalize: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Six filters of the program, the last one newest, and one of another program."""
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(tmp_path))
    for name in ("programs", "sql/shop", "schemas/shop"):
        (tmp_path / name).mkdir(parents=True)
    chosen = "{expression: INCLUDE ItemID WHERE Items.A = 1}"
    filters = f"filters:\n  keep: 2\n  recommend: {chosen}\n"
    text = f"datasets: {{interactions: {{}}, items: {{}}}}\nbraze: {{attribute: recs}}\n{filters}"
    (tmp_path / "programs/shop.yaml").write_text(text)
    for query in ("interactions", "items", "audience", "catalogue"):
        (tmp_path / f"sql/shop/{query}.sql").write_text("SELECT 1")
    fields = [{"name": name, "type": "string"} for name in ("USER_ID", "ITEM_ID")]
    schema = {
        "type": "record",
        "name": "Interactions",
        "namespace": "com.amazonaws.personalize.schema",
        "version": "1.0",
        "fields": [*fields, {"name": "TIMESTAMP", "type": "long"}],
    }
    (tmp_path / "schemas/shop/interactions.json").write_text(json.dumps(schema))
    items = {**schema, "name": "Items", "fields": [fields[1], {"name": "A", "type": "int"}]}
    (tmp_path / "schemas/shop/items.json").write_text(json.dumps(items))
    personalize.on("DescribeSolution", {"solution": {"datasetGroupArn": GROUP}})
    personalize.on("ListFilters", {"Filters": [*map(listed, range(6)), listed(0, "other")]})
    personalize.on(
        "DescribeFilter", lambda body: {"filter": {"filterArn": body["filterArn"], "status": "ACTIVE"}}
    )
    return personalize.on("DeleteFilter", {})


def test_room_is_made_before_the_runs_own_filter(filters: Any) -> None:
    chosen = {"name": "shop-filter-ffffffffffff", "expression": "INCLUDE ItemID WHERE Items.A = 1"}
    found = make_room("shop", {"filter": chosen, "solution_version_arn": VERSION})
    assert found == {**chosen, "dataset_group_arn": GROUP}
    assert [body["filterArn"] for body in filters.requests("DeleteFilter")] == [
        listed(number)["filterArn"] for number in (3, 2, 1, 0)
    ]
    assert filters.requests("ListFilters") == [{"datasetGroupArn": GROUP}]


def test_a_filter_in_use_stays_and_the_others_go(filters: Any) -> None:
    busy = listed(1)["filterArn"]
    in_use = filters.refusal("ResourceInUseException", "a job uses it")
    filters.on("DeleteFilter", lambda body: in_use if body["filterArn"] == busy else {})
    gone = retire_filters("shop", VERSION, listed(0)["name"])
    assert gone == [listed(number)["filterArn"] for number in (3, 2)]


def test_another_refusal_is_told(filters: Any) -> None:
    filters.on("DeleteFilter", filters.refusal("AccessDeniedException", "not you"))
    with pytest.raises(PersonalizeFatalError, match="not you"):
        retire_filters("shop", VERSION, None)


@pytest.mark.parametrize(
    ("kind", "text", "written"),
    [
        (Kind.TEXT, "horror", '"horror"'),
        (Kind.TEXT, "a, b", '"a, b"'),
        (Kind.TEXT, "a|b", '"a|b"'),
        (Kind.TEXT, "7", '"7"'),
        (Kind.TEXT, "it's", '"it\'s"'),
        (Kind.UNKNOWN, "horror", '"horror"'),
        (Kind.ARRAY, '["horror","comedy"]', '"horror","comedy"'),
        (Kind.ARRAY, "horror|comedy", '"horror","comedy"'),
        (Kind.JSON, '["x", null, ""]', '"x"'),
        (Kind.JSON, '"x"', '"x"'),
        (Kind.INTEGER, "7", "7"),
        (Kind.DECIMAL, "-3.50", "-3.5"),
        (Kind.FLOAT, "1e+16", "10000000000000000"),
        (Kind.FLOAT, "0.1", "0.1"),
        (Kind.DECIMAL, "1200", "1200"),
        (Kind.ARRAY, "[1,2.5]", "1,2.5"),
        # As an export has it, or a filter would compare "True" with "t".
        (Kind.BOOLEAN, "t", '"t"'),
        (Kind.MOMENT, "2026-11-19 05:00:00+00", "1795064400"),
        (Kind.MOMENT, "2026-11-19 05:00:00", "1795064400"),
        (Kind.MOMENT, "2026-11-19", "1795046400"),
    ],
)
def test_values_are_quoted_as_the_service_reads_them(kind: Kind, text: str, written: str) -> None:
    assert filter_values({"P": text}, {"P": kind}) == {"P": written}


@pytest.mark.parametrize(
    ("kind", "nothing"), [(Kind.TEXT, None), (Kind.TEXT, ""), (Kind.ARRAY, "[]"), (Kind.JSON, "[null]")]
)
def test_nothing_is_left_out(kind: Kind, nothing: str | None) -> None:
    assert filter_values({"P": nothing, "Q": "0"}, {"P": kind, "Q": Kind.INTEGER}) == {"Q": "0"}


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Kind.TEXT, '6" pan', "double quote"),
        (Kind.TEXT, "x" * 999, "1000 characters"),
        (Kind.FLOAT, "NaN", "finite"),
        (Kind.MOMENT, "infinity", "no time"),
        (Kind.JSON, '{"pan": 1}', "no text and no list"),
    ],
)
def test_what_no_filter_value_can_be_is_refused_without_showing_it(kind: Kind, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"\$SIZE .*{said}") as caught:
        filter_values({"SIZE": text}, {"SIZE": kind})
    assert "pan" not in str(caught.value)


def kept(tmp_path: Path, *rows: tuple[str | None, ...], kind: Kind = Kind.TEXT) -> Path:
    target = tmp_path / "values.parquet"
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    batches = pa.Table.from_arrays(columns, ["user_id", "favourite"]).to_batches(max_chunksize=2)
    passed = keep_values(batches, {"CAT": "favourite"}, {"CAT": kind}, target, name="audience.sql")
    assert list(passed) == batches
    return target


def test_each_line_gets_the_values_of_its_person(tmp_path: Path) -> None:
    values = kept(
        tmp_path, ("u2", "shoe"), ("07", None), ("u1", "a|b"), ("u2", "boot"), ("u9", "x"), kind=Kind.ARRAY
    )
    lines = tmp_path / "lines.json"
    lines.write_text('{"userId":"07"}\n{"userId":"u1"}\n{"userId":"u2"}\n{"userId":"u3"}\n')
    add_values(duckdb.connect(), lines, values, lists=False)
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert found == [
        {"userId": "07", "filterValues": {}},
        {"userId": "u1", "filterValues": {"CAT": '"a","b"'}},
        {"userId": "u2", "filterValues": {"CAT": '"boot"'}},
        {"userId": "u3", "filterValues": {}},
    ]


def test_lists_to_rank_stay_as_they_are(tmp_path: Path) -> None:
    lines = tmp_path / "lines.json"
    lines.write_text('{"userId":"u1","itemList":["10","02"]}\n')
    add_values(duckdb.connect(), lines, kept(tmp_path, ("u1", "3"), kind=Kind.INTEGER), lists=True)
    assert json.loads(lines.read_text()) == {
        "userId": "u1",
        "itemList": ["10", "02"],
        "filterValues": {"CAT": "3"},
    }


def test_a_value_that_no_filter_takes_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"audience.sql returns a value .*\$CAT holds a double quote"):
        kept(tmp_path, ("u1", 'a "b"'))
