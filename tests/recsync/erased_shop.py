"""A bucket of the program ``shop`` with every kind of object that an erasure rewrites, of as many people as wanted."""

from __future__ import annotations

import gzip
import hashlib
import html
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsync.context import StageContext
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.report_page import page
from recsync.export.store import ExportStore
from recsync.imports.dataset_state import DatasetState, LastFull
from recsync.imports.store import ImportStore
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.storage.hashes import string_hashes

KIND = DatasetType.INTERACTIONS
FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def user(number: int) -> str:
    """Ids that are parts of others, and that CSV and JSON spell in another way."""
    return f"{number}" if number % 5 else f'{number}"é, \\'


def person(number: int) -> str:
    return f"b-{user(number)}"


def fill(context: StageContext, *, people: int, hours: int, days: int, per_hour: int = 20) -> None:
    """Write an interval's objects for each hour and a run's for each day; user n is in every run and in few hours."""
    bucket, keys, random = context.bucket, context.keys, np.random.default_rng(7)
    intervals: dict[str, dict[str, str]] = {}
    for hour in range(hours):
        interval = Interval(FIRST + timedelta(hours=hour), FIRST + timedelta(hours=hour + 1))
        rows = sorted(random.choice(people, per_hour).tolist())
        key = keys.export(KIND, interval.key)
        exported = _export(context, key, rows)
        context.store(ExportStore).publish_interval(Manifest(interval, {KIND: exported}))
        intervals[interval.key] = {KIND.value: exported.digest}
        report = {
            "columns": [{"name": "USER_ID", "smallest": user(rows[0]), "largest": user(rows[-1])}],
            "problems": [{"rule": "type", "example": f"row of {user(rows[1])}"}] if hour % 7 == 0 else [],
        }
        bucket.put_json(keys.companion(key, "reports", ".json"), report)
        bucket.put(keys.companion(key, "reports", ".html"), page(report).encode())
        if hour % 3 == 0:
            rejected = [{"rule": "type", "values": {"USER_ID": user(rows[2])}}, {"rule": "x", "values": {}}]
            bucket.put(keys.companion(key, "quarantine", ".jsonl.gz"), gzip.compress(_lines(rejected)))
    full = {}
    everybody = list(range(people))
    snapshot = _export(context, keys.full("r1", KIND), everybody)
    context.store(ExportStore).publish_full("r1", Manifest(Interval.until(FIRST), {KIND: snapshot}))
    full[KIND] = LastFull(
        FIRST, digest=snapshot.digest, alone=True, snapshot=snapshot.key, etag=snapshot.etag
    )
    state = DatasetState(full=full, intervals=intervals)
    context.store(ImportStore).change(lambda _: state)
    hashes = np.sort(string_hashes(pa.array([user(n) for n in everybody])))
    bucket.put(f"{keys.all_full}r1/ids/users.u64", hashes.astype("<u8").tobytes())
    bucket.put(f"{keys.all_imports}r1/interactions/1.csv", _csv(everybody[::3]))
    for day in range(days):
        _fill_run(context, f"202611{day + 1:02d}T050000-r", everybody)


