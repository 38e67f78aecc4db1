from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_shop import SmallShop

from recsync.errors import FatalError
from recsync.forget import batch
from recsync.forget.batch import external_ids_of, read_batch, suppress_batch, take_open_requests
from recsync.forget.people import Identity, People
from recsync.forget.request import request_erasure, request_erasures
from recsync.suppression.store import PERSON, SuppressionStore

U1 = People({"1": Identity("u1")})


def put_audience(shop: SmallShop, run: str, *rows: tuple[str, str | None]) -> None:
    users, external_ids = zip(*rows, strict=True)
    body = io.BytesIO()
    pq.write_table(pa.table({"user_id": users, "external_id": pa.array(external_ids, pa.string())}), body)
    shop.context.bucket.put(f"{shop.context.keys.recommendations(run)}audience.parquet", body.getvalue())


def test_a_run_takes_what_is_open_when_it_begins_and_a_retry_the_same(small_shop: SmallShop) -> None:
    assert take_open_requests("shop", "run-0") == ""
    names = request_erasures("shop", [("u1", ""), ("u2", "")])
    name = take_open_requests("shop", "run-1")
    later = request_erasure("shop", "u3")
    assert take_open_requests("shop", "run-1") == name
    assert {one.name for one in read_batch("shop", name).requests} == set(names)
    # A run that failed leaves its requests to the next one.
    after = take_open_requests("shop", "run-2", wanted=later)
    assert {one.name for one in read_batch("shop", after).requests} == {*names, later}
    with pytest.raises(FatalError, match="There is no request 0123 of shop"):
        take_open_requests("shop", "run-3", wanted="0123")


def test_a_run_takes_no_more_than_a_deletion_job_reads(
    small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MOST_INPUT_BYTES", len("USER_ID\nu1\nu2\n"))
    request_erasures("shop", [("u1", ""), ("u2", ""), ("u3", "")])
    taken = read_batch("shop", take_open_requests("shop", "run-1"))
    assert len(taken.requests) == 2
    assert len(taken.input_body) == len("USER_ID\nu1\nu2\n")


def test_all_ids_in_braze_are_found_and_suppressed(small_shop: SmallShop) -> None:
    put_audience(small_shop, "20261101T000000-a", ("u1", "former-id"), ("u2", "of-another"))
    put_audience(small_shop, "20261102T000000-b", ("u1", None), ("u9", "of-u9"))
    request_erasures("shop", [("u1", "given"), ("u9", "")])
    taken = suppress_batch("shop", take_open_requests("shop", "run-1"))
    ids = {one.identity.user_id: one.identity.external_ids for one in taken.requests}
    assert ids == {"u1": ("b-u1", "former-id", "given"), "u9": ("of-u9",)}
    assert read_batch("shop", taken.name) == taken
    suppression = small_shop.context.store(SuppressionStore).read()
    assert suppression.contains(PERSON, "former-id")
    assert not suppression.contains(PERSON, "of-another")


def test_without_external_ids_braze_knows_the_user_id(small_shop: SmallShop) -> None:
    small_shop.write_sql("audience", "SELECT user_id FROM people")
    assert external_ids_of(small_shop.context, U1) == {"u1": {"u1"}}


def test_steps_are_recorded_until_the_batch_is_cleaned_up(small_shop: SmallShop) -> None:
    request_erasures("shop", [("u1", ""), ("u2", "")])
    failed = suppress_batch("shop", take_open_requests("shop", "run-0"))
    taken = suppress_batch("shop", take_open_requests("shop", "run-1"))
    taken.record_step("braze", {"profiles": 1})
    taken.record_step("personalize", {"deleted": 3})
    assert taken.steps() == {"braze": {"profiles": 1}, "personalize": {"deleted": 3}}
    small_shop.context.bucket.put(taken.input_key, b"USER_ID\nu1\n")
    small_shop.context.bucket.put(failed.staged_key("x/shop/exports/a.csv"), b"USER_ID\nu1\n")
    taken.clean_up()
    # Those of the run that failed too, as its requests have ended.
    assert small_shop.context.bucket.keys(small_shop.context.keys.erasures) == []
    with pytest.raises(FatalError, match=rf"There is no request {taken.name} of shop: it has ended"):
        read_batch("shop", taken.name)


def test_a_damaged_audience_is_refused(small_shop: SmallShop) -> None:
    small_shop.context.bucket.put("shop/recommendations/r/audience.parquet", b"no parquet")
    with pytest.raises(FatalError, match="An audience on S3 is not what recsync wrote"):
        external_ids_of(small_shop.context, U1)
