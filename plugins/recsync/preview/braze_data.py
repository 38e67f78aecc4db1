"""Read from Braze what a message needs: profiles, catalog items and Connected Content."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from braze_client.client import BrazeClient
from braze_client.errors import BrazeDenied
from braze_client.identifiers import Identifier
from braze_client.payloads import Json
from braze_liquid.template import EXPORT_FIELDS, ConnectedAnswer, ConnectedRequest, LiquidProblem
from recsync.errors import FatalError

_ITEMS_A_PAGE = 50
# Reads of catalogs are limited to 50 a minute.
_READS_A_MINUTE = 50


async def read_profiles(
    client: BrazeClient, people: Sequence[str], by: Identifier, template: str
) -> dict[str, Json]:
    """Read the profiles of people, with the standard attributes that a template names; unknown people are missing."""
    fields = {by.profile_field, "custom_attributes"}
    fields |= {field for name, field in EXPORT_FIELDS.items() if f"${{{name}}}" in template}
    found: dict[str, Json] = {}
    for start in range(0, len(people), by.per_export):
        part = people[start : start + by.per_export]
        for profile in await client.export_users(part, sorted(fields), by):
            for person in part if by.per_export == 1 else by.people_of(profile):
                found.setdefault(person, profile)
    return found


@dataclass
class BrazeSources:
    """Serve the tags of a template from memory, and collect what must be read from Braze before the next rendering.

    :param items: items by id, None for one that does not exist, by catalog; a missing catalog was not read.
    :param wanted: ids of items that a rendering needs and that are not read yet.
    :param wants: number of misses: reads of an item or a response that is not in memory.
    :param answers: responses of Connected Content.
    :param shown: items that the current rendering used.
    """

    items: dict[str, dict[str, Json | None] | None] = field(default_factory=dict)
    wanted: dict[str, set[str]] = field(default_factory=dict)
    wants: int = 0
    answers: dict[str, ConnectedAnswer] = field(default_factory=dict)
    wanted_answers: dict[str, ConnectedRequest] = field(default_factory=dict)
    shown: list[Json] = field(default_factory=list)
    problems: list[LiquidProblem] = field(default_factory=list)

    def catalog_items(self, catalog: str, item_ids: list[str]) -> list[dict[str, Any]] | None:
        """Return the items that exist, and note those that were not read."""
        known = self.items.get(catalog, {})
        if known is None:
            return None
        if missing := {item_id for item_id in item_ids if item_id not in known}:
            self.wants += 1
            self.wanted.setdefault(catalog, set()).update(missing)
        found = [item for item_id in item_ids if (item := known.get(item_id))]
        self.shown += found
        return found

    def selection_items(self, catalog: str, selection: str) -> None:
        """Return nothing: Braze's REST API does not read selections."""

    def fetch(self, request: ConnectedRequest) -> ConnectedAnswer:
        """Return the answer, and note the request when there is none yet."""
        key = repr(request)
        if key not in self.answers:
            self.wants += 1
            self.wanted_answers[key] = request
        return self.answers.get(key, ConnectedAnswer(0))

    def problem(self, line: int, text: str) -> None:
        """Note what stays empty."""
        self.problems.append(LiquidProblem(line, text))

    def reads_whole_catalog(self, sizes: Mapping[str, int]) -> bool:
        """Return whether reading all pages of a catalog takes fewer requests than reading the wanted items."""
        return any(0 < _pages(sizes.get(catalog)) <= len(ids) for catalog, ids in self.wanted.items())

    async def read_wanted(self, client: BrazeClient, sizes: Mapping[str, int], deadline: float) -> bool:
        """Read the missing items and responses; return whether any were missing.

        :param sizes: number of items of the catalogs, as far as known.
        :raises FatalError: when it would take longer than until the deadline: Braze allows 50 reads a minute.
        """
        wanted, self.wanted = self.wanted, {}
        requests, self.wanted_answers = self.wanted_answers, {}
        for catalog, ids in wanted.items():
            await self._read(client, catalog, ids, sizes.get(catalog), deadline)
        await asyncio.gather(*(self._ask(key, request) for key, request in requests.items()))
        return bool(wanted or requests)

    async def _read(
        self, client: BrazeClient, catalog: str, ids: set[str], size: int | None, deadline: float
    ) -> None:
        known = self.items.setdefault(catalog, {})
        pages = _pages(size) or len(ids) + 1
        reads = min(pages, len(ids))
        if known is None:
            return
        if (reads - _READS_A_MINUTE) / _READS_A_MINUTE * 60 > deadline - time.monotonic():
            raise FatalError(
                f"{len(ids):,} items of the Braze catalog {catalog} must be read, and Braze allows "
                f"{_READS_A_MINUTE} reads a minute. Name fewer people, or start the preview from the command line."
            )
        try:
            if pages <= len(ids):
                known |= {item["id"]: item async for item in client.catalog_items(catalog)}
            else:
                known |= {item_id: await client.catalog_item(catalog, item_id) for item_id in sorted(ids)}
        except BrazeDenied as denied:
            if denied.status != 404:
                raise
            self.items[catalog] = None
            return
        known |= {item_id: None for item_id in ids if item_id not in known}

    async def _ask(self, key: str, request: ConnectedRequest) -> None:
        timeout = aiohttp.ClientTimeout(total=request.timeout_seconds)
        self.answers[key] = ConnectedAnswer(0)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(
                    request.method,
                    request.url,
                    headers=dict(request.headers),
                    data=request.body,
                    # Braze follows none.
                    allow_redirects=False,
                ) as answer,
            ):
                self.answers[key] = ConnectedAnswer(answer.status, await answer.read())
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return


def _pages(items: int | None) -> int:
    return -(-(items or 0) // _ITEMS_A_PAGE)


def bad_images(urls: Iterable[str]) -> dict[str, str]:
    """Load images, and return the problem of each one that cannot be shown, by URL."""
    return asyncio.run(_bad_images(sorted(set(urls))))


async def _bad_images(urls: Sequence[str]) -> dict[str, str]:
    slots, timeout = asyncio.Semaphore(8), aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def one(url: str) -> str:
            async with slots:
                try:
                    async with session.get(url) as answer:
                        kind = answer.headers.get("Content-Type", "")
                        if answer.status != 200:
                            return f"HTTP {answer.status}"
                        return "" if kind.startswith("image/") else f"not an image but {kind or 'untyped'}"
                except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                    return "does not load: " + type(error).__name__

        problems = await asyncio.gather(*map(one, urls))
    return {url: problem for url, problem in zip(urls, problems, strict=True) if problem}
