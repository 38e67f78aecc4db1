from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from recsync.context import StageContext
from recsync.costs.usage import answered_lines, count_lines, imported_bytes, rows_of_full, segment_users
from recsync.program import Program
from recsync.storage.bucket import Bucket


@pytest.fixture
def context(bucket: Bucket) -> StageContext:
    made = StageContext(Program.model_validate({"name": "shop", "braze": {"attribute": "recs"}}))
    made.__dict__["bucket"] = bucket
    return made


def test_an_import_reads_one_object_or_the_first_level_of_a_folder(context: StageContext) -> None:
    for name in ("a.csv", "b.csv", "below/c.csv"):
        context.bucket.put(f"shop/in/{name}", b"12345")
    uri = context.bucket.uri
    assert imported_bytes(context, uri("shop/in/")) == 10
    assert imported_bytes(context, uri("shop/in/a.csv")) == 5
    assert imported_bytes(context, uri("shop/gone.csv")) == imported_bytes(context, uri("shop/gone/")) == 0


def test_only_lines_without_an_error_are_counted_as_recommendations(context: StageContext) -> None:
    lines = [
        b'{"input":{},"output":{},"error":null}',
        b'{"input":{},"output":null,"error":"unknown user"}',
        b'{"input":{}, "output":{}, "error": null}',
        b'{"input":{"userId":"trunc',
    ]
    context.bucket.put("shop/out/users.json.out", b"\n".join(lines) + b"\n")
    context.bucket.put("shop/out/_CHECK", b"no output")
    uri = context.bucket.uri
    assert answered_lines(context, uri("shop/out/")) == 3
    assert answered_lines(context, uri("shop/none/")) is None
    assert count_lines(context, uri("shop/out/users.json.out")) == 4
    assert count_lines(context, uri("shop/none")) == 0


def test_the_users_of_a_segment_are_counted(context: StageContext) -> None:
    answers = [
        {"input": {"itemId": i}, "output": {"usersList": users}}
        for i, users in (("a", ["x", "y"]), ("b", ["x"]))
    ]
    body = "".join(f"{json.dumps({**answer, 'error': None})}\n" for answer in answers)
    context.bucket.put("shop/segment/items.json.out", body.encode())
    assert segment_users(context, context.bucket.uri("shop/segment/")) == 3


def test_the_newest_full_snapshot_before_a_training_has_its_rows(context: StageContext) -> None:
    assert rows_of_full(context) is None
    for run, rows in (("20260101T000000-a", 5), ("20260201T000000-b", 7)):
        document = {"objects": {"INTERACTIONS": {"rows": rows}}}
        context.bucket.put_json(context.keys.full_manifest(run), document)
    assert rows_of_full(context) == 7
    assert rows_of_full(context, datetime(2026, 1, 15, tzinfo=UTC)) == 5
    assert rows_of_full(context, datetime(2025, 1, 15, tzinfo=UTC)) is None
