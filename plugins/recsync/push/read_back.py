"""Read users back from Braze and compare them with the values sent.

https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from braze_client.client import BrazeClient
from braze_client.identifiers import EXTERNAL_ID, Identifier
from braze_client.payloads import Json
from recsync.program.braze import to_seconds
from recsync.push.rendering import text_fingerprint, value_fingerprint

# Braze applies /users/track 1 to 6 seconds after its 201; these waits (s) allow 30 s in all.
WAITS_SECONDS = (1, 2, 4, 8, 15)
# 40 calls a second are allowed, and a call takes some tenths of a second.
_CALLS_AT_A_TIME = 8
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.\d+)? ?(Z|UTC|[+-]\d\d:?\d\d)")

Expected = Mapping[str, Mapping[str, int | None]]
"""Attribute -> fingerprint by person; None when the attribute must be absent."""


class Shown(Enum):
    """How the values of a user in Braze differ from those sent."""

    PART = "some attributes, and others not"
    NOTHING = "none of it"
    NOBODY = "no such person"


async def drifted(client: BrazeClient, expected: Expected, by: Identifier = EXTERNAL_ID) -> dict[str, Shown]:
    """Find users with other values than those sent, after Braze had time to apply them.

    :param by: how ``expected`` names them. Of several profiles with one address or number Braze writes one.

    :raises RecsyncError: when the users cannot be read.
    """
    left, found = dict(expected), dict[str, Shown]()
    for seconds in WAITS_SECONDS:
        if not left:
            break
        await asyncio.sleep(seconds)
        profiles = await _profiles(client, list(left), ["custom_attributes"], by)
        for person in list(left):
            known = profiles.get(person)
            looks = [_shown(one, left[person]) for one in known] if known else [_shown(None, left[person])]
            if None in looks:
                del left[person]
                found.pop(person, None)
            else:
                found[person] = looks[0] or Shown.NOTHING
    return {person: found.get(person, Shown.NOTHING) for person in sorted(left)}


async def unknown_people(
    client: BrazeClient, people: Sequence[str], by: Identifier = EXTERNAL_ID
) -> set[str]:
    """Find the users without a profile in Braze.

    :raises RecsyncError: when the users cannot be read.
    """
    return set(people) - (await _profiles(client, people, [], by)).keys()


async def _profiles(
    client: BrazeClient, people: Sequence[str], fields: Sequence[str], by: Identifier
) -> dict[str, list[Mapping[str, Any]]]:
    """Return the custom attributes of each profile of a person; people without one are missing."""
    slots = asyncio.Semaphore(_CALLS_AT_A_TIME)

    async def one(part: Sequence[str]) -> list[Json]:
        async with slots:
            return await client.export_users(part, [by.profile_field, *fields], by)

    parts = [people[i : i + by.per_export] for i in range(0, len(people), by.per_export)]
    found: dict[str, list[Mapping[str, Any]]] = {}
    for part, answer in zip(parts, await asyncio.gather(*map(one, parts)), strict=True):
        for profile in answer:
            # One person a call is whom the call named, however Braze spells the number.
            for person in part if by.per_export == 1 else by.people_of(profile):
                found.setdefault(person, []).append(profile.get("custom_attributes") or {})
    return found


def _shown(attributes: Mapping[str, Any] | None, expected: Mapping[str, int | None]) -> Shown | None:
    """Compare one profile (None: there is none); return None when it is as expected."""
    has = {
        name for name, value in expected.items() if shown_fingerprint((attributes or {}).get(name)) == value
    }
    if has == expected.keys():  # also without a profile, when everything had to be removed
        return None
    if attributes is None:
        return Shown.NOBODY
    return Shown.PART if any(expected[name] is not None for name in has) else Shown.NOTHING


def shown_fingerprint(value: object) -> int | None:
    """Return the fingerprint of a value as Braze exports it, to compare with the sent one; None without a value."""
    match value:
        case None:
            return None
        case list():
            return value_fingerprint([_canonical(element) for element in value])
        case str():
            return text_fingerprint(_canonical_text(value))
        case _:
            return -1


def _canonical_text(text: str) -> str:
    """Return a time as it was sent: Braze may show it in another ISO 8601 form, or with UTC written out."""
    found = _TIME.fullmatch(text)
    try:
        return to_seconds(f"{found[1]}{found[2].replace('UTC', 'Z')}") if found else text
    except ValueError:
        return text


def _canonical(element: object) -> object:
    """Return whole numbers as integers: Braze may show 2 as 2.0."""
    if isinstance(element, dict):
        return {key: _canonical(value) for key, value in element.items()}
    return int(element) if isinstance(element, float) and element.is_integer() else element
