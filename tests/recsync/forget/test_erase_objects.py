"""One sweep erases many people from every object, by one read each; with the index it reads only what may name one."""

from __future__ import annotations

import io
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from erased_shop import KIND, check_published, contents, fill, named, person, user
from small_shop import SmallShop

from recsync.context import StageContext
from recsync.experiments.enrolment import assign_arms
from recsync.forget import erase_objects as sweeps
from recsync.forget.batch import suppress_batch, take_open_requests
from recsync.forget.erase_objects import erase_objects, replace_exports
from recsync.forget.object_index import ObjectIndex
from recsync.forget.people import hashes_of
from recsync.forget.request import request_erasure, request_erasures
from recsync.storage.bucket import Bucket

MANY = 6


def take(shop: SmallShop, numbers: list[int], run: str) -> str:
    shop.write_sql("audience", "SELECT user_id FROM people")
    request_erasures("shop", [(user(n), person(n)) for n in numbers])
    return suppress_batch("shop", take_open_requests("shop", run)).name


def erase(batch: str) -> dict[str, Any]:
    erase_objects("shop", batch)
    replace_exports("shop", batch)
    return replace_exports("shop", batch, again=True)


@contextmanager
def reads() -> Generator[list[str]]:
    """Record which objects sweeps read."""
    found: list[str] = []
    read = Bucket.download_version

    def download_version(bucket: Bucket, key: str, path: Path, *, etag: str) -> bool:
        found.append(key)
        return read(bucket, key, path, etag=etag)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bucket, "download_version", download_version)
        yield found


def clear(context: StageContext) -> None:
    for key in context.bucket.keys("shop/"):
        context.bucket.delete(key)


def test_many_are_erased_by_as_many_reads_as_one_and_the_index_spares_most(small_shop: SmallShop) -> None:
    context, people = small_shop.context, range(MANY * 10)
    fill(context, people=len(people), hours=8, days=1)
    before = contents(context)
    assert {n for _, n in named(before, people)} == set(people)
    with reads() as of_many:
        result = erase(take(small_shop, list(range(MANY)), "run-1"))
    after = contents(context)
    assert named(after, people) == {(key, n) for key, n in named(before, people) if n >= MANY}
    assert result["rows"]["full"] == 2 * MANY  # rows, and hashes of ids
    check_published(context)
    index = pq.read_table(io.BytesIO(context.bucket.get(context.keys.erasure_index) or b""))
    held = pc.list_flatten(index["ids"])
    shortened = [pa.scalar(int(one) >> 24) for one in hashes_of(map(person, people)).tolist()]
    assert [pc.any(pc.equal(held, one)).as_py() for one in shortened] == [n >= MANY for n in people]

    # Once more from the beginning, for one person.
    clear(context)
    fill(context, people=len(people), hours=8, days=1)
    assert contents(context) == before
    with reads() as of_one:
        erase(take(small_shop, [MANY], "run-2"))
    assert len(of_many) <= 1.05 * len(of_one)

    # With the index, the next one costs the objects that hold one, and what is new.
    new, held = context.keys.export(KIND, "2026-12-01T0000Z"), contents(context)
    context.bucket.put(new, b"USER_ID\nsomebody\n")
    with reads() as of_next:
        erase(take(small_shop, [MANY + 1], "run-3"))
    changed = {key for key, _ in named(held, [MANY + 1])}
    assert changed <= set(of_next)
    texts = {key for key in of_next if "report" in key}
    # Its digests change with the exports.
    assert set(of_next) - changed - texts == {new, "shop/state/imports.json"}
    assert len(of_next) < 0.8 * len(of_one)
    assert not named(contents(context), [MANY + 1])
    check_published(context)


