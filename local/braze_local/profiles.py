"""Hold a profile as one JSON document and apply accepted objects to it. Pure, apart from the ids it draws.

The document has the shape /users/export/ids answers with:
https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier
"""

from __future__ import annotations

import itertools
import random
import secrets
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from braze_local.attributes import ABSENT, is_plain_list, unchanged, written
from braze_local.fields import BILLABLE_FIELDS, PROFILE_FIELDS, stored_field
from braze_local.moments import moment_of
from braze_local.nested import STRING_MAX_CHARACTERS, DroppedWriteError
from braze_local.rules import Rules
from braze_local.tally import Tally

Document = dict[str, Any]
# Keys of an attributes object that steer the write and are no attributes.
_STEERING = frozenset(
    {
        "external_id",
        "braze_id",
        "user_alias",
        "_update_existing_only",
        "_merge_objects",
        "push_token_import",
        "push_tokens",
    }
)
# Fields of every new profile; kept only once they differ, as the empty lists are.
_FRESH: Document = {"total_revenue": 0.0, "push_subscribe": "subscribed", "email_subscribe": "subscribed"}
# Braze draws a bucket of 0 to 9,999 for every profile.
_BUCKETS = 10_000
# Starts anywhere, so that ids of two runs within one second differ.
_serial = itertools.count(secrets.randbelow(2**63))


def new_document(now_seconds: float) -> Document:
    """Return an empty profile created at `now_seconds` (epoch), with a fresh braze_id.

    The id is 24 hex digits that grow with time, so that inserting a million of them stays cheap.
    """
    braze_id = f"{int(now_seconds):08x}{next(_serial):016x}"
    return {
        "created_at": timestamp(now_seconds),
        "braze_id": braze_id,
        "random_bucket": int(random.random() * _BUCKETS),  # ruff: ignore[suspicious-non-cryptographic-random-usage]  # a bucket, not a secret
        "custom_attributes": {},
    }


def complete(document: Document) -> Document:
    """Return a profile with everything that is not kept while it is as in every new profile."""
    return {"user_aliases": [], "custom_events": [], "purchases": [], **_FRESH, **document}


@lru_cache(maxsize=16)
def timestamp(epoch_seconds: float) -> str:
    """Write an epoch time as Braze exports it: ISO 8601, milliseconds, Z."""
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def apply_attributes(document: Document, attributes: dict[str, Any], tally: Tally, rules: Rules) -> bool:
    """Apply one attributes object, count its data points, and tell whether the document changed."""
    merge = attributes.get("_merge_objects") is True
    changed = False
    for name, value in attributes.items():
        if name in _STEERING:
            continue
        if type(value) is list and name in rules.lists and is_plain_list(value):
            changed |= _write_plain_list(document["custom_attributes"], name, value, tally)
            continue
        try:
            if name in PROFILE_FIELDS:
                changed |= _write_field(document, name, value, tally)
            else:
                changed |= _write_custom(document["custom_attributes"], name, value, merge, tally, rules)
        except DroppedWriteError as reason:
            tally.dropped(name, str(reason))
    return changed


def apply_event(document: Document, event: dict[str, Any], tally: Tally, _rules: Rules) -> bool:
    """Count one custom event on the profile; its properties are not kept."""
    _count(document.setdefault("custom_events", []), event["name"], event["time"])
    tally.events[event["name"]] += 1
    return True


def apply_purchase(document: Document, purchase: dict[str, Any], tally: Tally, _rules: Rules) -> bool:
    """Count one purchase on the profile and add it to the revenue, whatever its currency."""
    quantity = purchase.get("quantity", 1)
    _count(document.setdefault("purchases", []), purchase["product_id"], purchase["time"], quantity)
    revenue = document.get("total_revenue", 0.0) + purchase["price"] * quantity
    document["total_revenue"] = round(revenue, 2)
    tally.purchases += 1
    return True


def _write_plain_list(custom: dict[str, Any], name: str, value: list[str], tally: Tally) -> bool:
    same = custom.get(name) == value
    tally.wrote(name, 1, same)
    custom[name] = value
    return not same


def _write_custom(
    custom: dict[str, Any], name: str, value: Any, merge: bool, tally: Tally, rules: Rules
) -> bool:
    name = name.strip(" ")
    if not name or name.startswith("$") or len(name) > STRING_MAX_CHARACTERS:
        raise DroppedWriteError("invalid attribute name")
    value = rules.admitted(name, value)
    old = custom.get(name, ABSENT)
    new, points = written(old, value, merge=merge)
    rules.note(name, value)
    same = unchanged(old, new)
    tally.wrote(name, points, same)
    if same:
        return False
    if new is ABSENT:
        del custom[name]
    else:
        custom[name] = new
    return True


def _write_field(document: Document, name: str, value: Any, tally: Tally) -> bool:
    old, new = document.get(name, _FRESH.get(name)), stored_field(name, value)
    same = unchanged(old, new)
    tally.wrote(name, 1 if name in BILLABLE_FIELDS else 0, same)
    if same:
        return False
    if new is None:
        document.pop(name, None)
    else:
        document[name] = new
    return True


def _count(entries: list[dict[str, Any]], name: str, time: str, times: int = 1) -> None:
    # A time in the future counts as now.
    stamp = timestamp(min(moment_of(time), datetime.now(UTC)).timestamp())
    for entry in entries:
        if entry["name"] == name:
            entry["count"] += times
            entry["first"], entry["last"] = min(entry["first"], stamp), max(entry["last"], stamp)
            return
    entries.append({"name": name, "first": stamp, "last": stamp, "count": times})
