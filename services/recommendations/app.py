"""Answer requests: ``GET`` and ``POST /recommendations``, ``/healthz``, ``/openapi.json``.

A request is read and answered by hand: models of a framework take longer than the look-up. No id is logged.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import math
import time
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import prometheus_client
import yaml
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from braze_client.payloads import dumps
from recommendations.keys import Grant, KeyRing
from recommendations.live import LiveSource
from recommendations.metrics import ANSWERS, RESPONSES, SECONDS
from recommendations.publication import Answer, Folder, Publication
from recommendations.rate_limit import KeyLimits
from recommendations.requests import ProblemError, read_body, read_query
from recommendations.settings import Settings
from recsync.errors import FatalError, UnexpectedError

log = logging.getLogger(__name__)

_REFRESH_SECONDS = 0.2


class Api:
    """The state of one worker, and its endpoints."""

    def __init__(self, settings: Settings) -> None:
        """Open the stores that are on the disk.

        :raises FatalError: when program files, keys or configuration are wrong.
        """
        self._config = settings.config
        self._keys = KeyRing(settings.keys, settings.config.rate_limit)
        self._limits = KeyLimits(settings.data / "limits")
        self._programs = settings.programs
        self._names = list(self._programs)
        self._publications = {
            name: Publication(name, Folder(settings.data / name), program.recommendations.max_age)
            for name, program in self._programs.items()
        }
        live = {name: settings.of(name).live for name in self._names}
        self._live = {
            name: LiveSource(name, found, conn_id=self._programs[name].aws)
            for name, found in live.items()
            if found
        }
        self._due = dict.fromkeys(self._names, 0.0)
        self._told = ""
        self._counted: Counter[tuple[prometheus_client.Counter, tuple[Any, ...]]] = Counter()
        self.openapi = openapi(self._names)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncGenerator[None]:
        """Follow the updater while the application runs."""
        # What exists now stays: the collector need not look at it again between requests.
        gc.collect()
        gc.freeze()
        refreshing = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            refreshing.cancel()
            self.close()

    def close(self) -> None:
        """Close every file."""
        for source in self._live.values():
            source.close()
        for publication in self._publications.values():
            publication.close()
        self._limits.close()

    async def _follow(self) -> None:
        while True:
            self.refresh()
            await asyncio.sleep(_REFRESH_SECONDS)

    def refresh(self) -> None:
        """Take over new stores, suppression lists and keys; hand counts to Prometheus, which takes longer each."""
        for (metric, labels), count in self._counted.items():
            metric.labels(*labels).inc(count)
        self._counted.clear()
        for name, publication in self._publications.items():
            publication.refresh()
            if time.time() >= self._due[name] and (cron := self._programs[name].schedules.of("recommend")):
                self._due[name] = next(cron.after(datetime.now(UTC))).timestamp()
        try:
            self._keys.refresh()
            self._told = ""
        except FatalError as error:
            if str(error) != self._told:
                self._told = str(error)
                log.error("%s The keys that were read before stay valid.", error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer ``/recommendations``."""
        started = time.perf_counter()
        try:
            headers = dict(scope["headers"])
            if scope["method"] not in _METHODS:
                raise ProblemError(405, "method_not_allowed", "Use GET or POST.", Allow=", ".join(_METHODS))
            if scope["method"] == "POST":
                status, body, more = await self._many(headers, Request(scope, receive))
            else:
                status, body, more = await self._one(headers, scope["query_string"])
        except ProblemError as problem:
            status = problem.status
            await problem.response()(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception as error:  # ruff: ignore[blind-except] - its text may hold an id
            log.error("%s", UnexpectedError(error))
            status = 500
            await ProblemError(500, "internal", "The service failed; its log says where.").response()(
                scope, receive, send
            )
        else:
            await send({"type": "http.response.start", "status": status, "headers": [_CONTENT_TYPE, *more]})
            await send({"type": "http.response.body", "body": body})
        self._counted[RESPONSES, (status,)] += 1
        SECONDS.observe(time.perf_counter() - started)

    async def _one(
        self, headers: Mapping[bytes, bytes], query: bytes
    ) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        """Answer ``GET``: one user; an array, or an object of arrays when several programs are named."""
        grant = self._key(headers)
        (user,), chosen, count = read_query(query, self._names)
        self._count(grant, len(chosen))
        live = await self._ask([user], chosen, count) if self._live else {}
        found = [self._answer(name, user, count, live, with_labels=False) for name in chosen]
        if len(chosen) == 1:
            body = found[0].items
        else:
            pairs = zip(chosen, found, strict=True)
            body = b"{%b}" % b",".join(b"%b:%b" % (dumps(name), answer.items) for name, answer in pairs)
        etag = b'"%b"' % hashlib.blake2b(body, digest_size=12).hexdigest().encode()
        more = [(b"etag", etag), (b"cache-control", b"private, max-age=%d" % self._max_age(chosen))]
        if len(chosen) == 1:
            more.append((b"recommendations-source", found[0].source.encode()))
        if etag in headers.get(b"if-none-match", b""):
            return 304, b"", more
        return 200, body, [*more, (b"content-length", b"%d" % len(body))]

    async def _many(
        self, headers: Mapping[bytes, bytes], request: Request
    ) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        """Answer ``POST``: any number of users and programs, with what is known of each list."""
        grant = self._key(headers)
        users, chosen, count = await read_body(headers, request, self._names)
        self._count(grant, len(users) * len(chosen))
        live = await self._ask(users, chosen, count) if self._live else {}
        results = []
        for user, name in product(users, chosen):
            answer = self._answer(name, user, count, live)
            head = {"user_id": user, "program": name, "source": answer.source, **answer.labels}
            results.append(b'%b,"items":%b}' % (dumps(head)[:-1], answer.items))
        body = b'{"results":[%b]}' % b",".join(results)
        return 200, body, [(b"cache-control", b"no-store"), (b"content-length", b"%d" % len(body))]

    def _key(self, headers: Mapping[bytes, bytes]) -> Grant:
        """Return what the request's API key allows."""
        scheme, _, value = headers.get(b"authorization", b"").partition(b" ")
        key = value.strip() if scheme.lower() == b"bearer" else b""
        if scheme.lower() == b"basic":
            with suppress(ValueError):
                key = b64decode(value.strip(), validate=True).partition(b":")[2]
        found = self._keys.find(key)
        if found is None:
            detail = (
                "Send a key of this service that has not ended: Authorization: Bearer <key>, or Basic with the key "
                "as the password."
            )
            raise ProblemError(401, "no_valid_key", detail, WWW_Authenticate="Bearer, Basic")
        return found

    def _count(self, grant: Grant, lists: int) -> None:
        """Count the lists of a request against the limit of its key."""
        if (wait := self._limits.wait_seconds(grant.limit, grant.counter, lists)) is not None:
            detail = f"The key may ask for {grant.limit} (lists). Try again after the time of Retry-After."
            raise ProblemError(429, "too_many_requests", detail, Retry_After=str(max(1, math.ceil(wait))))

    async def _ask(
        self, users: Sequence[str], programs: Sequence[str], limit: int
    ) -> dict[tuple[str, str], list[str] | None]:
        """Ask Amazon Personalize, for all users at a time, where a program says so and the person is not suppressed."""
        asked = {
            (name, user): self._live[name].item_ids(
                known_as, min(limit, self._programs[name].recommendations.length)
            )
            for user, name in product(users, programs)
            if name in self._live and (known_as := self._publications[name].warehouse_id(user))
        }
        return dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))

    def _answer(
        self,
        name: str,
        user: str,
        limit: int,
        live: Mapping[tuple[str, str], list[str] | None],
        *,
        with_labels: bool = True,
    ) -> Answer:
        """Answer for one user. Nothing waits between the answers of a request, so it sees one publication only."""
        publication = self._publications[name]
        if not publication.is_ready:
            detail = f"{name} has published nothing that this service has read yet."
            raise ProblemError(503, "no_store", detail, Retry_After="5")
        if publication.unchecked_seconds > self._config.max_unchecked_seconds:
            detail = (
                f"The suppression list of {name} could not be read for too long; the service's log says why."
            )
            raise ProblemError(503, "suppression_unchecked", detail, Retry_After="5")
        answer = publication.answer(
            user,
            limit,
            live=live.get((name, user)) if live else None,
            least=self._programs[name].recommendations.shortest,
            with_labels=with_labels,
        )
        self._counted[ANSWERS, (name, answer.source)] += 1
        return answer

    def _max_age(self, programs: Sequence[str]) -> int:
        """Return how long an answer may be kept: until the next run of ``recommend``, or the configured time."""
        now = time.time()
        left = min(self._due[name] - now if self._due[name] else math.inf for name in programs)
        return int(max(0, min(self._config.max_age_seconds, left)))

    async def health(self, request: Request) -> Response:
        """Say whether every program can be served: 200 or 503."""
        states = {}
        for name, publication in self._publications.items():
            meta = publication.store.meta if publication.store else {}
            checked = publication.unchecked_seconds
            states[name] = {
                "ready": publication.is_ready and checked <= self._config.max_unchecked_seconds,
                "run": meta.get("run"),
                "created_at": meta.get("created_at"),
                "stale": publication.is_stale,
                "suppression_checked_seconds_ago": round(checked) if publication.is_ready else None,
            }
        ready = all(state["ready"] for state in states.values())
        body = {"ready": ready, "programs": states}
        return JSONResponse(body, 200 if ready else 503, {"Cache-Control": "no-store"})

    async def describe(self, request: Request) -> Response:
        """Return the OpenAPI document."""
        return JSONResponse(self.openapi)


_METHODS = ("GET", "HEAD", "POST")
_CONTENT_TYPE = (b"content-type", b"application/json")


def openapi(programs: Sequence[str]) -> dict[str, Any]:
    """Return the OpenAPI document, with the names of the programs."""
    document: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("openapi.yaml").read_text())
    document["components"]["schemas"]["Program"] |= {"enum": list(programs), "examples": [programs[0]]}
    return document


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "no_such_path", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    problem = ProblemError(error.status_code, code, f"{error.detail}; /openapi.json says what there is.")
    problem.headers |= error.headers or {}
    return problem.response()


def create(settings: Settings | None = None) -> ASGIApp:
    """Make the application; a worker calls it without settings."""
    api = Api(settings or Settings.from_environment())
    routes = [Route("/healthz", api.health), Route("/openapi.json", api.describe)]
    others = Starlette(routes=routes, lifespan=api.lifespan, exception_handlers={HTTPException: _http_error})

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        # The one busy path goes round middleware and routing.
        chosen = api if scope["type"] == "http" and scope["path"] == "/recommendations" else others
        await chosen(scope, receive, send)

    return application
