from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stack import s3_state
from stack.closing import Written, experiment_lines, quarantine_lines, shown_item
from stack.console import make_plan
from stack.parts import Plan

PROGRAM = """
braze:
  attribute: recs_books
  catalog: {name: books, fields: {title: string, price: number}}
"""


@pytest.fixture
def plan(stack_environ: dict[str, str], s3_url: str) -> Plan:
    return make_plan({**stack_environ, "STACK_S3_PORT": str(urlsplit(s3_url).port)})


def put(plan: Plan, key: str, **report: object) -> None:
    s3 = s3_state.client(plan.url("s3"))
    s3.create_bucket(Bucket=plan.settings.bucket)
    s3.put_object(Bucket=plan.settings.bucket, Key=key, Body=json.dumps(report).encode())


def test_the_rows_that_the_newest_export_left_out_are_counted_with_the_reason(plan: Plan) -> None:
    finding = {"level": "warn", "text": "shop/items.sql returns 3 row(s) (5%) without TITLE."}
    note = {"level": "note", "text": "few rows"}
    for run, quarantined in (("20260101T00", 9), ("20260102T00", 3)):
        key = f"shop/full/{run}/reports/items.json"
        put(plan, key, rows=60, quarantined=quarantined, findings=[finding, note])
    put(plan, "shop/full/20260103T00/plan.json", rows=0)
    put(plan, "other/full/20260103T00/reports/items.json", rows=1, quarantined=1, findings=[])
    assert quarantine_lines(plan, "shop") == [
        "items           3 of 60",
        "  shop/items.sql returns 3 row(s) (5%) without TITLE.",
    ]


def test_who_is_in_which_arm_and_who_was_held_out_is_said(plan: Plan) -> None:
    put(plan, "shop/recommendations/20260101T00-a/manifest.json", experiment="old")
    key = "shop/recommendations/20260102T00-b/manifest.json"
    arms = {"best": 1700, "out": 200}
    put(plan, key, experiment="autumn", arms=arms, held_out=["out"], users=2000)
    assert experiment_lines(plan, "shop", "Too early to say.") == [
        "",
        "Experiment autumn",
        "  best            1,700 people",
        "  out             200 people, held out: no list, no request, no data point",
        "  outside         100 people, who get the champion and are not compared",
        "  Too early to say.",
        f"  {plan.url('airflow')}/recsync/experiments/shop",
    ]
    put(plan, key, experiment="", users=2000)
    assert experiment_lines(plan, "shop", "") == []
    assert experiment_lines(plan, "other", "") == []


def test_without_an_export_there_is_nothing_to_count(plan: Plan) -> None:
    s3_state.ensure_bucket(plan.url("s3"), plan.settings.bucket)
    assert quarantine_lines(plan, "shop") == ["none: there was no full export yet"]


def test_what_arrives_in_braze_is_read_from_the_program_file(plan: Plan, tmp_path: Path) -> None:
    folder = tmp_path / "include" / "programs"
    folder.mkdir(parents=True)
    (folder / "books.yaml").write_text(PROGRAM)
    assert Written.of(plan, "books") == Written("recs_books", "books", ["title", "price"])
    (folder / "plain.yaml").write_text("braze: {attribute: recs_plain}")
    assert Written.of(plan, "plain") == Written("recs_plain")


@pytest.mark.parametrize(
    ("item", "fields", "text"),
    [
        ("b1", ["title", "price"], "Middlemarch (9.90)"),
        ("b2", ["title", "price"], "b2"),
        ("b3", ["section", "price"], "Novels"),
        ({"id": "b4", "title": "Emma", "price": 5}, [], "Emma (5.00)"),
        ({"id": "b5", "price": None}, [], "b5"),
    ],
)
def test_an_item_is_shown_by_its_name_where_there_is_one(item: object, fields: list[str], text: str) -> None:
    catalog = {"b1": {"title": "Middlemarch", "price": 9.9}, "b3": {"section": "Novels"}}
    assert shown_item(item, catalog, fields) == text
