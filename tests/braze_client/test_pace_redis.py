from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
from redis_server import PASSWORD, RedisServer, free_port, needs_redis

from braze_client.limits import Limiter
from braze_client.pace import Burst, Pace
from braze_client.pace_file import FilePace, name_of
from braze_client.pace_redis import RedisLink, RedisPace

BURST = Burst(300, 3)
IDENTITY = "https://rest.test secret-key users/track"
HEADERS = {"x-ratelimit-limit": "300", "x-ratelimit-remaining": "200", "x-ratelimit-reset": "2"}


@asynccontextmanager
async def shared(url: str, folder: Path, clock: Callable[[], float] = time.time) -> AsyncGenerator[RedisPace]:
    """Share the pace as a process of the machine that has this folder."""
    link = RedisLink(url, clock)
    pace = RedisPace(link, name_of(IDENTITY), FilePace(IDENTITY, folder, clock), BURST)
    try:
        yield pace
    finally:
        await pace.close()
        await link.close()


def issue(pace: Pace, _: float) -> None:
    pace.issued += 1


def issued(pace: Pace, _: float) -> float:
    return pace.issued


def as_it_is(pace: Pace, _: float) -> Pace:
    return pace


def answered(pace: Pace, now: float) -> None:
    pace.reserve(now, 10, BURST)
    pace.learn(int(pace.issued), 201, HEADERS, now, BURST)


