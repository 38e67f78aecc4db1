from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from scripted_http import Reply, Script, scripted

from braze_client.answers import read_track
from braze_client.client import BrazeClient, BrazeRefused, BrazeUnclear, TrackError, TrackResult
from braze_client.errors import BrazeDenied, BrazeError
from braze_client.rate_plan import RatePlan
from braze_client.transport import AiohttpTransport
from recsync.errors import REJECTED, RETRIABLE

KEY = "secret-key-0123"
PEOPLE = [b'{"external_id":"a","recs":["1"]}', b'{"external_id":"b","recs":["2"]}']
SENT = {"attributes": [json.loads(person) for person in PEOPLE]}
NOW = 1_800_000_000.0
Result = TypeVar("Result")


class Braze:
    """Run a call against a scripted server, with a clock that moves only by what was slept."""

    def __init__(self, folder: Path, *replies: Reply, plan: RatePlan | None = None) -> None:
        self.folder = folder
        self.replies = replies
        self.plan = plan or RatePlan(max_tries=3)
        self.slept: list[float] = []
        self.script = Script([])
        self.answers: dict[str, int] = {}

    def now(self) -> float:
        return NOW + sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def run(self, call: Callable[[BrazeClient], Awaitable[Result]]) -> Result:
        return asyncio.run(self._run(call))

    async def _run(self, call: Callable[[BrazeClient], Awaitable[Result]]) -> Result:
        with scripted(*self.replies) as self.script:
            client = BrazeClient(
                AiohttpTransport(self.script.url + "/", KEY),
                workspace=self.script.url,
                secret=KEY,
                plan=self.plan,
                pace_folder=self.folder,
                clock=self.now,
                sleep=self.sleep,
            )
            try:
                async with client:
                    return await call(client)
            finally:
                self.answers = dict(client.answers)

    @property
    def bodies(self) -> list[Any]:
        return [request[2] for request in self.script.requests]

    @property
    def paths(self) -> list[tuple[str, str]]:
        return [(request[0], request[1]) for request in self.script.requests]


def track(client: BrazeClient) -> Awaitable[Any]:
    return client.track_attributes(PEOPLE)


def refusals(*indexes: int) -> list[dict[str, Any]]:
    return [{"type": "bad", "input_array": "attributes", "index": index} for index in indexes]


def test_a_clean_call_sends_the_key_and_the_objects_as_they_are(tmp_path: Path) -> None:
    braze = Braze(tmp_path, Reply(body=b'{"attributes_processed":2,"message":"success"}'))
    assert braze.run(track) == TrackResult()
    method, path, body, headers = braze.script.requests[0]
    assert (method, path, body) == ("POST", "/users/track", SENT)
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Length"] == str(len(b'{"attributes":[' + b",".join(PEOPLE) + b"]}"))
    assert braze.answers == {"201": 1}
    assert braze.slept == []


def test_calls_of_many_tasks_share_connections_and_all_arrive(tmp_path: Path) -> None:
    async def many(client: BrazeClient) -> int:
        results = await asyncio.gather(*(client.track_attributes([PEOPLE[0]]) for _ in range(150)))
        return sum(result == TrackResult() for result in results)

    braze = Braze(tmp_path, Reply(body={"attributes_processed": 1, "message": "success"}))
    assert braze.run(many) == 150
    assert braze.answers == {"201": 150}


SUCCESS: dict[str, Any] = {"message": "success"}
OTHERS = frozenset({1, 2, 3})


