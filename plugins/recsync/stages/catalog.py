"""Keep the Braze catalogue in step: items are there before the users who point at them.

https://www.braze.com/docs/api/endpoints/catalogs/catalog_items/asynchronous/put_update_catalog_items/
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from recsync.clients.braze import BrazeClient
from recsync.core.payloads import MAX_CATALOG_ITEMS, Json, batches, catalog_item, fingerprint
from recsync.core.program import Catalog
from recsync.stages.context import StageContext

log = logging.getLogger(__name__)

# Progress is noted after this many calls, so that a retry after a kill repeats few of them.
CALLS_PER_CHECKPOINT = 50


def sync_catalog(context: StageContext, client: BrazeClient, items: Mapping[str, Json]) -> int:
    """Write the items that are new or changed since the catalogue was told last.

    :returns: how many items were written; 0 when the program keeps no catalogue.
    """
    catalog = context.program.braze.catalog
    if catalog is None:
        return 0
    known = _read_state(context, catalog)
    if not known:
        _create_if_missing(client, catalog)
    bodies = {item_id: catalog_item(item_id, item, catalog.fields) for item_id, item in sorted(items.items())}
    changed = [body for item_id, body in bodies.items() if known.get(item_id) != fingerprint(body)]
    for number, batch in enumerate(batches(changed, max_objects=MAX_CATALOG_ITEMS), start=1):
        client.put_catalog_items(catalog.name, batch)
        known |= {body["id"]: fingerprint(body) for body in batch}
        if number % CALLS_PER_CHECKPOINT == 0:
            _write_state(context, catalog, known)
    if changed:
        _write_state(context, catalog, known)
    log.info("Catalogue %s: %d of %d items written", catalog.name, len(changed), len(items))
    return len(changed)


def _create_if_missing(client: BrazeClient, catalog: Catalog) -> None:
    if catalog.name not in client.catalog_names():
        client.create_catalog(catalog.name, catalog.fields)


def _state_key(context: StageContext, catalog: Catalog) -> str:
    # Another set of fields is another content for every item, so it starts from nothing.
    return context.keys.state(f"catalog-{catalog.name}-{fingerprint(dict(catalog.fields))}.json")


def _read_state(context: StageContext, catalog: Catalog) -> dict[str, str]:
    return dict(context.bucket.get_json(_state_key(context, catalog)) or {})


def _write_state(context: StageContext, catalog: Catalog, known: Mapping[str, str]) -> None:
    context.bucket.put_json(_state_key(context, catalog), dict(known))
