from __future__ import annotations

import asyncio
from pathlib import Path

from braze_client.limits import Limiter, Limiters
from braze_client.pace import Burst
from braze_client.pace_file import FilePace
from braze_client.rate_plan import Family, RatePlan

NOW = 1_800_000_000.0


class Clock:
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.now = NOW
        self.sleeps = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        self.now += seconds
        await asyncio.sleep(0)


def limiter(folder: Path, clock: Clock, burst: Burst = Burst(60, 3)) -> Limiter:  # ruff: ignore[function-call-in-default-argument] - a tuple
    return Limiter(FilePace("one", folder, clock), burst, name="test", sleep=clock.sleep)


def test_tasks_are_served_in_the_order_they_come(tmp_path: Path) -> None:
    clock = Clock()
    served: list[int] = []

    async def main() -> None:
        ours = limiter(tmp_path, clock)
        ours.learn(await ours.acquire(), 201, {})

        async def call(number: int) -> None:
            ticket = await ours.acquire()
            served.append(number)
            ours.learn(ticket, 201, {})

        await asyncio.gather(*(call(number) for number in range(40)))

    asyncio.run(main())
    assert served == list(range(40))
    assert 1 <= clock.now - NOW <= 5


def test_waiting_costs_no_loop(tmp_path: Path) -> None:
    clock = Clock()

    async def main() -> None:
        ours = limiter(tmp_path, clock)
        ours.learn(await ours.acquire(), 429, {"retry-after": "100"})

        async def call() -> None:
            ours.learn(await ours.acquire(), 201, {})

        await asyncio.gather(*(call() for _ in range(10)))

    asyncio.run(main())
    assert clock.now - NOW > 100
    # Four looks a second at the shared file, by the first in line only.
    assert clock.sleeps < 500


def test_a_task_that_is_cancelled_lets_the_next_one_go(tmp_path: Path) -> None:
    clock = Clock()

    async def main() -> int:
        ours = limiter(tmp_path, clock)
        ours.learn(await ours.acquire(), 201, {})
        tasks = [asyncio.create_task(ours.acquire()) for _ in range(5)]
        await asyncio.sleep(0)
        for task in tasks[:4]:
            task.cancel()
        return (await tasks[4]).number

    assert asyncio.run(main()) > 1


def test_what_one_client_learned_the_next_one_knows(tmp_path: Path) -> None:
    clock = Clock()

    async def main() -> None:
        first = limiter(tmp_path, clock)
        first.learn(await first.acquire(), 429, {"x-ratelimit-retry-after": "30"})
        await first.close()
        await limiter(tmp_path, clock).acquire()

    asyncio.run(main())
    assert clock.now - NOW >= 30


def test_families_of_one_workspace_wait_apart(tmp_path: Path) -> None:
    clock = Clock()

    async def main() -> None:
        limiters = Limiters("host key", RatePlan(), folder=tmp_path, clock=clock, sleep=clock.sleep)
        tracks, export = limiters.of(Family.TRACK), limiters.of(Family.EXPORT)
        assert limiters.of(Family.TRACK) is tracks
        tracks.learn(await tracks.acquire(), 429, {"x-ratelimit-retry-after": "30"})
        await export.acquire()
        await limiters.close()

    asyncio.run(main())
    assert clock.now == NOW
