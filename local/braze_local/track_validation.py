"""Validate the objects of a /users/track request. Pure.

Problems are the `type` of Braze's error entries, verbatim where known from live traffic.
https://www.braze.com/docs/api/endpoints/user_data/post_user_track
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from braze_local.attributes import OBJECT_MAX_BYTES, STRING_MAX_CHARACTERS
from braze_local.profiles import parse_time

# Braze: an external_id holds at most 987 bytes.
EXTERNAL_ID_MAX_BYTES = 987
# Braze: the quantity of one purchase object.
QUANTITY_MAX = 100
# No limit is documented; this one keeps revenue a finite number.
PRICE_MAX = 10**12
_SUBSCRIPTION_STATES = ("opted_in", "subscribed", "unsubscribed")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_CHECKED_FIELDS = frozenset({"email", "email_subscribe", "push_subscribe"})
IDENTIFIER_REQUIRED = "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"
SEVERAL_IDENTIFIERS = "only one of 'external_id', 'braze_id' or 'user_alias' is allowed"
# Follows the name of the identifier; documented for external_id only.
NOT_AN_EXISTING_USER = "is not an existing user"


def attributes_problem(candidate: Any) -> str | None:
    """Return the problem of an attributes object, or None."""
    return identifier_problem(candidate) or _field_problem(candidate)


def event_problem(candidate: Any) -> str | None:
    """Return the problem of an event object, or None."""
    return (
        identifier_problem(candidate)
        or _text_problem(candidate, "name")
        or _time_problem(candidate)
        or _properties_problem(candidate)
    )


def purchase_problem(candidate: Any) -> str | None:
    """Return the problem of a purchase object, or None."""
    return (
        identifier_problem(candidate)
        or _text_problem(candidate, "product_id")
        or _money_problem(candidate)
        or _time_problem(candidate)
        or _properties_problem(candidate)
    )


PROBLEM_OF: dict[str, Callable[[Any], str | None]] = {
    "attributes": attributes_problem,
    "events": event_problem,
    "purchases": purchase_problem,
}


def _field_problem(fields: dict[str, Any]) -> str | None:
    if not _CHECKED_FIELDS & fields.keys():
        return None
    email = fields.get("email")
    if email is not None and not (isinstance(email, str) and _EMAIL.fullmatch(email)):
        return "The value provided for the 'email' field is not a valid email."
    for name in ("email_subscribe", "push_subscribe"):
        state = fields.get(name)
        if state is not None and state not in _SUBSCRIPTION_STATES:
            return f"'{name}' must be one of 'opted_in', 'subscribed' or 'unsubscribed'."
    return None


def identifier_problem(candidate: Any) -> str | None:
    """Return the problem of the identifiers of an object, or None."""
    if not isinstance(candidate, dict):
        return IDENTIFIER_REQUIRED
    external_id = candidate.get("external_id")
    alias, braze_id = candidate.get("user_alias"), candidate.get("braze_id")
    if (external_id is not None) + (alias is not None) + (braze_id is not None) > 1:
        return SEVERAL_IDENTIFIERS
    if external_id is not None:
        return _external_id_problem(external_id)
    if alias is not None:
        return _alias_problem(alias)
    named = [
        value for value in (braze_id, candidate.get("email"), candidate.get("phone")) if value is not None
    ]
    fit = named and all(isinstance(value, str) and value for value in named)
    return None if fit else IDENTIFIER_REQUIRED


def _external_id_problem(external_id: Any) -> str | None:
    # SQLite's JSON functions end a string at a NUL; Braze's behavior is not documented.
    if not isinstance(external_id, str) or not external_id or "\x00" in external_id:
        return IDENTIFIER_REQUIRED
    # A character has at most 4 bytes in UTF-8, so most ids can be measured without encoding.
    if len(external_id) * 4 > EXTERNAL_ID_MAX_BYTES and len(external_id.encode()) > EXTERNAL_ID_MAX_BYTES:
        return "EXTERNAL_USER_ID_TOO_LARGE"
    return None


def _alias_problem(alias: Any) -> str | None:
    names = [alias.get("alias_name"), alias.get("alias_label")] if isinstance(alias, dict) else [None]
    return None if all(isinstance(name, str) and name for name in names) else IDENTIFIER_REQUIRED


def _text_problem(candidate: dict[str, Any], key: str) -> str | None:
    value = candidate.get(key)
    fits = isinstance(value, str) and 0 < len(value) <= STRING_MAX_CHARACTERS
    return None if fits else f"'{key}' is not valid"


def _time_problem(candidate: dict[str, Any]) -> str | None:
    try:
        parse_time(candidate.get("time", ""))
    except (TypeError, ValueError):
        return "'time' is not valid"
    return None


def _money_problem(purchase: dict[str, Any]) -> str | None:
    currency, price, quantity = purchase.get("currency"), purchase.get("price"), purchase.get("quantity", 1)
    if not (isinstance(currency, str) and len(currency) == 3 and currency.isalpha()):
        return "'currency' is not valid"
    if isinstance(price, bool) or not isinstance(price, int | float) or abs(price) > PRICE_MAX:
        return "'price' is not valid"
    if isinstance(quantity, bool) or not isinstance(quantity, int) or not 1 <= quantity <= QUANTITY_MAX:
        return "'quantity' is not valid"
    return None


def _properties_problem(candidate: dict[str, Any]) -> str | None:
    properties = candidate.get("properties", {})
    if not isinstance(properties, dict):
        return "'properties' is not valid"
    nested = any(isinstance(value, dict | list) for value in properties.values())
    if nested and len(msgspec.json.encode(properties)) > OBJECT_MAX_BYTES:
        return "'properties' is not valid"
    return None
