"""Read people back from Braze and compare them with what it was told.

https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from braze_client.client import MAX_EXPORT_IDS, BrazeClient
from braze_client.payloads import Json
from recsync.push.fingerprints import text_fingerprint, value_fingerprint

# /users/track is applied some seconds after its 201; these waits (s) follow the lags seen, about 30 s in all.
WAITS_SECONDS = (1, 2, 4, 8, 15)
# 40 calls a second are allowed, and an answer takes some tenths of a second.
_CALLS_AT_A_TIME = 8

Expected = Mapping[str, Mapping[str, int | None]]
"""Attribute -> fingerprint by external id; None when the attribute must be gone."""


class Shown(Enum):
    """What Braze shows for a person who does not have what was sent."""

    PART = "some attributes, and others not"
    NOTHING = "none of it"
    NOBODY = "no such person"


async def drifted(client: BrazeClient, expected: Expected) -> dict[str, Shown]:
    """Find the people who do not have what Braze was told, after it had time to apply it.

    :raises RecsyncError: when nobody can be read back.
    """
    left, found = dict(expected), dict[str, Shown]()
    for seconds in WAITS_SECONDS:
        if not left:
            break
        await asyncio.sleep(seconds)
        profiles = await _profiles(client, list(left), ["external_id", "custom_attributes"])
        for external_id in list(left):
            shown = _shown(profiles.get(external_id), left[external_id])
            if shown is None:
                del left[external_id]
                found.pop(external_id, None)
            else:
                found[external_id] = shown
    return {external_id: found.get(external_id, Shown.NOTHING) for external_id in sorted(left)}


async def unknown_people(client: BrazeClient, external_ids: Sequence[str]) -> set[str]:
    """Find the people of whom Braze has no profile.

    :raises RecsyncError: when nobody can be read back.
    """
    return set(external_ids) - (await _profiles(client, external_ids, ["external_id"])).keys()


async def _profiles(
    client: BrazeClient, external_ids: Sequence[str], fields: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    slots = asyncio.Semaphore(_CALLS_AT_A_TIME)

    async def one(ids: Sequence[str]) -> list[Json]:
        async with slots:
            return await client.export_users(ids, fields)

    cuts = range(0, len(external_ids), MAX_EXPORT_IDS)
    answers = await asyncio.gather(*(one(external_ids[i : i + MAX_EXPORT_IDS]) for i in cuts))
    return {
        profile["external_id"]: profile.get("custom_attributes") or {}
        for answer in answers
        for profile in answer
        if "external_id" in profile
    }


def _shown(attributes: Mapping[str, Any] | None, expected: Mapping[str, int | None]) -> Shown | None:
    """Compare one profile, None for a person without one; return None when it is as expected."""
    has = {name for name, value in expected.items() if _fingerprint((attributes or {}).get(name)) == value}
    if has == expected.keys():  # also of a person without a profile, when everything had to go
        return None
    if attributes is None:
        return Shown.NOBODY
    return Shown.PART if any(expected[name] is not None for name in has) else Shown.NOTHING


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
