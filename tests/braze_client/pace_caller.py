"""Call a sink through a BrazeClient of its own, as one worker process does.

``python pace_caller.py URL KEY FOLDER REDIS_URL CALLS CONNECTIONS`` says that it is ready,
waits for a line, calls, and prints a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from braze_client.client import BrazeClient
from braze_client.rate_plan import RatePlan
from braze_client.transport import AiohttpTransport


async def main(url: str, key: str, folder: str, redis_url: str, *numbers: str) -> None:
    """Make the calls, as many at once as there are connections."""
    calls, connections = map(int, numbers)
    transport = AiohttpTransport(url, key, connections=connections)
    client = BrazeClient(
        transport,
        workspace=url,
        secret=key,
        plan=RatePlan(connections=connections),
        pace_folder=Path(folder),
        pace_redis_url=redis_url or None,
    )
    left = iter(range(calls))

    async def work() -> None:
        for number in left:
            await client.track_attributes([b'{"external_id":"u%d"}' % number])

    print("ready", flush=True)
    sys.stdin.readline()
    began = time.time()
    async with client:
        await asyncio.gather(*(work() for _ in range(connections)))
        seconds = time.time() - began
    print(json.dumps({"answers": client.answers, "began": began, "seconds": seconds}), flush=True)


asyncio.run(main(*sys.argv[1:]))