@pytest.mark.parametrize(
    ("document", "rejected", "named", "unnamed"),
    [
        # Each named once, each counted once.
        ({**SUCCESS, "attributes_processed": 3, "errors": refusals(0)}, {0}, {}, {}),
        # One object named twice, once per attribute, is one rejection.
        ({**SUCCESS, "attributes_processed": 3, "errors": refusals(0, 0)}, {0}, {}, {}),
        ({**SUCCESS, "attributes_processed": 2, "errors": refusals(0, 3, 0, 3, 3)}, {0, 3}, {}, {}),
        # Named and counted as processed.
        ({**SUCCESS, "attributes_processed": 4, "errors": refusals(0)}, {}, {0}, {}),
        ({**SUCCESS, "attributes_processed": 3, "errors": refusals(0, 1)}, {}, {0, 1}, {}),
        # Named, and not counted at all.
        ({**SUCCESS, "errors": refusals(0)}, {}, {0}, {}),
        # Fewer processed than the errors say.
        ({**SUCCESS, "attributes_processed": 3}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 2, "errors": refusals(0)}, {0}, {}, OTHERS),
        ({**SUCCESS, "attributes_processed": 9}, {}, {}, {0, 1, 2, 3}),
        # Errors without a place, or with one that is none.
        ({**SUCCESS, "attributes_processed": 3, "errors": refusals(4)}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 3, "errors": refusals(-1)}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 3, "errors": ["just a text"]}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 3, "errors": "just a text"}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 3, "errors": {"type": "x"}}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 2, "errors": [*refusals(0), None]}, {0}, {}, OTHERS),
        ({**SUCCESS, "attributes_processed": 4, "errors": [{"type": "x"}]}, {}, {}, {0, 1, 2, 3}),
        # Unknown shapes.
        ({"message": "something else"}, {}, {}, {0, 1, 2, 3}),
        ({"message": "something else", "attributes_processed": 4}, {}, {}, {0, 1, 2, 3}),
        ({"status": "ok"}, {}, {}, {0, 1, 2, 3}),
        # Nothing left open.
        ({**SUCCESS, "attributes_processed": 4}, {}, {}, {}),
        ({"attributes_processed": 4}, {}, {}, {}),
        (SUCCESS, {}, {}, {}),
        ({**SUCCESS, "attributes_processed": "4", "errors": []}, {}, {}, {}),
        ({**SUCCESS, "errors": None}, {}, {}, {}),
        ({"message": "queued"}, {}, {}, {}),
    ],
)
def test_a_2xx_says_of_each_object_that_it_was_taken_refused_or_must_be_read_back(
    document: dict[str, Any], rejected: set[int], named: set[int], unnamed: set[int]
) -> None:
    result = read_track(document, 4)
    assert (set(result.rejected), set(result.named), set(result.unnamed)) == (
        set(rejected),
        set(named),
        set(unnamed),
    )
    assert result.is_clear == (not named and not unnamed)
    assert bool(result.why) == bool(unnamed)


@pytest.mark.parametrize("error", [*refusals(7), {"type": "bad"}, {"type": "bad", "index": "0"}])
def test_an_error_to_a_call_with_one_object_is_about_this_one(error: dict[str, Any]) -> None:
    refused = read_track({**SUCCESS, "attributes_processed": 0, "errors": [error]}, 1)
    assert (refused.rejected, refused.is_clear) == ({0: "bad"}, True)
    assert read_track({**SUCCESS, "attributes_processed": 1, "errors": [error]}, 1).named == {0: "bad"}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Please log in</html>"),
        Reply(201, b'{"message": "succ'),
        Reply(201, b""),
        Reply(204, b""),
        Reply(201, b"[]"),
        Reply(201, b'"ok"'),
        Reply(201, {"status": "ok"}),
        Reply(299, {"message": "success", "attributes_processed": 1}),
    ],
)
def test_a_2xx_is_an_answer_whatever_is_in_it_and_is_not_asked_for_again(
    tmp_path: Path, reply: Reply
) -> None:
    braze = Braze(tmp_path, reply)
    result = braze.run(track)
    assert result.unnamed == {0, 1}
    assert len(braze.bodies) == 1


def test_what_comes_before_sending_waits_for_the_limiter_in_each_try(tmp_path: Path) -> None:
    braze = Braze(tmp_path, Reply(429, {}, {"X-Ratelimit-Retry-After": "7"}), Reply())
    passed: list[tuple[int, float]] = []

    async def before_sending() -> None:
        passed.append((len(braze.script.requests), sum(braze.slept)))
        await asyncio.sleep(0)

    braze.run(lambda client: client.track_attributes(PEOPLE, before_sending=before_sending))
    assert [requests for requests, _ in passed] == [0, 1]
    assert passed[1][1] >= 7


def test_a_call_queued_in_maintenance_counts_as_taken(tmp_path: Path) -> None:
    braze = Braze(tmp_path, Reply(202, {"message": "queued"}))
    assert braze.run(track) == TrackResult()
    assert braze.answers == {"202": 1}


@pytest.mark.parametrize(
    "bad",
    [
        Reply(500, {"message": "oops"}),
        Reply(502, b"<html>Bad gateway</html>"),
        Reply(429, {"message": "slow"}),
        Reply(201, b'{"attributes_processed":2', {"Content-Length": "400"}),
        Reply(302, b"", {"Location": "http://127.0.0.1:1/"}),
        Reply(drop=True),
    ],
    ids=[
        "500",
        "502",
        "429",
        "cut short",
        "redirect",
        "reset",
    ],
)
def test_an_unclear_answer_is_sent_again_whole(tmp_path: Path, bad: Reply) -> None:
    if bad.headers.get("Content-Length"):
        bad.headers["Connection"] = "close"
    braze = Braze(tmp_path, bad, Reply())
    braze.run(track)
    assert braze.bodies == [SENT] * 2
    assert sum(braze.answers.values()) == 2
    assert braze.slept


