"""Check REST API keys and their permissions.

https://www.braze.com/docs/api/basics#rest-api-key
"""

from __future__ import annotations

from collections.abc import Iterable

from braze_local.wire import Request, Response, message


class Keys:
    """Hold the keys of one workspace, each with its permissions; None stands for all of them."""

    def __init__(self, permissions_by_key: dict[str, frozenset[str] | None], *, echo: bool = False) -> None:
        self._permissions_by_header = {
            f"Bearer {key}".encode(): permissions for key, permissions in permissions_by_key.items()
        }
        self._echo = echo

    @classmethod
    def parse(cls, texts: Iterable[str], *, echo: bool = False) -> Keys:
        """Read keys written as ``KEY`` or ``KEY:permission,permission``; `echo` as for `refusal`."""
        parsed: dict[str, frozenset[str] | None] = {}
        for text in texts:
            key, colon, names = text.partition(":")
            parsed[key] = frozenset(filter(None, names.split(","))) if colon else None
        return cls(parsed, echo=echo)

    def refusal(self, request: Request, permission: str) -> Response | None:
        """Return the 401 or 403 this request gets, or None.

        With `echo`, the 401 repeats the key it was sent, as Braze has been seen to do: for testing that a
        client keeps it out of its log.
        """
        header = request.headers.get(b"authorization", b"")
        if header not in self._permissions_by_header:
            sent = header.removeprefix(b"Bearer ").decode("latin-1")
            return message(401, f"Invalid API key: {sent}" if self._echo else "Invalid API key")
        permissions = self._permissions_by_header[header]
        if permissions is not None and permission not in permissions:
            return message(403, "Access Denied")
        return None
