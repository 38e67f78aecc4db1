from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from braze_calls import Braze, refusals
from scripted_http import Reply

from braze_client.answers import TrackResult
from braze_client.client import BrazeClient
from braze_client.errors import BrazeDenied, BrazeRefused, TrackError
from braze_client.rate_plan import RatePlan

BULK = RatePlan(max_objects=2, bulk=True, max_tries=2)


FIVE = [b'{"external_id":"%d"}' % number for number in range(5)]


def test_bulk_sends_everything_in_one_call(tmp_path: Path) -> None:
    body = {"message": "success", "attributes_processed": 4, "errors": refusals(4)}
    braze = Braze(tmp_path, Reply(body=body), plan=BULK)
    assert braze.run(lambda client: client.track_attributes(FIVE)).rejected == {4: "bad"}
    assert braze.paths == [("POST", "/users/track/bulk")]


@pytest.mark.parametrize("status", [403, 404])
def test_without_the_bulk_endpoint_track_is_used_from_then_on(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    braze = Braze(
        tmp_path,
        Reply(status, {"message": "Access Denied"}),
        Reply(),
        Reply(body={"message": "success", "attributes_processed": 1, "errors": refusals(1)}),
        Reply(400, {"message": "no valid data", "errors": refusals(0)}),
        Reply(),
        plan=BULK,
    )

    async def twice(client: BrazeClient) -> Any:
        first = await client.track_attributes(FIVE)
        await client.track_attributes(FIVE[:1])
        return first

    assert braze.run(twice) == TrackResult(rejected={3: "bad", 4: "bad"})
    assert braze.paths == [("POST", "/users/track/bulk")] + [("POST", "/users/track")] * 4
    assert [len(body["attributes"]) for body in braze.bodies[1:]] == [2, 2, 1, 1]
    assert len([record for record in caplog.records if "/users/track/bulk" in record.message]) == 1


def test_what_chunks_leave_open_is_placed_in_the_whole(tmp_path: Path) -> None:
    counted = {"message": "success", "attributes_processed": 2, "errors": refusals(1)}
    replies = [Reply(404, {}), Reply(), Reply(body=counted), Reply(201, b"")]
    braze = Braze(tmp_path, *replies, plan=BULK)
    result = braze.run(lambda client: client.track_attributes(FIVE))
    assert (result.named, result.unnamed, result.is_readable) == ({3: "bad"}, {4}, True)


def test_a_chunk_refused_without_names_is_left_to_the_caller(tmp_path: Path) -> None:
    replies = [Reply(404, {}), Reply(), Reply(413, {"message": "too large"})]
    with pytest.raises(BrazeRefused) as caught:
        Braze(tmp_path, *replies, plan=BULK).run(lambda client: client.track_attributes(FIVE))
    assert caught.value.errors == ()


def test_a_chunk_refused_with_some_names_places_them_in_the_whole(tmp_path: Path) -> None:
    replies = [Reply(404, {}), Reply(), Reply(400, {"message": "bad", "errors": refusals(1)})]
    with pytest.raises(BrazeRefused) as caught:
        Braze(tmp_path, *replies, plan=BULK).run(lambda client: client.track_attributes(FIVE))
    assert caught.value.errors == (TrackError(3, "bad"),)


def test_a_wrong_key_does_not_count_as_a_missing_bulk_endpoint(tmp_path: Path) -> None:
    with pytest.raises(BrazeDenied, match="API key"):
        Braze(tmp_path, Reply(401, {}), plan=BULK).run(lambda client: client.track_attributes(FIVE))


def test_profiles_are_read_back(tmp_path: Path) -> None:
    braze = Braze(tmp_path, Reply(201, {"users": [{"external_id": "a"}], "message": "success"}))
    users = braze.run(lambda client: client.export_users(["a", "z"], ["external_id"]))
    assert users == [{"external_id": "a"}]
    assert braze.bodies == [{"external_ids": ["a", "z"], "fields_to_export": ["external_id"]}]


def test_catalogues_are_listed_and_created(tmp_path: Path) -> None:
    braze = Braze(
        tmp_path,
        Reply(
            200,
            {
                "catalogs": [{"name": "one", "fields": [{"name": "id", "type": "string"}]}],
                "message": "success",
            },
        ),
        Reply(201),
    )

    async def both(client: BrazeClient) -> dict[str, dict[str, str]]:
        names = await client.catalogs()
        await client.create_catalog("two", {"price": "number"})
        return names

    assert braze.run(both) == {"one": {"id": "string"}}
    assert braze.bodies[1]["catalogs"][0]["fields"] == [
        {"name": "id", "type": "string"},
        {"name": "price", "type": "number"},
    ]


def test_a_catalogue_that_is_there_already_is_named_as_such(tmp_path: Path) -> None:
    body = {
        "errors": [{"id": "catalog-name-already-exists", "message": "exists"}],
        "message": "Invalid Request",
    }
    with pytest.raises(BrazeRefused) as caught:
        Braze(tmp_path, Reply(400, body)).run(lambda client: client.create_catalog("two", {}))
    assert [error.type for error in caught.value.errors] == ["catalog-name-already-exists"]


def test_catalogue_items_are_put_and_deleted(tmp_path: Path) -> None:
    async def both(client: BrazeClient) -> None:
        await client.put_catalog_items("shop", [{"id": "1", "price": 2}])
        await client.delete_catalog_items("shop", ["1", "2"])

    braze = Braze(tmp_path, Reply(202))
    braze.run(both)
    assert braze.paths == [("PUT", "/catalogs/shop/items"), ("DELETE", "/catalogs/shop/items")]
    assert braze.bodies == [{"items": [{"id": "1", "price": 2}]}, {"items": [{"id": "1"}, {"id": "2"}]}]


@pytest.mark.parametrize("body", [b"", b"OK", {"message": "accepted"}, {"deleted": "2"}])
def test_a_2xx_to_what_is_read_back_later_is_not_asked_for_again(tmp_path: Path, body: Any) -> None:
    async def write(client: BrazeClient) -> None:
        await client.create_catalog("shop", {"price": "number"})
        await client.put_catalog_items("shop", [{"id": "1", "price": 2}])
        await client.delete_catalog_items("shop", ["1"])
        await client.delete_users(["a", "b"])

    braze = Braze(tmp_path, Reply(202, body))
    braze.run(write)
    assert len(braze.paths) == 4


def test_one_catalogue_item_is_read_and_a_missing_one_is_none(tmp_path: Path) -> None:
    missing = {"errors": [{"id": "item-not-found", "message": "Could not find item"}], "message": "Not Found"}

    async def both(client: BrazeClient) -> Any:
        return await client.catalog_item("shop", "a/b"), await client.catalog_item("shop", "2")

    braze = Braze(tmp_path, Reply(200, {"items": [{"id": "1"}], "message": "success"}), Reply(404, missing))
    assert braze.run(both) == ({"id": "1"}, None)
    assert braze.paths[0] == ("GET", "/catalogs/shop/items/a%2Fb")


def test_a_missing_catalogue_is_no_missing_item(tmp_path: Path) -> None:
    body = {"errors": [{"id": "catalog-not-found", "message": "Could not find catalog"}], "message": "No"}
    with pytest.raises(BrazeDenied, match="Could not find catalog"):
        Braze(tmp_path, Reply(404, body)).run(lambda client: client.catalog_item("shop", "1"))


def test_catalogue_pages_are_followed_on_our_host_only(tmp_path: Path) -> None:
    links = '<https://elsewhere.test/catalogs/shop/items?cursor=c2tp%3D>; rel="next", </x>; rel="prev"'

    async def read(client: BrazeClient) -> list[Any]:
        return [item async for item in client.catalog_items("shop")]

    braze = Braze(
        tmp_path,
        Reply(200, {"items": [{"id": "1"}, {"id": "2"}], "message": "success"}, {"Link": links}),
        Reply(200, {"items": [{"id": "3"}], "message": "success"}),
    )
    assert [item["id"] for item in braze.run(read)] == ["1", "2", "3"]
    assert braze.paths == [
        ("GET", "/catalogs/shop/items"),
        ("GET", "/catalogs/shop/items?cursor=c2tp%3D"),
    ]
