from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from small_shop import SmallShop

from recsync.errors import FatalError
from recsync.forget.batch import read_batch
from recsync.forget.request import (
    delete_request,
    read_request,
    read_requests,
    request_erasure,
    request_erasures,
)
from recsync.storage.bucket import Bucket
from recsync.suppression.store import PERSON, USER, SuppressionStore


def is_suppressed(shop: SmallShop, kind: str, one: str) -> bool:
    return shop.context.store(SuppressionStore).read().contains(kind, one)


def test_a_request_suppresses_at_once_and_its_name_is_no_id(small_shop: SmallShop) -> None:
    name = request_erasure("shop", "u1", external_id="old-id", in_run_conf=True)
    assert (len(name), "u1" in name) == (16, False)
    (request,) = read_batch("shop", name).requests
    assert (request.identity.user_id, request.identity.external_ids) == ("u1", ("old-id",))
    assert request.in_run_conf
    assert is_suppressed(small_shop, USER, "u1")
    assert is_suppressed(small_shop, PERSON, "old-id")


def test_many_are_suppressed_by_one_write_and_each_has_a_request(
    small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, write = small_shop.context, Bucket.put_if
    written: list[str] = []

    def put_if(bucket: Bucket, key: str, body: bytes, *, etag: str | None) -> str | None:
        written.append(key)
        return write(bucket, key, body, etag=etag)

    monkeypatch.setattr(Bucket, "put_if", put_if)
    people = [(f"u{n}", "") for n in range(40)]
    names = request_erasures("shop", [*people, ("u3", "of-u3")])
    assert written.count("shop/state/suppression.json") == 1
    assert len(set(names)) == len(names) == 40
    assert len(read_requests(context, names)) == 40
    assert all(is_suppressed(small_shop, USER, user) for user, _ in people)
    assert is_suppressed(small_shop, PERSON, "of-u3")


def test_an_open_request_keeps_its_time_and_gets_further_ids(small_shop: SmallShop) -> None:
    context = small_shop.context
    name = request_erasure("shop", "u1", external_id="one")
    first = read_request(context, name)
    assert first
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: request_erasure("shop", "u1", external_id=f"more-{n}"), range(4)))
    newer = read_request(context, name)
    assert newer
    assert newer.requested_at == first.requested_at
    assert newer.identity.external_ids == ("more-0", "more-1", "more-2", "more-3", "one")
    assert request_erasure("shop", "u1", external_id="one") == name
    assert read_request(context, name) == newer

    # A run that took the first one leaves what came after it.
    delete_request(context.bucket, context, first)
    assert read_request(context, name) == newer
    delete_request(context.bucket, context, newer)
    assert read_request(context, name) is None


def test_an_empty_id_and_nobody_are_refused(small_shop: SmallShop) -> None:
    with pytest.raises(FatalError, match="The user_id of the person to forget is empty"):
        request_erasures("shop", [("u1", ""), ("  ", "")])
    with pytest.raises(FatalError, match="No user_id is given"):
        request_erasures("shop", [])
