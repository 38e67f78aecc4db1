from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_shop import SmallShop

from recsync.errors import FatalError
from recsync.forget.request import external_ids_of, read_erasure, request_erasure, suppress
from recsync.suppression.store import PERSON, USER, SuppressionStore


def put_audience(shop: SmallShop, run: str, *rows: tuple[str, str | None]) -> None:
    users, external_ids = zip(*rows, strict=True)
    body = io.BytesIO()
    pq.write_table(pa.table({"user_id": users, "external_id": pa.array(external_ids, pa.string())}), body)
    shop.context.bucket.put(f"{shop.context.keys.recommendations(run)}audience.parquet", body.getvalue())


def is_suppressed(shop: SmallShop, kind: str, one: str) -> bool:
    return shop.context.store(SuppressionStore).read().contains(kind, one)


def test_a_request_suppresses_at_once_and_its_name_is_no_id(small_shop: SmallShop) -> None:
    name = request_erasure("shop", "u1", external_id="old-id", in_run_conf=True)
    assert (len(name), "u1" in name) == (16, False)
    assert request_erasure("shop", "u1", external_id="old-id", in_run_conf=True) == name
    erasure = read_erasure("shop", name)
    assert (erasure.identity.user_id, erasure.identity.external_ids) == ("u1", ("old-id",))
    assert erasure.in_run_conf
    assert is_suppressed(small_shop, USER, "u1")
    assert is_suppressed(small_shop, PERSON, "old-id")


def test_all_ids_in_braze_are_found_and_suppressed(small_shop: SmallShop) -> None:
    put_audience(small_shop, "20261101T000000-a", ("u1", "former-id"), ("u2", "of-another"))
    put_audience(small_shop, "20261102T000000-b", ("u1", None))
    suppressed = suppress("shop", request_erasure("shop", "u1", external_id="given"))
    assert suppressed.identity.external_ids == ("b-u1", "former-id", "given")
    assert read_erasure("shop", suppressed.name) == suppressed
    assert is_suppressed(small_shop, PERSON, "former-id")
    assert not is_suppressed(small_shop, PERSON, "of-another")


def test_without_external_ids_braze_knows_the_user_id(small_shop: SmallShop) -> None:
    small_shop.write_sql("audience", "SELECT user_id FROM people")
    assert external_ids_of(small_shop.context, "u1") == {"u1"}


def test_steps_are_recorded_until_the_erasure_is_cleaned_up(small_shop: SmallShop) -> None:
    erasure = read_erasure("shop", request_erasure("shop", "u1"))
    erasure.record_step("braze", {"profiles": 1})
    erasure.record_step("personalize", {"deleted": 3})
    assert erasure.steps() == {"braze": {"profiles": 1}, "personalize": {"deleted": 3}}
    small_shop.context.bucket.put(erasure.input_key, b"USER_ID\nu1\n")
    erasure.clean_up()
    assert small_shop.context.bucket.keys(small_shop.context.keys.erasures) == []
    with pytest.raises(FatalError, match=rf"There is no request {erasure.name} of shop: it has ended"):
        read_erasure("shop", erasure.name)


def test_a_damaged_audience_and_an_empty_id_are_refused(small_shop: SmallShop) -> None:
    small_shop.context.bucket.put("shop/recommendations/r/audience.parquet", b"no parquet")
    with pytest.raises(FatalError, match="An audience on S3 is not what recsync wrote"):
        external_ids_of(small_shop.context, "u1")
    with pytest.raises(FatalError, match="The user_id of the person to forget is empty"):
        request_erasure("shop", "  ")