def test_with_and_without_the_index_the_same_is_left(
    small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, left = small_shop.context, []
    for may_hold in (ObjectIndex.may_hold, lambda *_: True):
        clear(context)
        fill(context, people=20, hours=2, days=1)
        erase(take(small_shop, [19], "run-1"))
        monkeypatch.setattr(ObjectIndex, "may_hold", may_hold)
        erase(take(small_shop, list(range(6)), "run-2"))
        left.append(contents(context))
        assert not named(left[-1], [*range(6), 19])
        # Stand-ins name the request, whose salt is another one.
        left[-1] = {key: re.sub(rb"erased-\w{16}", b"erased-", body) for key, body in left[-1].items()}
        left[-1].pop("shop/state/suppression.json")
    assert left[0] == left[1]


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.mark.parametrize("moment", [3, 40, 70])
def test_after_a_kill_at_any_write_nothing_is_left_and_nothing_is_counted_twice(
    small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    context, numbers = small_shop.context, list(range(0, 12))
    fill(context, people=15, hours=2, days=1)
    monkeypatch.setattr(sweeps, "_SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr(sweeps, "_SAVES", 0)
    monkeypatch.setattr(sweeps, "_THREADS", 1)
    batch, count = take(small_shop, numbers, "run-1"), 0

    def killed(params: dict[str, Any], **_: Any) -> None:
        nonlocal count
        count += 1
        if count == moment:
            raise Killed

    # A client of its own: others are shared between tests.
    client = boto3.client("s3", endpoint_url=small_shop.s3_url, region_name="us-east-1")
    for call in ("PutObject", "DeleteObject", "DeleteObjects"):
        client.meta.events.register(f"before-parameter-build.s3.{call}", killed)
    monkeypatch.setattr(StageContext, "bucket", Bucket(client, context.bucket.name))
    with suppress(Killed):
        erase(batch)
    assert count >= moment
    count = 10_000
    result = erase(batch)
    assert not named(contents(context), numbers)
    assert result["rows"]["full"] <= 2 * len(numbers)
    check_published(context)
    assert not context.bucket.keys(context.keys.erasure(batch, "staged/"))


def test_what_an_export_writes_anew_between_sweep_and_swap_is_not_lost(small_shop: SmallShop) -> None:
    context = small_shop.context
    fill(context, people=40, hours=3, days=1)
    key = next(key for key in context.bucket.keys("shop/exports/interactions/"))
    batch = take(small_shop, list(range(20)), "run-1")
    erase_objects("shop", batch)
    context.bucket.put(key, b"ITEM_ID,USER_ID,TIMESTAMP\ni1,1,7\ni1,39,7\ni1,new,7\n")
    replace_exports("shop", batch)
    assert context.bucket.get(key) == b"ITEM_ID,USER_ID,TIMESTAMP\ni1,39,7\ni1,new,7\n"


def test_experiments_lose_the_person_in_every_table(small_shop: SmallShop, tmp_path: Path) -> None:
    """In the present table and the one before it, of experiments that run and of those that ended."""
    arms = {"mailed": {"share": 0.5, "gets": "champion"}, "holdout": {"share": 0.5, "gets": "nothing"}}
    small_shop.write_sql("outcomes", "SELECT 1")
    for day, (name, people) in enumerate([("a", 2), ("exports", 2), ("exports", 3)]):
        # The layer and the experiment may be called like a folder of a program.
        small_shop.write_program(experiment={"name": name, "layer": "erasure", "arms": arms})
        ids = [f"u{n}" for n in range(people)]
        work = tmp_path / f"{day}"
        work.mkdir()
        pq.write_table(
            pa.table({"user_id": ids, "external_id": [f"b-{i}" for i in ids]}), work / "audience.parquet"
        )
        moment = datetime(2026, 9, 1 + day, tzinfo=UTC)
        assign_arms(small_shop.context, f"run{day}", moment, work / "audience.parquet", work)
    bucket = small_shop.context.bucket
    tables = [key for key in bucket.keys("_experiments/") if key.endswith(".parquet")]
    assert len(tables) == 3
    bucket.put("_experiments/erasure/other/enrolled/1.parquet", b"of a program with other data")
    name = request_erasure("shop", "u1", external_id="b-u1")
    assert erase_objects("shop", name)["rows"]["experiments"] == 3
    for key in tables:
        table = bucket.get_table(key)
        assert table is not None
        assert "u1" not in table["user_id"].to_pylist()
        assert "u0" in table["user_id"].to_pylist()
    assert not any(b"u1" in (bucket.get(key) or b"") for key in bucket.keys("_experiments/"))
