"""Make one call to Braze: wait for the limiter, send, judge, and try again what is not clear."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from braze_client.answers import (
    FATAL,
    Unclear,
    document_of,
    errors_of,
    errors_without_values,
    text_of,
)
from braze_client.errors import BrazeDenied, BrazeRefused, BrazeUnclear
from braze_client.headers import retry_after_seconds
from braze_client.limits import Family, Limiters
from braze_client.payloads import Json
from braze_client.transport import Answer, ConnectionFailed, Transport, shown_path

# With full jitter from 1 s to 60 s, six tries ride out a minute of trouble; longer outages are for Airflow's retries.
BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 60.0

Confirm = Callable[[Json], bool]
T = TypeVar("T")


class _Tries(Generic[T]):
    """Try again; the first try is the one that failed already."""

    def __init__(self, failed: Unclear, send: Callable[[], Awaitable[T]]) -> None:
        self._failed: Unclear | None = failed
        self._send = send

    async def __call__(self) -> T:
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        return await self._send()


class Calls:
    """Call Braze until the answer is clear.

    :param transport: where requests go.
    :param limiters: of the workspace.
    :param secret: the API key, cut out of every text that Braze sends back.
    :param max_tries: tries per call.
    """

    def __init__(
        self,
        transport: Transport,
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
        self._backoff = wait_random_exponential(multiplier=BACKOFF_BASE_SECONDS, max=BACKOFF_CAP_SECONDS)
        self.answers: Counter[str] = Counter()

    async def call(
        self, family: Family, method: str, path: str, body: bytes | None, *, confirm: Confirm
    ) -> tuple[Json, Answer]:
        """Return the document and the answer it came in.

        :param confirm: whether a document is Braze's word for having taken this call; another 2xx is tried again.
        :raises BrazeRefused: on 400 and 413.
        :raises BrazeDenied: on 401, 403, 404 and 415.
        :raises BrazeUnclear: after the last try.
        """

        def read(answer: Answer) -> tuple[Json, Answer] | None:
            document = document_of(answer)
            return (document, answer) if document is not None and confirm(document) else None

        return await self.exchange(family, method, path, body, read)

    async def exchange(
        self,
        family: Family,
        method: str,
        path: str,
        body: bytes | None,
        read: Callable[[Answer], T | None],
        before_sending: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Return what ``read`` makes of a 2xx.

        :param read: reads a 2xx; None when it is no answer of Braze, so that the call is tried again.
        :param before_sending: awaited in each try, once the limiter lets it pass.
        :raises BrazeError: as :meth:`call` does.
        """

        async def attempt() -> T:
            return await self._try(family, method, path, body, read, before_sending)

        try:
            return await attempt()
        except Unclear as unclear:
            failed = unclear
        # The policy is set up for the calls that need it: it would cost every call as much as the limiter.
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Unclear),
            stop=stop_after_attempt(self._max_tries),
            wait=self._wait_seconds,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return await retrying(_Tries(failed, attempt))
        except Unclear as unclear:
            raise BrazeUnclear(
                f"Braze gave no clear answer to {method} {shown_path(path)} in {self._max_tries} tries; the last was: "
                f"{unclear}. Nothing is counted as sent; the next try sends it again.",
                retry_after_seconds=unclear.retry_after_seconds,
            ) from None

    def _wait_seconds(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Unclear):
            if error.limited:
                return 0.0  # the limiter is closed for as long as Braze asks: no second wait on top
            if error.retry_after_seconds is not None:
                return error.retry_after_seconds
        return float(self._backoff(state))

    async def _try(
        self,
        family: Family,
        method: str,
        path: str,
        body: bytes | None,
        read: Callable[[Answer], T | None],
        before_sending: Callable[[], Awaitable[None]] | None,
    ) -> T:
        limiter = self._limiters.of(family)
        ticket = await limiter.acquire()
        if before_sending is not None:
            await before_sending()
        try:
            answer = await self._transport.send(method, path, body)
        except ConnectionFailed as error:
            self.answers["no answer"] += 1
            limiter.lost()
            raise Unclear(str(error)) from None
        self.answers[str(answer.status)] += 1
        limiter.learn(ticket, answer.status, answer.headers)
        if 200 <= answer.status < 300 and (found := read(answer)) is not None:
            return found
        raise self._failure(method, path, body, answer)

    def _failure(self, method: str, path: str, body: bytes | None, answer: Answer) -> Exception:
        document = errors_without_values(document_of(answer), path, body)
        said = text_of(answer, self._secret, path, body)
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
