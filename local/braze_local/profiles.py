"""Hold a profile as one JSON document and apply accepted objects to it.

The document has the shape of the response of /users/export/ids:
https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier
https://www.braze.com/docs/api/objects_filters/user_attributes_object#braze-user-profile-fields
"""

from __future__ import annotations

import itertools
import random
import re
import secrets
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from braze_local.attribute_rules import AttributeRules
from braze_local.attributes import (
    ABSENT,
    STRING_MAX_CHARACTERS,
    DroppedWriteError,
    apply_write,
    is_plain_list,
    is_unchanged,
)
from braze_local.identifiers import identifier_of, normalized_email
from braze_local.meter import Tally

Document = dict[str, Any]
# Keys of an attributes object that control the write and are not attributes.
_CONTROL_KEYS = frozenset(
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
# Fields of every new profile; stored only once they differ.
_DEFAULTS: Document = {"total_revenue": 0.0, "push_subscribe": "subscribed", "email_subscribe": "subscribed"}
# Braze draws a random bucket from 0 to 9,999 for every profile.
_BUCKETS = 10_000
# Starts at random, so that ids of two runs within one second differ.
_serial = itertools.count(secrets.randbelow(2**63))
# Braze bills a data point for a write of one of these; subscription states and groups are free.
BILLABLE_FIELDS = frozenset(
    {
        "email",
        "first_name",
        "last_name",
        "phone",
        "country",
        "language",
        "dob",
        "gender",
        "home_city",
        "time_zone",
    }
)
PROFILE_FIELDS = BILLABLE_FIELDS | {
    "email_subscribe",
    "push_subscribe",
    "email_open_tracking_disabled",
    "email_click_tracking_disabled",
    "subscription_groups",
}
_TEXTS = BILLABLE_FIELDS - {"country"}
_PATTERNS = {
    "gender": re.compile(r"[MFONP]", re.IGNORECASE),
    "language": re.compile(r"[a-z]{2}", re.IGNORECASE),
}


def new_document(now_seconds: float) -> Document:
    """Return an empty profile created at `now_seconds` (epoch), with a new braze_id.

    The 24 hex digits of the id grow with time, which keeps inserts into the index cheap.
    """
    braze_id = f"{int(now_seconds):08x}{next(_serial):016x}"
    return {
        "created_at": timestamp(now_seconds),
        "braze_id": braze_id,
        "random_bucket": int(random.random() * _BUCKETS),  # ruff: ignore[suspicious-non-cryptographic-random-usage]  # a bucket, not a secret
        "custom_attributes": {},
    }


def with_defaults(document: Document) -> Document:
    """Return a profile with the defaults that are not stored."""
    return {"user_aliases": [], "custom_events": [], "purchases": [], **_DEFAULTS, **document}


@lru_cache(maxsize=16)
def timestamp(epoch_seconds: float) -> str:
    """Format an epoch time as Braze exports it: ISO 8601, milliseconds, Z."""
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: Any) -> datetime:
    """Parse an ISO 8601 time, by default in UTC.

    Raises TypeError or ValueError for anything else and for years outside Braze's range (0 to 3000; here from 2).
    """
    moment = datetime.fromisoformat(text)
    if not 1 < moment.year <= 3000:
        raise ValueError(f"year {moment.year} is out of range")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def apply_attributes(
    document: Document, attributes: dict[str, Any], tally: Tally, rules: AttributeRules
) -> bool:
    """Apply one attributes object, count its data points, and return whether the document changed."""
    merge = attributes.get("_merge_objects") is True
    identifier = identifier_of(attributes)
    changed = False
    for name, value in attributes.items():
        if name in _CONTROL_KEYS:
            continue
        if name == identifier:
            # An address or number that only names the user is no write; it is the field of a new profile.
            changed |= document.get(name) is None
            document.setdefault(name, normalized_email(value) if name == "email" else value)
            continue
        if type(value) is list and name in rules.plain_lists and is_plain_list(value):
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


def apply_event(document: Document, event: dict[str, Any], tally: Tally, _rules: AttributeRules) -> bool:
    """Count one custom event on the profile; its properties are not stored."""
    _count(document.setdefault("custom_events", []), event["name"], event["time"])
    tally.events[event["name"]] += 1
    return True


def apply_purchase(
    document: Document, purchase: dict[str, Any], tally: Tally, _rules: AttributeRules
) -> bool:
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
    custom: dict[str, Any], name: str, value: Any, merge: bool, tally: Tally, rules: AttributeRules
) -> bool:
    name = name.strip(" ")
    if not name or name.startswith("$") or len(name) > STRING_MAX_CHARACTERS:
        raise DroppedWriteError("invalid attribute name")
    value = rules.coerce(name, value)
    old = custom.get(name, ABSENT)
    new, points = apply_write(old, value, merge=merge)
    rules.record_type(name, value)
    same = is_unchanged(old, new)
    tally.wrote(name, points, same)
    if same:
        return False
    if new is ABSENT:
        del custom[name]
    else:
        custom[name] = new
    return True


def _write_field(document: Document, name: str, value: Any, tally: Tally) -> bool:
    old, new = document.get(name, _DEFAULTS.get(name)), _stored_field(name, value)
    same = is_unchanged(old, new)
    tally.wrote(name, 1 if name in BILLABLE_FIELDS else 0, same)
    if same:
        return False
    if new is None:
        document.pop(name, None)
    else:
        document[name] = new
    return True


def _stored_field(name: str, value: Any) -> Any:
    """Return a profile field as Braze stores it; None removes it.

    Raises DroppedWriteError for a value Braze ignores. A country that is not two letters becomes None;
    existing countries are not checked.
    """
    if value is None:
        return None
    if name in _TEXTS and not (isinstance(value, str) and len(value) <= STRING_MAX_CHARACTERS):
        raise DroppedWriteError(f"invalid {name}")
    if name == "dob":
        return _midnight(value)
    if name == "country":
        return value.upper() if isinstance(value, str) and re.fullmatch(r"[A-Za-z]{2}", value) else None
    if name == "email":
        return normalized_email(value)
    pattern = _PATTERNS.get(name)
    if pattern and not pattern.fullmatch(value):
        raise DroppedWriteError(f"invalid {name}")
    return value


def _midnight(value: Any) -> str:
    try:
        day = date.fromisoformat(value)
    except (TypeError, ValueError):
        raise DroppedWriteError("invalid dob") from None
    return f"{day.isoformat()}T00:00:00.000Z"


def _count(entries: list[dict[str, Any]], name: str, time: str, times: int = 1) -> None:
    # A time in the future counts as now.
    stamp = timestamp(min(parse_time(time), datetime.now(UTC)).timestamp())
    for entry in entries:
        if entry["name"] == name:
            entry["count"] += times
            entry["first"], entry["last"] = min(entry["first"], stamp), max(entry["last"], stamp)
            return
    entries.append({"name": name, "first": stamp, "last": stamp, "count": times})
