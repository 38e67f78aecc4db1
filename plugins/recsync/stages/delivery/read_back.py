"""Read people back from Braze and compare them with what it was told.

https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from recsync.clients.braze import MAX_EXPORT_IDS, BrazeClient
from recsync.core.delivery.fingerprints import text_fingerprint, value_fingerprint

# /users/track is applied some seconds after its 201; these waits (s) follow the lags seen, about 30 s in all.
WAITS_SECONDS = (1, 2, 4, 8, 15)

Expected = Mapping[str, Mapping[str, int | None]]
"""Attribute -> fingerprint by external id; None when the attribute must be gone."""


async def drifted(client: BrazeClient, expected: Expected) -> list[str]:
    """Name the people who do not have what Braze was told, after it had time to apply it.

    :raises RecsyncError: when nobody can be read back.
    """
    left = dict(expected)
    for seconds in WAITS_SECONDS:
        if not left:
            break
        await asyncio.sleep(seconds)
        for first in range(0, len(waiting := list(left)), MAX_EXPORT_IDS):
            ids = waiting[first : first + MAX_EXPORT_IDS]
            profiles = await client.export_users(ids, ["external_id", "custom_attributes"])
            found = {
                profile.get("external_id"): profile.get("custom_attributes") or {} for profile in profiles
            }
            for external_id in ids:
                # Somebody unknown to Braze has nothing, which is right when everything had to go.
                if _has(found.get(external_id, {}), left[external_id]):
                    del left[external_id]
    return sorted(left)


def _has(attributes: Mapping[str, Any], expected: Mapping[str, int | None]) -> bool:
    return all(_fingerprint(attributes.get(name)) == value for name, value in expected.items())


def _fingerprint(value: object) -> int | None:
    match value:
        case None:
            return None
        case list():
            return value_fingerprint([_canonical(element) for element in value])
        case str():
            return text_fingerprint(value)
        case _:
            return -1


def _canonical(element: object) -> object:
    """Write whole numbers as what was sent; Braze is free to show 2 as 2.0."""
    if isinstance(element, dict):
        return {key: _canonical(value) for key, value in element.items()}
    return int(element) if isinstance(element, float) and element.is_integer() else element
