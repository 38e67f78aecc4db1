"""aiohttp, as a transport: prepared bodies, one task per connection, asyncio's own loop."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp

from benchmarks.job import DeliveryJob

_HEADERS = {"Authorization": "Bearer benchmark", "Content-Type": "application/json"}


def deliver(job: DeliveryJob) -> None:
    """Post every body."""
    bodies = job.bodies()
    asyncio.run(_deliver(job, bodies))


async def _deliver(job: DeliveryJob, bodies: list[bytes]) -> None:
    tls = ssl.create_default_context(cafile=job.certificate) if job.certificate else True
    connector = aiohttp.TCPConnector(limit=job.connections, ssl=tls)

    async def sender() -> None:
        for number, body in work:
            async with session.post(f"{job.url}/users/track", data=body) as response:
                await response.read()
                if response.status == 201:
                    job.claim_call(number)
                else:
                    job.fail("status")

    async with aiohttp.ClientSession(connector=connector, headers=_HEADERS) as session:
        with job.clock():
            work = job.work(bodies)
            await asyncio.gather(*(sender() for _ in range(job.connections)))
