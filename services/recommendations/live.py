"""Ask a campaign or a recommender of Amazon Personalize within a time limit; without an answer the list is taken."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from recommendations.metrics import LIVE
from recommendations.settings import Live
from recsync.storage.aws import aws_client

log = logging.getLogger(__name__)

# Calls at a time. While all are waiting, further requests take their lists at once.
_CALLS = 32
# After so many failures in a row nothing is asked for some seconds, so that an outage costs no request its time limit.
_FAILURES = 5
_PAUSE_SECONDS = 10.0


class LiveSource:
    """The real-time source of one program."""

    def __init__(
        self, program: str, settings: Live, *, conn_id: str = "aws_default", client: Any = None
    ) -> None:
        """Make a client.

        :param client: of ``personalize-runtime``; None makes one from the connection.
        """
        seconds = settings.timeout_ms / 1000
        # The executor's threads end with the socket's time limits; a retry would come too late.
        config = Config(
            connect_timeout=seconds,
            read_timeout=seconds,
            retries={"total_max_attempts": 1},
            max_pool_connections=_CALLS,
        )
        self._client = client or aws_client("personalize-runtime", conn_id, config)
        self._threads = ThreadPoolExecutor(_CALLS, thread_name_prefix=f"live-{program}")
        self._program, self._seconds, self._waiting = program, seconds, 0
        self._failures, self._closed_until = 0, 0.0
        kind = "recommenderArn" if ":recommender/" in settings.arn else "campaignArn"
        self._request: dict[str, Any] = {kind: settings.arn}
        if settings.filter_arn:
            self._request["filterArn"] = settings.filter_arn

    async def item_ids(self, user_id: str, count: int) -> list[str] | None:
        """Return the recommended items of a user, best first; None when there is no answer in time."""
        if time.monotonic() < self._closed_until or self._waiting >= _CALLS:
            LIVE.labels(self._program, "skipped").inc()
            return None
        self._waiting += 1
        call = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, user_id, count)
        call.add_done_callback(self._returned)
        try:
            found = await asyncio.wait_for(asyncio.shield(call), self._seconds)
        except TimeoutError:
            self._failed("timeout")
            return None
        except (ClientError, BotoCoreError) as error:
            # The text may quote the request.
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            self._failed(code)
            return None
        self._failures = 0
        LIVE.labels(self._program, "answered").inc()
        return found

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, user_id: str, count: int) -> list[str]:
        answer = self._client.get_recommendations(userId=user_id, numResults=count, **self._request)
        return [item["itemId"] for item in answer["itemList"]]

    def _returned(self, call: asyncio.Future[list[str]]) -> None:
        self._waiting -= 1
        if not call.cancelled():
            call.exception()  # seen, also when nobody waits any more

    def _failed(self, reason: str) -> None:
        LIVE.labels(self._program, reason).inc()
        self._failures += 1
        if self._failures >= _FAILURES:
            self._failures, self._closed_until = 0, time.monotonic() + _PAUSE_SECONDS
            log.warning(
                "Program %s: Amazon Personalize gave no answer %d times in a row (last: %s); the published lists "
                "answer for %d s, then it is asked again.", self._program, _FAILURES, reason, _PAUSE_SECONDS,
            )  # fmt: skip
