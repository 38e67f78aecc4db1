"""Know the reserved profile fields: how each is checked, stored and billed. Pure.

https://www.braze.com/docs/api/objects_filters/user_attributes_object#braze-user-profile-fields
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from braze_local.nested import STRING_MAX_CHARACTERS, DroppedWriteError

EMAIL_STATES = ("opted_in", "subscribed", "unsubscribed")
PROFILE_FIELDS = frozenset(
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
        "email_subscribe",
        "push_subscribe",
        "email_open_tracking_disabled",
        "email_click_tracking_disabled",
        "subscription_groups",
    }
)
# Braze's billing page: these cost a data point when set; subscription states and groups do not.
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
_TEXTS = BILLABLE_FIELDS - {"country"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_CHECKED_FIELDS = frozenset({"email", "email_subscribe", "push_subscribe"})
_PATTERNS = {
    "gender": re.compile(r"[MFONP]", re.IGNORECASE),
    "language": re.compile(r"[a-z]{2}", re.IGNORECASE),
}


def field_problem(fields: dict[str, Any]) -> str | None:
    """Return the error `type` /users/track reports for a bad profile field, or None."""
    if not _CHECKED_FIELDS & fields.keys():
        return None
    email = fields.get("email")
    if email is not None and not (isinstance(email, str) and _EMAIL.fullmatch(email)):
        return "The value provided for the 'email' field is not a valid email."
    for name in ("email_subscribe", "push_subscribe"):
        state = fields.get(name)
        if state is not None and state not in EMAIL_STATES:
            return f"'{name}' must be one of 'opted_in', 'subscribed' or 'unsubscribed'."
    return None


def stored_field(name: str, value: Any) -> Any:
    """Return a profile field as Braze stores it; None removes it.

    Raises DroppedWriteError for a value Braze ignores. A country that is not two letters becomes None,
    as an unknown one does; the list of countries itself is not checked.
    """
    if value is None:
        return None
    if name in _TEXTS and not (isinstance(value, str) and len(value) <= STRING_MAX_CHARACTERS):
        raise DroppedWriteError(f"invalid {name}")
    if name == "dob":
        return _midnight(value)
    if name == "country":
        return value.upper() if isinstance(value, str) and re.fullmatch(r"[A-Za-z]{2}", value) else None
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
