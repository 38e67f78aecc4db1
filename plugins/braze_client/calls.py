"""Make one call to Braze: wait for the limiter, send, and retry until the answer is clear."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from braze_client.answers import document_of, errors_of, errors_without_values, text_of
from braze_client.errors import BrazeDenied, BrazeRefused, BrazeUnclear
from braze_client.limits import Limiters
from braze_client.pace import retry_after_seconds
from braze_client.rate_plan import Family
from braze_client.transport import AiohttpTransport, Answer, ConnectionFailed, shown_path

# With full jitter from 1 s to 60 s, six tries ride out a minute of trouble; longer outages are for Airflow's retries.
BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 60.0

FATAL = {
    401: "Check the API key and the REST endpoint (host) of the Braze connection: a key is valid on one instance only.",
    403: "The API key lacks the permission for this call; create a key that has it, keys cannot be changed.",
    404: "Check the REST endpoint (host) of the Braze connection and the names in the program file.",
    415: "This is an error in recsync: please report it.",
}

BeforeSending = Callable[[], Awaitable[None]]
T = TypeVar("T")


class Unclear(Exception):  # ruff: ignore[error-suffix-on-exception-name] - internal signal of one try
    """One try failed or its outcome is unknown: send again, after the hint if there is one.

    :param limited: the rate limit was the reason.
    """

    def __init__(
        self, message: str, retry_after_seconds: float | None = None, *, limited: bool = False
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        self.limited = limited
        super().__init__(message)


class Calls:
    """Call Braze until the answer is clear.

    :param transport: where requests go.
    :param limiters: of the workspace.
    :param secret: the API key, cut out of every text that Braze sends back.
    :param max_tries: tries per call.
    """

    def __init__(
        self,
        transport: AiohttpTransport,
        limiters: Limiters,
        *,
        secret: str,
        max_tries: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._limiters = limiters
        self._secret = secret
        self._max_tries = max_tries
        self._clock = clock
        self._sleep = sleep
        self.answers: Counter[str] = Counter()

    async def call(
        self,
        family: Family,
        method: str,
        path: str,
        body: bytes | None,
        read: Callable[[Answer], T | None],
        before_sending: BeforeSending | None = None,
    ) -> T:
        """Return what ``read`` makes of a 2xx.

        :param read: reads a 2xx; None when it is no answer of Braze, so that the call is tried again.
        :param before_sending: awaited in each try, once the limiter lets it pass.
        :raises BrazeRefused: on 400 and 413.
        :raises BrazeDenied: on 401, 403, 404 and 415.
        :raises BrazeUnclear: after the last try.
        """
        for tries in range(1, self._max_tries + 1):
            try:
                return await self._try(family, method, path, body, read, before_sending)
            except Unclear as unclear:
                last = unclear
            if tries < self._max_tries:
                await self._sleep(_wait_seconds(last, tries))
        raise BrazeUnclear(
            f"Braze gave no clear answer to {method} {shown_path(path)} in {self._max_tries} tries; the last was: "
            f"{last}. Nothing is counted as sent; the next try sends it again.",
            retry_after_seconds=last.retry_after_seconds,
        )

    async def _try(
        self,
        family: Family,
        method: str,
        path: str,
        body: bytes | None,
        read: Callable[[Answer], T | None],
        before_sending: BeforeSending | None,
    ) -> T:
        limiter = self._limiters.of(family)
        ticket = await limiter.acquire()
        if before_sending is not None:
            await before_sending()
        try:
            answer = await self._transport.send(method, path, body)
        except ConnectionFailed as error:
            self.answers["no answer"] += 1
            limiter.lost(ticket)
            raise Unclear(str(error)) from None
        self.answers[str(answer.status)] += 1
        limiter.learn(ticket, answer.status, answer.headers)
        if 200 <= answer.status < 300 and (found := read(answer)) is not None:
            return found
        raise self._failure(method, path, body, answer)

    def _failure(self, method: str, path: str, body: bytes | None, answer: Answer) -> Exception:
        document = errors_without_values(document_of(answer), path, body)
        said = text_of(answer, document, self._secret, path, body)
        what = f"{method} {shown_path(path)}: HTTP {answer.status}: {said}"
        if 200 <= answer.status < 300:
            # A proxy's login page or a cut answer with status 200 is no confirmation.
            return Unclear(f"{what} (not an answer of Braze)")
        errors = errors_of(document or {})
        if answer.status in (400, 413):
            return BrazeRefused(f"Braze refused {what}", status=answer.status, errors=errors)
        if answer.status in FATAL:
            hint = FATAL[answer.status]
            return BrazeDenied(f"Braze refused {what}. {hint}", status=answer.status, errors=errors)
        limited = answer.status == 429
        # Only a refusal for the limit's sake is about the window that the other headers tell of.
        hints = {name: text for name, text in answer.headers.items() if limited or "retry-after" in name}
        return Unclear(what, retry_after_seconds(hints, self._clock()), limited=limited)


def _wait_seconds(unclear: Unclear, tries: int) -> float:
    if unclear.limited:
        return 0.0  # the limiter is closed for as long as Braze asks: no second wait on top
    if unclear.retry_after_seconds is not None:
        return unclear.retry_after_seconds
    return random.uniform(0, min(BACKOFF_BASE_SECONDS * 2 ** (tries - 1), BACKOFF_CAP_SECONDS))  # ruff: ignore[suspicious-non-cryptographic-random-usage] - jitter