def _fill_run(context: StageContext, run: str, people: list[int]) -> None:
    bucket, keys = context.bucket, context.keys
    ids = {"user_id": [user(n) for n in people], "external_id": [person(n) for n in people]}
    bucket.put(keys.batch_input(run), _lines([{"userId": user(n)} for n in people]))
    answers = [
        {
            "input": {"userId": user(n)},
            "output": {"recommendedItems": ["i1", "i2"], "scores": [0.5, 0.25]},
            "error": None,
        }
        for n in people
    ]
    compact = b"".join(
        json.dumps(one, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for one in answers
    )
    bucket.put(f"{keys.batch_output(run)}users.json.out", compact)
    bucket.put_table(keys.audience(run), pa.table(ids))
    bucket.put_table(
        f"{keys.recommendations(run)}lists.parquet", pa.table({**ids, "items": [["i1"]] * len(people)})
    )
    delivery = keys.delivery(run)
    body = io.BytesIO()
    plan = {
        "external_id": ids["external_id"],
        "outcome": ["sent"] * len(people),
        "object": [b"{}"] * len(people),
    }
    pq.write_table(pa.table(plan), body, row_group_size=max(1, len(people) // 3))
    bucket.put(f"{delivery}writes/rest.parquet", body.getvalue())
    letters = [{"reason": f"refused {person(n)}", "object": {"external_id": person(n)}} for n in people[::11]]
    bucket.put(f"{delivery}dead_letters.jsonl", _lines(letters))
    bucket.put_table(keys.table_object("deliveries", f"{run[:4]}-{run[4:6]}-{run[6:8]}", "p"), pa.table(ids))
    bucket.put_json(f"{delivery}report.json", {"sent": len(people), "reason": "42 of 77"})


def _csv(numbers: list[int]) -> bytes:
    return b"ITEM_ID,USER_ID,TIMESTAMP\n" + b"".join(f"i1,{_cell(n)},7\n".encode() for n in numbers)


def _cell(number: int) -> str:
    escaped = user(number).replace("\\", "\\\\").replace('"', '\\"')
    return user(number) if number % 5 else f'"{escaped}"'


def _export(context: StageContext, key: str, numbers: list[int]) -> ExportedObject:
    body = _csv(numbers)
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    return ExportedObject(key, len(numbers), len(body), digest, context.bucket.put(key, body))


def _lines(documents: list[Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in documents)


def contents(context: StageContext) -> dict[str, bytes]:
    """Every object as its readers see it, without those of erasures and without time of day."""
    skipped = (context.keys.erasures, context.keys.erasure_index)
    keys = [key for key in context.bucket.keys("shop/") if not key.startswith(skipped)]
    return {key: readable(key, context.bucket.get(key) or b"") for key in keys}


def readable(key: str, body: bytes) -> bytes:
    if key.endswith(".parquet"):
        return json.dumps(
            pq.read_table(io.BytesIO(body)).to_pylist(), default=repr, ensure_ascii=False
        ).encode()
    return gzip.decompress(body) if key.endswith(".gz") else body


def named(found: dict[str, bytes], numbers: Iterable[int]) -> set[tuple[str, int]]:
    """Return which objects name whom: as a cell, a JSON text, the end of a sentence, or a hash."""
    hashes = {n: string_hashes(pa.array([user(n)])).astype("<u8").tobytes() for n in numbers}
    marks = {n: _marks(n) for n in numbers}
    return {
        (key, n)
        for key, body in found.items()
        for n in marks
        if (hashes[n] in body if key.endswith(".u64") else any(mark in body for mark in marks[n]))
    }


def _marks(number: int) -> list[bytes]:
    texts = [
        text
        for one in (user(number), person(number))
        for text in (json.dumps(one), json.dumps(one, ensure_ascii=False))
    ]
    # The cells of pages and texts, and the ends of sentences in JSON.
    shown = [f">{html.escape(user(number))}<", *(f" {text[1:]}" for text in texts), f",{_cell(number)},"]
    return [text.encode() for text in (*texts, *shown)]


def check_published(context: StageContext) -> None:
    """Check that manifests and the import state describe the objects that are there."""
    store, state = context.store(ExportStore), context.store(ImportStore).read()
    etags = {entry["Key"]: entry["ETag"] for entry in context.bucket.listed("shop/")}
    manifests = [
        store.interval(key.rsplit("/", 1)[1].removesuffix(".json"))
        for key in etags
        if key.startswith(context.keys.export_manifests)
    ]
    assert manifests
    for manifest in [*manifests, store.full("r1")]:
        assert manifest
        for kind, exported in manifest.objects.items():
            body = context.bucket.get(exported.key) or b""
            assert exported.etag == etags[exported.key]
            assert (exported.size_bytes, exported.rows) == (len(body), body.count(b"\n") - 1)
            assert exported.digest == hashlib.blake2b(body, digest_size=16).hexdigest()
            if manifest.interval.key in state.intervals:
                assert state.intervals[manifest.interval.key][kind.value] == exported.digest
    assert state.full[KIND].etag == etags[state.full[KIND].snapshot]
