"""Objects on a real S3 server lose people, by one read each."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.errors import FatalError
from recsync.export.report_page import page
from recsync.forget.erasure_rules import redaction_of
from recsync.forget.one_object import ObjectVersion, erase_from_object, put_directly
from recsync.forget.people import Identity, People
from recsync.storage.bucket import Bucket
from recsync.storage.hashes import string_hashes

ANN = People({"e1": Identity("ann", ("b-ann",))})


def erased(bucket: Bucket, key: str) -> int:
    redaction = redaction_of("shop", key)
    assert redaction
    etag = bucket.etag(key)
    found = ObjectVersion(key, etag or "", 0, redaction)
    result = erase_from_object(bucket, found, ANN, put_directly(bucket))
    return sum((result.removed or {}).values())


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
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str, former: bytes, newer: bytes
) -> None:
    key = f"shop/{name}"
    bucket.put(key, former)
    write = Bucket.put_if

    def put_if(one: Bucket, at: str, body: bytes, *, etag: str | None) -> str | None:
        if bucket.get(key) == former:
            bucket.put(key, newer)  # between the read and the write
        return write(one, at, body, etag=etag)

    monkeypatch.setattr(Bucket, "put_if", put_if)
    assert erased(bucket, key) == 1
    left = bucket.get(key) or b""
    assert b"ann" not in left
    assert b"cid" in left or b'"b": 1' in left


def test_a_packed_output_stays_packed_and_loses_its_line(bucket: Bucket) -> None:
    key = "shop/batch/r/output/users.json.out.gz"
    lines = [json.dumps({"input": {"userId": who}}).encode() + b"\n" for who in ("ann", "anna", "bob")]
    bucket.put(key, gzip.compress(b"".join(lines)))
    assert erased(bucket, key) == 1
    assert gzip.decompress(bucket.get(key) or b"") == b"".join(lines[1:])
    assert erased(bucket, key) == 0


def test_a_report_and_its_page_lose_the_id(bucket: Bucket) -> None:
    path = "shop/exports/reports/interactions/2026-11-22T0500Z"
    report = {"columns": [{"name": "USER_ID", "type": "string", "smallest": "ann", "largest": "bob"}]}
    bucket.put_json(f"{path}.json", report)
    bucket.put(f"{path}.html", page(report).encode())
    assert erased(bucket, f"{path}.json") == erased(bucket, f"{path}.html") == 1
    cleaned = {"columns": [{**report["columns"][0], "smallest": "erased"}]}
    assert bucket.get_json(f"{path}.json") == cleaned
    assert bucket.get(f"{path}.html") == page(cleaned).encode() != page(report).encode()


def test_hashes_of_ids_lose_the_persons(bucket: Bucket) -> None:
    key = "shop/full/r/ids/users.u64"
    hashes = np.sort(string_hashes(pa.array(["ann", "bob"])))
    bucket.put(key, hashes.astype("<u8").tobytes())
    assert erased(bucket, key) == 1
    assert bucket.get(key) == string_hashes(pa.array(["bob"])).astype("<u8").tobytes()


def test_an_unread_unload_is_deleted_only_where_it_names_the_person(bucket: Bucket) -> None:
    mine, other = (f"shop/exports/staging/users/x/{n}.csv" for n in (1, 2))
    bucket.put(mine, b"ann,1\n")
    bucket.put(other, b"bob,1\n")
    assert (erased(bucket, mine), erased(bucket, other)) == (1, 0)
    assert bucket.get(mine) is None
    assert bucket.get(other) == b"bob,1\n"


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_tables_that_tasks_share_are_deleted_where_they_name_the_person(bucket: Bucket, kind: str) -> None:
    """They are compressed, so their bytes do not tell."""
    for name, users in (("mine", ["ann", "bob"] * 500), ("other", ["anna", "bob"] * 500)):
        table, sink = pa.table({"user_id": users}), pa.BufferOutputStream()
        if kind == "parquet":
            pq.write_table(table, sink, compression="zstd")
        else:
            with pa.ipc.new_file(
                sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")
            ) as writer:
                writer.write_table(table)
        bucket.put(f"shop/batch/r/lists/pieces/{name}.{kind}", sink.getvalue().to_pybytes())
    assert erased(bucket, f"shop/batch/r/lists/pieces/mine.{kind}") == 1
    assert erased(bucket, f"shop/batch/r/lists/pieces/other.{kind}") == 0
    assert bucket.keys("shop/batch/") == [f"shop/batch/r/lists/pieces/other.{kind}"]


def test_a_page_whose_report_was_rewritten_before_a_kill_loses_the_id_too(bucket: Bucket) -> None:
    path = "shop/exports/reports/interactions/2026-11-22T0500Z"
    report = {"columns": [{"name": "USER_ID", "type": "string", "smallest": "ann", "largest": "bob"}]}
    bucket.put_json(f"{path}.json", report)
    bucket.put(f"{path}.html", page(report).encode())
    assert erased(bucket, f"{path}.json") == 1
    assert b"ann" in (bucket.get(f"{path}.html") or b"")
    assert erased(bucket, f"{path}.html") == 1
    assert bucket.get(f"{path}.html") == page(bucket.get_json(f"{path}.json")).encode()
    assert erased(bucket, f"{path}.html") == 0


def test_an_object_is_read_by_one_request_whether_it_is_rewritten_or_not(bucket: Bucket) -> None:
    keys = ["shop/exports/interactions/1.csv", "shop/exports/interactions/2.csv", "shop/state/a.parquet"]
    bucket.put(keys[0], b"USER_ID\nann\n")
    bucket.put(keys[1], b"USER_ID\nbob\n")
    bucket.put_table(keys[2], pa.table({"user_id": ["ann", "bob"]}))
    reads: list[str] = []
    bucket.client.meta.events.register(
        "before-parameter-build.s3.GetObject", lambda params, **_: reads.append(params["Key"])
    )
    assert [erased(bucket, key) for key in keys] == [1, 0, 1]
    assert reads == keys


def test_damaged_json_is_an_error_only_where_it_names_somebody(bucket: Bucket) -> None:
    bucket.put("shop/state/x.json", b"{\nof bob")
    assert erased(bucket, "shop/state/x.json") == 0
    bucket.put("shop/state/x.json", b"{\nof ann")
    with pytest.raises(FatalError, match="names a person and is not valid JSON"):
        erased(bucket, "shop/state/x.json")
