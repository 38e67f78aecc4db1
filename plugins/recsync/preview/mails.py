"""Render the mails of some people from their profiles in Braze, with its catalog items and Connected Content."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import aiohttp

from braze_client.client import BrazeClient
from braze_client.errors import BrazeDenied
from braze_client.identifiers import Identifier
from braze_client.payloads import Json
from braze_liquid.template import (
    EXPORT_FIELDS,
    ConnectedAnswer,
    ConnectedRequest,
    LiquidProblem,
    Rendered,
    Template,
)
from recsync import settings
from recsync.context import StageContext
from recsync.email_kit.fields import ItemFields, item_fields
from recsync.email_kit.kit import template_and_blocks
from recsync.errors import FatalError
from recsync.preview.findings import MailFinding, find, image_urls
from recsync.preview.sample import NAMED, Chosen, choose, names_in_braze
from recsync.push.braze_hook import BrazeHook
from recsync.push.catalog import known_items
from recsync.recommend.store import RecommendationsStore
from recsync.storage.duck import work_folder

# Renderings of a mail: each one may need items that the previous one could not know.
_MAX_PASSES = 12
MAX_PEOPLE = 1_000
# With the items that it read, and the problems of its sources.
_Rendering = tuple[Rendered, tuple[Json, ...], tuple[LiquidProblem, ...]]
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


@dataclass(frozen=True)
class Mail:
    """The mail of one person.

    :param html: empty when nothing would be sent; ``aborted`` says why.
    :param in_braze: the list that Braze has, None without one.
    """

    chosen: Chosen
    html: str
    aborted: str = ""
    in_braze: Sequence[object] | None = None
    findings: tuple[MailFinding, ...] = ()
    items: tuple[Json, ...] = ()


@dataclass(frozen=True)
class Preview:
    """The mails of a sample.

    :param problems: problems of the template, the same for each person.
    :param run: the recommend run with the lists of the sample; empty before the first run.
    """

    program: str
    run: str
    mails: tuple[Mail, ...]
    problems: tuple[LiquidProblem, ...] = ()


@dataclass
class _Renderer:
    context: StageContext
    template: Template
    source: str
    fields: ItemFields | None
    now: datetime | None
    deadline: float
    sources: BrazeSources = field(default_factory=BrazeSources)

    async def mails(self, people: Sequence[Chosen]) -> list[Mail]:
        braze = self.context.program.braze
        async with BrazeHook(braze.connection).client() as client:
            names = [each.person for each in people]
            profiles = await read_profiles(client, names, braze.known_by, self.source)
            rendered = await self._rendered(
                client, {name: profiles[name] for name in names if name in profiles}
            )
        return [self._mail(each, profiles.get(each.person), rendered.get(each.person)) for each in people]

    async def _rendered(self, client: BrazeClient, profiles: dict[str, Json]) -> dict[str, _Rendering]:
        catalog = self.context.program.braze.catalog
        sizes = {catalog.name: len(known_items(self.context, catalog))} if catalog else {}
        found: dict[str, _Rendering] = {}
        for _ in range(_MAX_PASSES):
            for person in [name for name in profiles if name not in found]:
                self.sources.shown, self.sources.problems, wanted = [], [], self.sources.wants
                rendered = self.template.render(profiles[person], self.sources, now=self.now)
                if self.sources.wants == wanted:
                    found[person] = (rendered, tuple(self.sources.shown), tuple(self.sources.problems))
                elif self.sources.reads_whole_catalog(sizes):
                    break
            if not await self.sources.read_wanted(client, sizes, self.deadline):
                return found
        raise FatalError(
            f"The template of {self.context.program.name} asks Braze for more each time it is rendered: a catalog "
            "item's id, or an address of Connected Content, must not depend on the time or on another answer's ids."
        )

    def _mail(
        self,
        chosen: Chosen,
        profile: Json | None,
        made: _Rendering | None,
    ) -> Mail:
        if profile is None or made is None:
            return Mail(chosen, "", "Braze has no profile of this person")
        rendered, items, problems = made
        attribute = self.context.program.braze.attribute
        value = (profile.get("custom_attributes") or {}).get(attribute)
        if self.context.program.braze.payload == "objects":
            items = tuple(each for each in value or () if isinstance(each, dict))
        told = tuple(MailFinding("warn", str(each)) for each in (*problems, *rendered.problems))
        return Mail(chosen, rendered.text, rendered.aborted or "", value, told, items)


def preview(
    program: str,
    people: Sequence[str] = (),
    *,
    seconds: float,
    load_images: bool = True,
    now: datetime | None = None,
) -> Preview:
    """Render the mails of people, of a sample when none are named.

    :param people: each a ``user_id``, or the person's id in Braze.
    :param seconds: limit for all reads from Braze; its rate limit may make them wait.
    :param load_images: whether to find out which pictures cannot be loaded.
    :param now: the time of sending.
    :raises RecsyncError: when the lists, the template or Braze cannot be read.
    """
    if len(people) > MAX_PEOPLE:
        raise FatalError(f"{len(people):,} people are named; a preview shows at most {MAX_PEOPLE:,}.")
    context = StageContext.of(program)
    source, blocks = template_and_blocks(context.program, settings.include_folder())
    template = Template(source, blocks)
    fields = _fields(context)
    run, chosen = _people(context, people, fields)
    renderer = _Renderer(
        context, template, "".join([source, *blocks.values()]), fields, now, time.monotonic() + seconds
    )
    mails = asyncio.run(renderer.mails(chosen))
    bad = bad_images(url for mail in mails for url in image_urls(mail.html)) if load_images else {}
    checked = tuple(
        replace(mail, findings=(*mail.findings, *find(mail.html, mail.items, fields, bad)))
        if mail.html
        else mail
        for mail in mails
    )
    return Preview(program, run, checked, tuple(template.problems))


def _fields(context: StageContext) -> ItemFields | None:
    try:
        return item_fields(context.program)
    except FatalError:
        if context.program.email.template:
            return None
        raise


def _people(
    context: StageContext, people: Sequence[str], fields: ItemFields | None
) -> tuple[str, list[Chosen]]:
    store = context.store(RecommendationsStore)
    run = store.latest_run()
    if run is None:
        if not people:
            raise FatalError(
                f"{context.program.name} has published no lists yet, so there is nobody to choose; run "
                f"{context.program.name}_recommend and {context.program.name}_push first, or name people."
            )
        return "", [Chosen(NAMED, person) for person in people]
    with work_folder() as work:
        lists = work / "lists.parquet"
        catalog = store.download(run, lists)
        if people:
            audience = store.download_audience(run, work / "audience.parquet")
            found = names_in_braze(list(dict.fromkeys(people)), lists, audience)
            return run, list(found.values())
        parts = fields or ItemFields("name")
        held_out = store.manifest(run).held_out
        return run, choose(lists, catalog, parts, context.program.email.items, held_out)
