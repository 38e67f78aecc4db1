"""Keep the Braze catalog in step with the run's items.

An item is written and confirmed before the first list that names it, and deleted after the last.

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

from braze_client.client import BrazeClient
from braze_client.errors import BrazeRefused
from braze_client.payloads import MAX_CATALOG_ITEMS, Json, batches, catalog_item, fingerprint
from recsync.context import StageContext
from recsync.errors import FatalError, RetriableError
from recsync.program import Catalog
from recsync.storage.hashes import text_column

log = logging.getLogger(__name__)

# Parallel calls; 16,000 item calls a minute are allowed, and a call takes some tenths of a second.
_CALLS_AT_A_TIME = 8
# Items are read back at 50 calls a minute, 50 items a page or one by one. Read all of up to 1,500; above that, a sample
# of 30.
_READ_WHOLE_ITEMS = 1_500
_SAMPLED_ITEMS = 30
# Waits between looks; items that are not there after a few looks are written again.
_CONFIRM_WAITS_SECONDS = (0.5, 1, 2, 4, 8, 15, 30)
_LOOKS_BEFORE_WRITING_AGAIN = 3
# As in https://www.braze.com/docs/api/endpoints/catalogs/catalog_items/asynchronous/put_update_catalog_items/
_ERROR_ID = re.compile(r"[a-z-]+")
_STATE = pa.schema([("item_id", pa.string()), ("fingerprint", pa.string())])

Wanted = Mapping[str, Json | None]
"""Body by item id; None when the item must be gone."""


@dataclass(frozen=True)
class CatalogSync:
    """The Braze catalog of one program.

    :param items: the run's items: item_id, fields (JSON text), used (a list names it).
    :param resync: also write unchanged items.
    """

    context: StageContext
    catalog: Catalog
    client: BrazeClient
    items: pa.Table
    resync: bool = False

    async def update(self) -> int:
        """Write new and changed items that a list names or Braze has, and wait until Braze shows them.

        :returns: the number of items written.
        :raises RetriableError: when Braze took the items and does not show them.
        """
        known = known_items(self.context, self.catalog)
        if not known or self.resync:
            await self._create_if_missing()
        changed = {body["id"]: body for body in self._changed(known)}
        await self._bring(changed, known)
        return len(changed)

    def retired(self) -> list[str]:
        """Return the items that Braze has and the run has not."""
        return sorted(known_items(self.context, self.catalog).keys() - set(self.items["item_id"].to_pylist()))

    async def retire(self) -> int:
        """Delete the retired items, which no list may name any more; return their number."""
        retired = self.retired()
        await self._bring(dict.fromkeys(retired), known_items(self.context, self.catalog))
        return len(retired)

    async def _bring(self, wanted: Wanted, known: dict[str, str]) -> None:
        """Write or delete items, wait until Braze shows the change, then record it."""
        if not wanted:
            return
        await self._write(wanted)
        await self._confirm(wanted, len(known.keys() | wanted.keys()))
        for item_id, body in wanted.items():
            if body is None:
                del known[item_id]
            else:
                known[item_id] = fingerprint(body)
        columns = [text_column(list(known)), text_column(list(known.values()))]
        table = pa.Table.from_arrays(columns, schema=_STATE)
        self.context.bucket.put_table(_state_key(self.context, self.catalog), table)
        log.info("Catalog %s: %d items brought up to date", self.catalog.name, len(wanted))

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
        """Name the refused fields as the program file does; Braze's own text may contain values."""
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
        """Read the items until they are as wanted: a 202 says that Braze will apply a call, not that it has."""
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
            f"Braze took the items of catalog {self.catalog.name} and does not show {len(wrong)} of them after "
            f"{sum(_CONFIRM_WAITS_SECONDS):g} seconds. Nobody is sent a list that points at them; the next try writes "
            "them again."
        )

    async def _wrong(self, wanted: Wanted, *, whole: bool) -> Wanted:
        """Find items that differ in Braze: among all, or in a sample when there are many."""
        if whole:
            found = {item["id"]: item async for item in self.client.catalog_items(self.catalog.name)}
            return {i: body for i, body in wanted.items() if not self._is(found.get(i), body)}
        # A sample, no secret.
        sample = random.Random(len(wanted)).sample(sorted(wanted), min(len(wanted), _SAMPLED_ITEMS))  # ruff: ignore[suspicious-non-cryptographic-random-usage]
        shown = {i: await self.client.catalog_item(self.catalog.name, i) for i in sample}
        return {i: wanted[i] for i in sample if not self._is(shown[i], wanted[i])}

    def _is(self, found: Json | None, body: Json | None) -> bool:
        if found is None or body is None:
            return found is body
        # Braze formats times in its own way.
        compared = [name for name, kind in self.catalog.fields.items() if kind != "time"]
        return all(_same(found.get(name), body[name]) for name in compared)


def _same(found: object, sent: object) -> bool:
    """Compare a shown value with the one sent; JSON readers keep at least 15 digits of a number."""
    if isinstance(found, list) and isinstance(sent, list):
        return len(found) == len(sent) and all(map(_same, found, sent))
    if isinstance(found, dict) and isinstance(sent, dict):
        return found.keys() == sent.keys() and all(_same(found[key], sent[key]) for key in sent)
    if isinstance(found, int | float) and isinstance(sent, int | float):
        return math.isclose(found, sent, rel_tol=1e-15)
    return found == sent


def known_items(context: StageContext, catalog: Catalog | None) -> dict[str, str]:
    """Return the items that a Braze catalog has of the program: fingerprint by item id."""
    table = context.bucket.get_table(_state_key(context, catalog)) if catalog else None
    if table is None:
        return {}
    return dict(zip(table["item_id"].to_pylist(), table["fingerprint"].to_pylist(), strict=True))


def _state_key(context: StageContext, catalog: Catalog) -> str:
    return context.keys.state(f"catalog-{catalog.name}.parquet")
