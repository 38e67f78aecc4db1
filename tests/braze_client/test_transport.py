"""What goes over the network."""

from __future__ import annotations

import asyncio
from pathlib import Path

from braze_calls import KEY, PEOPLE, SENT, Braze, track
from scripted_http import Reply

from braze_client.answers import TrackResult
from braze_client.client import BrazeClient


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