def losses(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@needs_redis
def test_machines_count_together_and_none_overwrites_another(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async def main() -> list[float]:
        async with (
            shared(redis_server.url, tmp_path / "a") as one,
            shared(redis_server.url, tmp_path / "b") as two,
            shared(redis_server.url, tmp_path / "c") as three,
        ):
            machines = (one, two, three)
            await asyncio.gather(*(machine.change(issue) for machine in machines for _ in range(100)))
            return [await machine.change(issued) for machine in machines]

    assert asyncio.run(main()) == [300, 300, 300]


@needs_redis
def test_redis_holds_neither_key_nor_host(redis_server: RedisServer, tmp_path: Path) -> None:
    async def main() -> None:
        async with shared(redis_server.url, tmp_path) as pace:
            await pace.change(answered)

    asyncio.run(main())
    with redis.Redis.from_url(redis_server.url) as client:
        keys = list(client.scan_iter())
        held = b"".join(key + client.dump(key) for key in keys)
        assert len(keys) == 3
        assert all(0 < client.ttl(key) <= 7_200 for key in keys)
    assert b"secret" not in held
    assert b"rest.test" not in held


@needs_redis
def test_clocks_that_differ_give_one_time(redis_server: RedisServer, tmp_path: Path) -> None:
    async def main() -> list[float]:
        async with (
            shared(redis_server.url, tmp_path / "a", lambda: time.time() + 100) as ahead,
            shared(redis_server.url, tmp_path / "b", lambda: time.time() - 100) as behind,
        ):
            # Slots are in Redis's time from the first one on, which finds no state there.
            first = [await pace.change(lambda _, now: now) for pace in (ahead, behind)]
            return [*first, ahead.now(), behind.now(), time.time()]

    times = asyncio.run(main())
    assert max(times) - min(times) < 1


@needs_redis
@pytest.mark.parametrize("lost", ["FLUSHALL", "foreign"])
def test_numbers_that_redis_lost_are_written_again(
    redis_server: RedisServer, tmp_path: Path, lost: str
) -> None:
    async def main() -> tuple[Pace, Pace]:
        async with shared(redis_server.url, tmp_path) as pace:
            await pace.change(answered)
            before = await pace.change(as_it_is)
            with redis.Redis.from_url(redis_server.url) as client:
                if lost == "foreign":
                    client.set(f"recsync:{{{name_of(IDENTITY)}}}", b"something else")
                else:
                    client.flushall()
            return before, await pace.change(as_it_is)

    before, after = asyncio.run(main())
    assert after == before
    assert after.limit == 300


@needs_redis
def test_redis_that_dies_leaves_each_machine_its_share_until_it_is_back(
    redis_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with (
            shared(redis_server.url, tmp_path / "a") as one,
            shared(redis_server.url, tmp_path / "b") as two,
        ):
            for pace in (one, two, one):
                await pace.change(answered)
            await one.change(lambda pace, _: setattr(pace, "refills", 1.0))  # a sliding window
            await two.change(as_it_is)
            redis_server.kill()
            began = time.monotonic()
            states = [await pace.change(as_it_is) for pace in (one, two)]
            assert time.monotonic() - began < 1
            assert states[0].series != states[1].series
            for state, pace in zip(states, (one, two), strict=True):
                assert state.limit == 300
                assert state.rate(pace.now(), BURST) == pytest.approx(0.95 * 98 / 2, rel=0.02)
            # A refusal that one machine hears meanwhile is not forgotten when Redis is back.
            await one.change(
                lambda pace, now: pace.learn(int(pace.issued), 429, {"retry-after": "30"}, now, BURST)
            )
            redis_server.start()
            for _ in range(200):
                await asyncio.sleep(0.05)
                if len({(await pace.change(as_it_is)).series for pace in (one, two)}) == 1:
                    break
            assert await two.change(Pace.closed_seconds) > 20

    asyncio.run(main())
    assert len(losses(caplog)) == 2, "one for each machine"
    assert PASSWORD not in caplog.text


@needs_redis
def test_a_wrong_password_is_told_once_and_nothing_waits(
    redis_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> float:
        wrong = redis_server.url.replace(PASSWORD, "other-password")
        async with shared(wrong, tmp_path) as pace:
            for _ in range(100):
                await pace.change(issue)
            return await pace.change(issued)

    assert asyncio.run(main()) == 100
    (told,) = losses(caplog)
    assert "AuthenticationError" in told
    assert "other-password" not in caplog.text


@pytest.mark.parametrize(
    "url", ["redis://:pw@localhost:pw/0", "http://:pw@localhost", "redis://localhost?pw=1"]
)
def test_a_url_that_is_none_is_told_without_its_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    async def main() -> float:
        async with shared(url, tmp_path) as pace:
            await pace.change(issue)
            return await pace.change(issued)

    assert asyncio.run(main()) == 1
    assert len(losses(caplog)) == 1
    assert "pw" not in caplog.text


def test_a_redis_that_is_not_there_costs_one_refused_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> float:
        async with shared(f"redis://127.0.0.1:{free_port()}", tmp_path) as pace:
            began = time.monotonic()
            for _ in range(1_000):
                await pace.change(issue)
            assert time.monotonic() - began < 1
            return await pace.change(issued)

    assert asyncio.run(main()) == 1_000
    assert len(losses(caplog)) == 1


def test_a_redis_that_never_answers_stops_neither_calls_nor_the_event_loop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> float:
        longest = 0.0

        async def tick() -> None:
            nonlocal longest
            while True:
                began = time.monotonic()
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - began)

        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with shared(f"redis://127.0.0.1:{silent.getsockname()[1]}", tmp_path) as pace:
                ticking = asyncio.create_task(tick())
                began = time.monotonic()
                for _ in range(100):
                    await pace.change(issue)
                took = time.monotonic() - began
                ticking.cancel()
        assert longest < 0.5
        return took

    assert 0.9 < asyncio.run(main()) < 2.5
    (told,) = losses(caplog)
    assert "does not answer in time" in told


def test_an_answer_to_a_call_of_other_numbers_teaches_no_window(tmp_path: Path) -> None:
    """As after the change from Redis to the file: the numbers of the calls under way begin elsewhere."""

    async def main() -> tuple[Pace, Pace]:
        file = FilePace("one", tmp_path)
        limiter = Limiter(file, BURST, name="test")
        ticket = await limiter.acquire()
        limiter.learn(ticket._replace(series=ticket.series + 1, number=9_000), 201, HEADERS)
        other = await file.change(lambda pace, _: Pace(limit=pace.limit, accepted=pace.accepted))
        limiter.learn(await limiter.acquire(), 201, HEADERS)
        await limiter.close()
        return other, await FilePace("one", tmp_path).change(as_it_is)

    other, own = asyncio.run(main())
    assert (other.limit, other.accepted) == (0, 1)
    assert (own.limit, own.room) == (300, own.issued + 200)
