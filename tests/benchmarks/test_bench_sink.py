import http.client
import json
import ssl
import urllib.request
from urllib.parse import urlsplit

import pytest
from benchmarks.processes import running_sink


@pytest.fixture(scope="module")
def sink():
    with running_sink() as sink:
        yield sink


@pytest.fixture
def post(sink):
    connection = http.client.HTTPConnection(urlsplit(sink.url()).netloc)

    def post(users: list[str], path: str = "/users/track"):
        body = json.dumps({"attributes": [{"external_id": user, "a": 1} for user in users]})
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response, response.read()

    yield post
    connection.close()


def test_a_sink_keeps_its_certificate_when_another_one_starts(sink):
    with running_sink() as other:
        for each in (sink, other):
            context = ssl.create_default_context(cafile=each.certificate)
            handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            with urllib.request.build_opener(*handlers).open(each.url("https") + "/__stats") as response:
                assert response.status == 200


def test_it_answers_as_braze_does_and_knows_who_came_twice(sink, post):
    sink.set()
    for users in (["u1", "u2"], ["u2"]):
        response, body = post(users)
        assert response.status == 201
        assert json.loads(body) == {"attributes_processed": len(users), "message": "success"}
        assert response.headers["X-RateLimit-Remaining"]
    stats = sink.stats()
    assert (stats["requests"], stats["objects"], stats["users"]) == (2, 3, 2)


def test_a_body_in_pieces_is_one_request(sink):
    sink.set()
    body = json.dumps({"attributes": [{"external_id": "u1"}]}).encode()
    connection = http.client.HTTPConnection(urlsplit(sink.url()).netloc)
    connection.putrequest("POST", "/users/track")
    connection.putheader("content-length", str(len(body)))
    connection.endheaders()
    for start in range(0, len(body), 5):
        connection.send(body[start : start + 5])
    assert connection.getresponse().status == 201
    assert sink.stats()["requests"] == 1


def test_the_limit_refuses_with_headers_and_takes_nothing(sink, post):
    sink.set(limit=[2, 3_600])
    statuses = [post([f"u{number}"])[0].status for number in range(3)]
    assert statuses == [201, 201, 429]
    assert sink.stats()["users"] == 2


def test_faults_come_in_fixed_shares_and_bad_records_are_named(sink, post):
    sink.set(faults=True)
    answers = [post([f"u{number:07d}"])[0].status for number in range(100, 200)]
    assert {status: answers.count(status) for status in set(answers)} == {201: 92, 429: 5, 502: 2, 200: 1}
    assert len(sink.users()) == 92

    sink.set(faults=True)
    for _ in range(20):
        response, body = post(["u0000001", "u0000007"])
        if response.status == 201:
            assert [error["index"] for error in json.loads(body)["errors"]] == [1]
    assert sink.users().keys() == {"u0000001"}


def test_what_is_not_a_track_call_is_not_counted(sink, post):
    sink.set()
    assert post(["u1"], "/catalogs/products/items")[0].status == 202
    assert post(["u1"], "/messages/send")[0].status == 404
    assert sink.stats()["requests"] == 0
