"""The limits of a Braze contract: sizes of calls, and calls per second of each endpoint family.

The rate plan is in the extra of the Airflow connection. https://www.braze.com/docs/api/api_limits/
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from braze_client.errors import BrazeSettingsError
from braze_client.pace import Burst
from braze_client.payloads import MAX_BODY_BYTES

log = logging.getLogger(__name__)

# Braze refuses bodies over 2 MB to /users/track/bulk with 413; the rest is room for headers.
BULK_BODY_BYTES = 1_900_000
# /users/track/bulk has its own base rate: https://www.braze.com/docs/api/endpoints/user_data/post_user_track_bulk/
BULK_REQUESTS_PER_SECOND = 50.0


class _Allowed(NamedTuple):
    kind: type
    least: float = 0
    most: float = 0

    def __str__(self) -> str:
        if self.kind is bool:
            return "true or false"
        return f"a {'whole ' if self.kind is int else ''}number from {self.least:,} to {self.most:,}"

    def read(self, value: Any) -> int | float | bool:
        """Return the value as this kind; the extra of a connection given as a URI holds texts only."""
        if self.kind is bool:
            return {"true": True, "false": False}[str(value).strip().lower()]
        if isinstance(value, bool):
            raise ValueError(value)
        number = float(value)
        if not self.least <= number <= self.most or (self.kind is int and number != int(number)):
            raise ValueError(value)
        return int(number) if self.kind is int else number


_ALLOWED = {
    "max_objects": _Allowed(int, 1, 1_000),
    "bulk": _Allowed(bool),
    "bulk_max_objects": _Allowed(int, 1, 10_000),
    "burst_requests": _Allowed(int, 1, 1_000_000),
    "burst_seconds": _Allowed(float, 0.1, 3_600),
    "connections": _Allowed(int, 1, 1_024),
    "max_tries": _Allowed(int, 1, 20),
    "allow_http": _Allowed(bool),
}


@dataclass(frozen=True)
class RatePlan:
    """Hold the limits of a contract; the defaults are Braze's own for contracts with data points.

    https://www.braze.com/docs/api/endpoints/user_data/post_user_track/#rate-limit

    :param max_objects: objects in one ``/users/track`` call.
    :param bulk: whether the workspace has ``/users/track/bulk`` (a limited beta).
    :param bulk_max_objects: objects in one ``/users/track/bulk`` call.
    :param burst_requests: calls allowed in ``burst_seconds``. Contracts by active users do not show this limit in
        their headers: see the dashboard under Settings, APIs and Identifiers, API Usage.
    :param burst_seconds: length of the short window.
    :param connections: HTTP connections open at a time; at 0.1 s a call, 1,000 calls/s need 100.
    :param max_tries: tries per call before its outcome is given up as unclear.
    :param allow_http: send the API key unencrypted to a host that is not this machine, e.g. in a container network.
    """

    max_objects: int = 75
    bulk: bool = False
    bulk_max_objects: int = 1_000
    burst_requests: int = 3_000
    burst_seconds: float = 3.0
    connections: int = 128
    max_tries: int = 6
    allow_http: bool = False

    @classmethod
    def from_extra(cls, extra: Mapping[str, Any], *, conn_id: str = "braze_default") -> RatePlan:
        """Read the extra of the connection; fields left out take the defaults.

        The fields belong in the extra or in its object ``rate_plan``. A warning names unknown fields.

        :raises BrazeSettingsError: naming every value that is not allowed.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        nested = extra.get("rate_plan")
        given = {name: value for name, value in extra.items() if name != "rate_plan"}
        given |= nested if isinstance(nested, Mapping) else {}
        if unknown := sorted(given.keys() - _ALLOWED.keys()):
            # Names only: the value of an unknown field may be a secret in the wrong place.
            log.warning(
                "Connection %s, extra: %s not used; recsync knows %s", conn_id, unknown, ", ".join(_ALLOWED)
            )
        for name in given.keys() & _ALLOWED.keys():
            try:
                values[name] = _ALLOWED[name].read(given[name])
            except (KeyError, TypeError, ValueError, OverflowError):
                allowed = f"{name} = {given[name]!r}: allowed is {_ALLOWED[name]}"
                problems.append(f"Connection {conn_id}, extra: {allowed}")
        if problems:
            raise BrazeSettingsError("\n".join(sorted(problems)))
        return cls(**values)

    @property
    def objects_per_call(self) -> int:
        """Objects that fit one ``track_attributes`` call."""
        return self.bulk_max_objects if self.bulk else self.max_objects

    @property
    def bytes_per_call(self) -> int:
        """Bytes that the body of one ``track_attributes`` call may have."""
        return BULK_BODY_BYTES if self.bulk else MAX_BODY_BYTES

    @property
    def requests_per_second(self) -> float:
        """Calls per second that the short window of ``track_attributes`` allows."""
        burst = self.burst_requests / self.burst_seconds
        return min(burst, BULK_REQUESTS_PER_SECOND) if self.bulk else burst


class Family(Enum):
    """The endpoints that share one limit."""

    TRACK = "users/track"
    TRACK_BULK = "users/track/bulk"
    EXPORT = "users/export"
    DELETE = "users/delete"
    CATALOG_ITEMS = "catalogs items, asynchronous"
    CATALOG_READS = "catalogs items, synchronous"
    CATALOGS = "catalogs"


# Upper limits regardless of headers, and the rate to try without headers.
_BURSTS = {
    Family.TRACK_BULK: Burst(3 * BULK_REQUESTS_PER_SECOND, 3.0),
    # 250 a minute, or 40 a second where fields_to_export is given: the headers tell which.
    Family.EXPORT: Burst(40, 1.0),
    # 20,000 a minute, shared with alias, identify and merge.
    Family.DELETE: Burst(30, 3.0),
    # 16,000 a minute.
    Family.CATALOG_ITEMS: Burst(800, 3.0),
    # 50 a minute each, which the headers tell: few calls, so these may come quickly.
    Family.CATALOG_READS: Burst(30, 3.0),
    Family.CATALOGS: Burst(30, 3.0),
}


def burst_of(family: Family, plan: RatePlan) -> Burst:
    """Return what the short window of a family allows under a rate plan."""
    own = Burst(plan.burst_requests, plan.burst_seconds)
    return min(_BURSTS.get(family, own), own, key=lambda burst: burst.requests / burst.seconds)