def test_without_a_clear_answer_nothing_is_assumed(tmp_path: Path) -> None:
    braze = Braze(tmp_path, Reply(503, b"busy", {"Retry-After": "9"}))
    with pytest.raises(BrazeUnclear, match=r"3 tries.*503: busy") as caught:
        braze.run(track)
    assert isinstance(caught.value, RETRIABLE)
    assert caught.value.retry_after_seconds == 9
    assert [seconds for seconds in braze.slept if seconds == 9] == [9, 9]
    assert len(braze.script.requests) == 3


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"X-Ratelimit-Retry-After": "7"}, 7),
        ({"Retry-After": "4"}, 4),
        ({"Retry-After": "Fri, 15 Jan 2027 08:00:05 GMT"}, 5),
        ({"X-RateLimit-Reset": str(int(NOW) + 9)}, 9),
        ({"X-RateLimit-Reset": "3"}, 3),
        ({}, 1),
    ],
)
def test_a_429_waits_as_long_as_braze_says(tmp_path: Path, headers: dict[str, str], waited: float) -> None:
    braze = Braze(tmp_path, Reply(429, {}, headers), Reply())
    braze.run(track)
    assert sum(braze.slept) == pytest.approx(waited, abs=0.2)


def test_a_window_that_is_used_up_is_waited_for_before_it_is_refused(tmp_path: Path) -> None:
    used_up = {
        "X-RateLimit-Limit": "250",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(NOW) + 40),
    }

    async def twice(client: BrazeClient) -> None:
        await track(client)
        await track(client)

    braze = Braze(tmp_path, Reply(headers=used_up), Reply())
    braze.run(twice)
    assert sum(braze.slept) == pytest.approx(40, abs=0.2)
    assert braze.answers == {"201": 2}


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "API key"), (403, "permission"), (404, "endpoint"), (415, "report")]
)
def test_what_no_retry_can_mend_fails_at_once(tmp_path: Path, status: int, hint: str) -> None:
    braze = Braze(tmp_path, Reply(status, {"message": f"Invalid API key: {KEY}"}))
    with pytest.raises(BrazeDenied, match=hint) as caught:
        braze.run(track)
    assert len(braze.script.requests) == 1
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value.__context__)


@pytest.mark.parametrize("status", [400, 413])
def test_a_refused_call_carries_what_braze_named(tmp_path: Path, status: int) -> None:
    body = {"message": "Valid data must be provided", "errors": refusals(0)}
    braze = Braze(tmp_path, Reply(status, body))
    with pytest.raises(BrazeRefused, match="Valid data") as caught:
        braze.run(track)
    assert isinstance(caught.value, REJECTED)
    assert (caught.value.status, caught.value.errors) == (status, (TrackError(0, "bad"),))


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


def test_neither_key_nor_people_reach_the_log_at_any_level(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("asyncio", "aiohttp", "aiohttp.client", "recsync", "tenacity"):
        caplog.set_level(logging.DEBUG, logger=name)
    person = b'{"external_id":"jane-doe-77","recs":["very-private"]}'
    echo = {"message": f"Invalid API key: {KEY}, for jane-doe-77 very-private"}
    replies = [Reply(404, echo), Reply(500, echo), Reply(429, echo), Reply(drop=True), Reply(503, echo)]
    plan = RatePlan(bulk=True, max_objects=1, max_tries=4)
    with pytest.raises(BrazeUnclear, match=r"for \[withheld\] \[withheld\]") as caught:
        Braze(tmp_path, *replies, plan=plan).run(lambda client: client.track_attributes([person]))
    assert "jane-doe-77" not in str(caught.value)
    logged = "\n".join(record.getMessage() + repr(record.args) for record in caplog.records)
    assert "/users/track/bulk" in logged  # the log was listened to
    assert KEY not in logged
    assert "jane-doe-77" not in logged
    assert "very-private" not in logged


ECHO = "value 'very private' of jane-doe-77 is not a number"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, {"message": ECHO, "errors": [{"type": ECHO, "input_array": "attributes", "index": 0}]}),
        Reply(413, ECHO.encode()),
        Reply(201, {"message": "success", "attributes_processed": 0, "errors": [ECHO]}),
        Reply(201, {"message": "success", "errors": {"index": 0, "type": ECHO, "input_array": "attributes"}}),
    ],
)
def test_braze_is_quoted_without_what_the_call_held(tmp_path: Path, reply: Reply) -> None:
    person = b'{"external_id":"jane-doe-77","note":"very private","count":12}'
    try:
        told = str(Braze(tmp_path, reply).run(lambda client: client.track_attributes([person])))
    except BrazeRefused as refused:
        told = f"{refused} {refused.errors}"
    assert "is not a number" in told
    assert "jane-doe-77" not in told
    assert "very private" not in told


def test_the_id_of_an_item_is_in_no_error(tmp_path: Path) -> None:
    missing = {
        "errors": [{"id": "catalog-not-found", "message": "no catalog for item a/b c"}],
        "message": "No",
    }
    for reply in (Reply(404, missing), Reply(drop=True)):
        with pytest.raises(BrazeError, match=r"GET /catalogs/shop/items/\[withheld\]") as caught:
            Braze(tmp_path, reply).run(lambda client: client.catalog_item("shop", "a/b c"))
        assert "a/b" not in str(caught.value)
        assert "a%2Fb" not in str(caught.value)
