"""Render the mails of some people from their profiles in Braze."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from braze_client.client import BrazeClient
from braze_client.payloads import Json
from braze_liquid.template import LiquidProblem, Rendered, Template
from recsync import settings
from recsync.context import StageContext
from recsync.email_kit.fields import ItemFields, item_fields
from recsync.email_kit.kit import template_and_blocks
from recsync.errors import FatalError
from recsync.preview.braze_data import BrazeSources, bad_images, read_profiles
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
        return run, choose(lists, catalog, parts, context.program.email.items)
