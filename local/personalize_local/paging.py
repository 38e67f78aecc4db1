"""Cut lists into pages by opaque tokens that belong to one list and no other."""

from __future__ import annotations

import base64
import hashlib
import json

from personalize_local.errors import invalid_next_token

DEFAULT_PAGE_ITEMS = 100  # the service's default and maximum of maxResults


def make_token(list_key: str, last: int) -> str:
    """Return the token for what follows number `last` of the list named by `list_key`."""
    text = json.dumps({"last": last, "list": _digest(list_key), "check": _digest(f"{list_key}|{last}")})
    return base64.urlsafe_b64encode(text.encode()).decode()


def read_token(list_key: str, token: str | None) -> int:
    """Return the number to go on after: 0 without a token; refuse a foreign one."""
    if token is None:
        return 0
    try:
        content = json.loads(base64.urlsafe_b64decode(token.encode()))
        last = int(content["last"])
        genuine = content["list"] == _digest(list_key) and content["check"] == _digest(f"{list_key}|{last}")
    except (ValueError, KeyError, TypeError) as error:
        raise invalid_next_token() from error
    if not genuine:
        raise invalid_next_token()
    return last


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
