"""Keep the Braze catalogue in step with the run's catalogue.

Items are there, and confirmed, before the users who point at them; items that left the catalogue are deleted only
once nobody points at them any more.

https://www.braze.com/docs/api/endpoints/catalogs/catalog_items/asynchronous/put_update_catalog_items/
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from braze_client.client import BrazeClient, BrazeRefused
from braze_client.payloads import MAX_CATALOG_ITEMS, Json, batches, catalog_item, fingerprint
from recsync.context import StageContext
from recsync.errors import FatalError, RetriableError
from recsync.program import Catalog

log = logging.getLogger(__name__)

# Calls under way at a time; 16,000 item calls a minute are allowed, and an answer takes some tenths of a second.
_CALLS_AT_A_TIME = 8
# Items are read back at 50 calls a minute, 50 items a page or one by one: a catalogue of so many is read whole,
# of a larger one so many items are looked at.
_READ_WHOLE_ITEMS = 1_500
_SAMPLED_ITEMS = 30
# Between looks; what is still not there after a few of them is written again.
_CONFIRM_WAITS_SECONDS = (0.5, 1, 2, 4, 8, 15, 30)
_LOOKS_BEFORE_WRITING_AGAIN = 3
# As in https://www.braze.com/docs/api/endpoints/catalogs/catalog_items/asynchronous/put_update_catalog_items/
_ERROR_ID = re.compile(r"[a-z-]+")
_STATE = pa.schema([("item_id", pa.string()), ("fingerprint", pa.string())])

Wanted = Mapping[str, Json | None]
"""Body by item id; None when the item must be gone."""


@dataclass(frozen=True)
class CatalogSync:
    """The catalogue of one program.

    :param items: the run's items: item_id, fields (JSON text), used (somebody's list points at it).
    :param resync: write what Braze should have already, too.
    """

    context: StageContext
    catalog: Catalog
    client: BrazeClient
    items: pa.Table
    resync: bool = False

    async def update(self) -> int:
        """Write the items that are new or changed, and wait until Braze shows them.

        Written is what a list points at, and what Braze has already.

        :returns: how many were written.
        :raises RetriableError: when Braze took the items and does not show them.
        """
        known = self._read_state()
        if not known or self.resync:
            await self._create_if_missing()
        changed = {body["id"]: body for body in self._changed(known)}
        await self._bring(changed, known)
        return len(changed)

    def retired(self) -> list[str]:
        """Name the items that Braze has and the run's catalogue has no more."""
        return sorted(self._read_state().keys() - set(self.items["item_id"].to_pylist()))

    async def retire(self) -> int:
        """Delete them; nobody's list may point at them any more.

        :returns: how many were deleted.
        """
        retired = self.retired()
        await self._bring(dict.fromkeys(retired), self._read_state())
        return len(retired)

    async def _bring(self, wanted: Wanted, known: dict[str, str]) -> None:
        """Write or delete items, wait until Braze shows it, and note it; what is noted was seen."""
        if not wanted:
            return
        await self._write(wanted)
        await self._confirm(wanted, len(known.keys() | wanted.keys()))
        for item_id, body in wanted.items():
            if body is None:
                del known[item_id]
            else:
                known[item_id] = fingerprint(body)
        self._write_state(known)
        log.info("Catalogue %s: %d items brought up to date", self.catalog.name, len(wanted))

    async def _write(self, wanted: Wanted) -> None:
        name, slots = self.catalog.name, asyncio.Semaphore(_CALLS_AT_A_TIME)
        gone = [item_id for item_id, body in wanted.items() if body is None]

        async def one(call: Awaitable[None]) -> None:
            async with slots:
                try:
                    await call
                except BrazeRefused as error:
                    raise self._refused(error) from None

        bodies = batches([body for body in wanted.values() if body], max_objects=MAX_CATALOG_ITEMS)
        calls = [self.client.put_catalog_items(name, batch) for batch in bodies]
        cuts = range(0, len(gone), MAX_CATALOG_ITEMS)
        calls.extend(self.client.delete_catalog_items(name, gone[i : i + MAX_CATALOG_ITEMS]) for i in cuts)
        await asyncio.gather(*map(one, calls))

    def _refused(self, error: BrazeRefused) -> FatalError:
        """Name the fields that Braze refused, as the program file does; Braze's own text may hold values."""
        kinds = sorted({each.type for each in error.errors if _ERROR_ID.fullmatch(each.type)})
        declared = {"id", *self.catalog.fields}
        fields = sorted({name for each in error.errors for name in each.fields if name in declared})
        named = f" because of {', '.join(fields)}" if fields else ""
        why = ", ".join([f"HTTP {error.status}", *kinds])
        return FatalError(
            f"Braze refused items of catalog {self.catalog.name}{named}: {why}. Nobody is sent a list. Let "
            f"include/sql/{self.context.program.sql_file('catalogue')} return what the types under "
            "braze.catalog.fields say, or correct those types; then start recommend again."
        )

    def _changed(self, known: Mapping[str, str]) -> list[Json]:
        rows = zip(*(self.items[name].to_pylist() for name in ("item_id", "fields", "used")), strict=True)
        bodies = [
            catalog_item(item_id, json.loads(fields), self.catalog.fields)
            for item_id, fields, used in rows
            if used or item_id in known
        ]
        return [body for body in bodies if self.resync or known.get(body["id"]) != fingerprint(body)]

    async def _create_if_missing(self) -> None:
        if self.catalog.name not in await self.client.catalogs():
            await self.client.create_catalog(self.catalog.name, self.catalog.fields)

    async def _confirm(self, wanted: Wanted, items: int) -> None:
        """Look until the items are as wanted: a 202 says that Braze will apply a call, not that it has."""
        wrong = wanted
        for look, seconds in enumerate(_CONFIRM_WAITS_SECONDS, start=1):
            wrong = await self._wrong(wrong, whole=items <= _READ_WHOLE_ITEMS)
            if not wrong:
                return
            if look > _LOOKS_BEFORE_WRITING_AGAIN:
                await self._write(wrong)
            await asyncio.sleep(seconds)
        wrong = await self._wrong(wrong, whole=items <= _READ_WHOLE_ITEMS)
        if not wrong:
            return
        raise RetriableError(
            f"Braze took the items of catalogue {self.catalog.name} and does not show {len(wrong)} of them after "
            f"{sum(_CONFIRM_WAITS_SECONDS):g} seconds. Nobody is sent a list that points at them; the next try writes "
            "them again."
        )

    async def _wrong(self, wanted: Wanted, *, whole: bool) -> Wanted:
        """Find items that Braze does not show as wanted: among all, or in a sample when there are many."""
        if whole:
            found = {item["id"]: item async for item in self.client.catalog_items(self.catalog.name)}
            return {i: body for i, body in wanted.items() if not self._is(found.get(i), body)}
        # A sample, no secret.
        sample = random.Random(len(wanted)).sample(sorted(wanted), min(len(wanted), _SAMPLED_ITEMS))  # ruff: ignore[suspicious-non-cryptographic-random-usage]
        shown = {i: await self.client.catalog_item(self.catalog.name, i) for i in sample}
        return {i: wanted[i] for i in sample if not self._is(shown[i], wanted[i])}

    def _read_state(self) -> dict[str, str]:
        return known_items(self.context)

    def _write_state(self, known: Mapping[str, str]) -> None:
        columns = {"item_id": list(known), "fingerprint": list(known.values())}
        table = pa.Table.from_pydict(columns, schema=_STATE)
        self.context.bucket.put_table(_state_key(self.context, self.catalog), table)

    def _is(self, found: Json | None, body: Json | None) -> bool:
        if found is None or body is None:
            return found is body
        # A time is shown in Braze's own way of writing it.
        compared = [name for name, kind in self.catalog.fields.items() if kind != "time"]
        return all(_same(found.get(name), body[name]) for name in compared)


def _same(found: object, sent: object) -> bool:
    """Compare a value as Braze shows it with the one sent; JSON readers keep 15 digits of a number, or more."""
    if isinstance(found, int | float) and isinstance(sent, int | float):
        return math.isclose(found, sent, rel_tol=1e-15)
    return found == sent


def known_items(context: StageContext) -> dict[str, str]:
    """Read what Braze's catalogue holds of the program: fingerprint by item id; empty without a catalogue."""
    catalog = context.program.braze.catalog
    table = context.bucket.get_table(_state_key(context, catalog)) if catalog else None
    if table is None:
        return {}
    return dict(zip(table["item_id"].to_pylist(), table["fingerprint"].to_pylist(), strict=True))


def _state_key(context: StageContext, catalog: Catalog) -> str:
    return context.keys.state(f"catalog-{catalog.name}.parquet")
