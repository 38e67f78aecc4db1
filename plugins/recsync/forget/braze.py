"""Take one person out of Braze, and see that they are gone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from braze_client.client import MAX_DELETE_IDS
from braze_client.payloads import dumps
from recsync.errors import RetriableError
from recsync.forget.request import Erasure, opened
from recsync.push.braze_hook import BrazeHook

log = logging.getLogger(__name__)

_STEP = "braze"
# Braze applies a deletion within five minutes at the most: https://www.braze.com/docs/api/endpoints/user_data/post_user_delete
_LOOKS, _SECONDS_BETWEEN_LOOKS = 8, 2.0


def forget_in_braze(program_name: str, name: str) -> dict[str, Any]:
    """Delete the profile, or only the attributes that recsync wrote, as the program file says.

    :raises RetriableError: while Braze still shows them; the next try asks again.
    """
    erasure = opened(program_name, name)
    mode = erasure.context.program.erasure.braze
    people = list(erasure.identity.external_ids)
    told: dict[str, Any] = {"mode": mode, "profiles": len(people), "gone": None}
    if people and mode != "nothing":
        asyncio.run(_forget(erasure, people, profile=mode == "profile"))
        told["gone"] = True
    erasure.note(_STEP, told)
    return told


async def _forget(erasure: Erasure, people: list[str], *, profile: bool) -> None:
    braze = erasure.context.program.braze
    attributes = [one for one in (braze.attribute, braze.tier_attribute) if one]
    async with BrazeHook(braze.connection).client() as client:
        for first in range(0, len(people), MAX_DELETE_IDS):
            chunk = people[first : first + MAX_DELETE_IDS]
            if profile:
                await client.delete_users(chunk)
            else:
                nothing = dict.fromkeys(attributes)
                objects = [dumps({"external_id": p, "_update_existing_only": True, **nothing}) for p in chunk]
                await client.track_attributes(objects)
        for _ in range(_LOOKS):
            found = []
            for first in range(0, len(people), MAX_DELETE_IDS):
                found += await client.export_users(
                    people[first : first + MAX_DELETE_IDS], ["external_id", "custom_attributes"]
                )
            if not any(profile or set(attributes) & set(one.get("custom_attributes") or {}) for one in found):
                return
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    raise RetriableError("Braze took the deletion and still shows the profile; the next try looks again.")
