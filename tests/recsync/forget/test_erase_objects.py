"""Objects on a real S3 server lose a person; manifests and the import state follow."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3
import numpy as np
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer

from recsync.context import StageContext
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.report_page import page
from recsync.export.store import ExportStore
from recsync.forget.erase_objects import erase_object, update_manifests
from recsync.forget.erasure_rules import Identity, redaction_of
from recsync.imports.dataset_state import DatasetState, LastFull
from recsync.imports.store import ImportStore
from recsync.program import DatasetType, Program
from recsync.program.intervals import Interval
from recsync.storage.bucket import Bucket
from recsync.storage.hashes import string_hashes

KIND = DatasetType.INTERACTIONS
ANN = Identity("ann", ("b-ann",))
FIVE = Interval(datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC))


@pytest.fixture(scope="module")
def context() -> Iterator[StageContext]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket="erasure")
    made = StageContext(Program.model_validate({"name": "shop", "braze": {"attribute": "recs"}}))
    made.__dict__["bucket"] = Bucket(client, "erasure")
    yield made
    server.stop()


def erased(context: StageContext, key: str) -> int:
    redaction = redaction_of("shop", key)
    assert redaction
    return erase_object(context.bucket, key, redaction, "e1", ANN)


@pytest.mark.parametrize(
    ("name", "former", "newer"),
    [
        ("exports/interactions/2026-11-22T0500Z.csv", b"USER_ID\nann\nbob\n", b"USER_ID\nann\nbob\ncid\n"),
        (
            "exports/reports/interactions/2026-11-22T0500Z.json",
            b'[{"USER_ID": "ann"}]',
            b'[{"USER_ID": "ann"}, {"b": 1}]',
        ),
    ],
)
def test_what_a_run_writes_meanwhile_is_not_lost(
    context: StageContext, monkeypatch: pytest.MonkeyPatch, name: str, former: bytes, newer: bytes
) -> None:
    key, bucket = f"shop/{name}", context.bucket
    bucket.put(key, former)
    read = Identity.occurs

    def occurs(identity: Identity, body: bytes) -> bool:
        if former in body:
            bucket.put(key, newer)  # between the first read and the write
        return read(identity, body)

    monkeypatch.setattr(Identity, "occurs", occurs)
    assert erased(context, key) == 1
    left = bucket.get(key) or b""
    assert b"ann" not in left
    assert b"cid" in left or b'"b": 1' in left


def test_a_packed_output_stays_packed_and_loses_its_line(context: StageContext) -> None:
    key = "shop/batch/r/output/users.json.out.gz"
    lines = [json.dumps({"input": {"userId": who}}).encode() + b"\n" for who in ("ann", "anna", "bob")]
    context.bucket.put(key, gzip.compress(b"".join(lines)))
    assert erased(context, key) == 1
    assert gzip.decompress(context.bucket.get(key) or b"") == b"".join(lines[1:])
    assert erased(context, key) == 0


def test_a_report_and_its_page_lose_the_id(context: StageContext) -> None:
    path = "shop/exports/reports/interactions/2026-11-22T0500Z"
    report = {"columns": [{"name": "USER_ID", "type": "string", "smallest": "ann", "largest": "bob"}]}
    context.bucket.put_json(f"{path}.json", report)
    context.bucket.put(f"{path}.html", page(report).encode())
    assert erased(context, f"{path}.json") == erased(context, f"{path}.html") == 1
    cleaned = {"columns": [{**report["columns"][0], "smallest": "erased"}]}
    assert context.bucket.get_json(f"{path}.json") == cleaned
    assert context.bucket.get(f"{path}.html") == page(cleaned).encode() != page(report).encode()


def test_hashes_of_ids_lose_the_persons(context: StageContext) -> None:
    key = "shop/full/r/ids/users.u64"
    hashes = np.sort(string_hashes(pa.array(["ann", "bob"])))
    context.bucket.put(key, hashes.astype("<u8").tobytes())
    assert erased(context, key) == 1
    assert context.bucket.get(key) == string_hashes(pa.array(["bob"])).astype("<u8").tobytes()


def test_an_unread_unload_is_deleted_only_where_it_names_the_person(context: StageContext) -> None:
    mine, other = (f"shop/exports/staging/users/x/{n}.csv" for n in (1, 2))
    context.bucket.put(mine, b"ann,1\n")
    context.bucket.put(other, b"bob,1\n")
    assert (erased(context, mine), erased(context, other)) == (1, 0)
    assert context.bucket.get(mine) is None
    assert context.bucket.get(other) == b"bob,1\n"


def test_manifest_and_import_state_follow_what_was_rewritten_also_after_a_kill(context: StageContext) -> None:
    body = b"USER_ID,ITEM_ID\nann,i1\nbob,i2\n"
    snapshot, key = context.keys.full("r1", KIND), context.keys.export(KIND, FIVE.key)
    exported = ExportedObject(key, 2, len(body), "digest-5", context.bucket.put(key, body))
    full = ExportedObject(snapshot, 2, len(body), "digest-full", context.bucket.put(snapshot, body))
    context.store(ExportStore).publish_interval(Manifest(FIVE, {KIND: exported}))
    context.store(ExportStore).publish_full("r1", Manifest(Interval.until(FIVE.start), {KIND: full}))
    last = LastFull(FIVE.start, digest="digest-full", alone=True, snapshot=snapshot, etag=full.etag)
    held = DatasetState(full={KIND: last}, intervals={FIVE.key: {KIND.value: "digest-5"}})
    context.store(ImportStore).change(lambda _: held)
    assert update_manifests(context) == 0
    assert context.store(ImportStore).read() == held

    # Killed between the objects and their manifests: the next try finds nothing to erase, and mends all the same.
    assert erased(context, key) == erased(context, snapshot) == 1
    assert erased(context, key) == 0
    assert update_manifests(context) == 2

    manifest = context.store(ExportStore).interval(FIVE.key)
    assert manifest
    mended = manifest.objects[KIND]
    left = b"USER_ID,ITEM_ID\nbob,i2\n"
    assert (mended.rows, mended.size_bytes, context.bucket.get(key)) == (1, len(left), left)
    context.store(ExportStore).verify([manifest])
    now = context.store(ImportStore).read()
    assert now.intervals[FIVE.key][KIND.value] == mended.digest != "digest-5"
    assert (
        now.full[KIND].etag
        == context.store(ExportStore).full("r1").objects[KIND].etag
        == context.bucket.etag(snapshot)
    )
    assert now.matches(KIND, context.store(ExportStore).full("r1").objects[KIND].digest)
    assert update_manifests(context) == 0
    assert now.full[KIND].until + timedelta(hours=1) == FIVE.end
