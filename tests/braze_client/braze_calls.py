"""A client whose server answers as scripted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from scripted_http import Reply, Script, scripted

from braze_client.client import BrazeClient
from braze_client.rate_plan import RatePlan
from braze_client.transport import AiohttpTransport

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
