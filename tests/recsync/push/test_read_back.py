"""Comparing what Braze shows with what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from braze_client.client import BrazeClient
from braze_client.identifiers import MAX_EXPORT_IDS
from recsync.push import read_back
from recsync.push.read_back import Shown, drifted, unknown_people
from recsync.push.rendering import text_fingerprint, value_fingerprint

LIST = value_fingerprint(["1", "2"])
OBJECTS = value_fingerprint([{"id": "1", "price": 2, "name": "x"}])


class Profiles:
    """What Braze shows at each look; the last one stays."""

    def __init__(self, *looks: Mapping[str, Any]) -> None:
        self.looks = list(looks)
        self.asked: list[list[str]] = []

    async def export_users(
        self, external_ids: Sequence[str], fields: Sequence[str], by: Any
    ) -> list[dict[str, Any]]:
        self.asked.append(list(external_ids))
        shown = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return [
            {"external_id": who, "custom_attributes": shown[who]}
            for who in reversed(external_ids)
            if who in shown
        ]


def look(profiles: Profiles, expected: Mapping[str, Mapping[str, int | None]]) -> dict[str, Shown]:
    return asyncio.run(drifted(cast(BrazeClient, profiles), expected))


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_back, "WAITS_SECONDS", (0, 0, 0))


@pytest.mark.parametrize(
    ("shown", "expected", "is_right"),
    [
        ({"recs": ["1", "2"]}, {"recs": LIST}, True),
        ({"recs": ["1", "2"], "other": 7}, {"recs": LIST}, True),
        ({"recs": ["2", "1"]}, {"recs": LIST}, False),
        ({"recs": ["1"]}, {"recs": LIST}, False),
        ({"recs": "1"}, {"recs": LIST}, False),
        ({"recs": 7}, {"recs": LIST}, False),
        ({}, {"recs": LIST}, False),
        (None, {"recs": LIST}, False),
        ({"recs": [{"name": "x", "id": "1", "price": 2.0}]}, {"recs": OBJECTS}, True),
        ({"recs": [{"name": "x", "id": "1", "price": 2.5}]}, {"recs": OBJECTS}, False),
        ({"scores": [0.5, 1, -3.0]}, {"scores": value_fingerprint([0.5, 1.0, -3])}, True),
        ({"scores": [0.5, 1]}, {"scores": value_fingerprint([0.5, 1.0, -3])}, False),
        ({"at": "2026-01-31T23:30:00.000Z"}, {"at": text_fingerprint("2026-01-31T23:30:00Z")}, True),
        ({"at": "2026-02-01 00:30:00 +0100"}, {"at": text_fingerprint("2026-01-31T23:30:00Z")}, True),
        ({"at": "2026-01-31 23:30:00 UTC"}, {"at": text_fingerprint("2026-01-31T23:30:00Z")}, True),
        ({"at": "2026-01-31T23:31:00Z"}, {"at": text_fingerprint("2026-01-31T23:30:00Z")}, False),
        ({"at": "2026-99-31T23:31:00Z"}, {"at": text_fingerprint("2026-01-31T23:30:00Z")}, False),
        ({"tier": "personal"}, {"tier": text_fingerprint("personal"), "recs": None}, True),
        ({"tier": "personal", "recs": []}, {"tier": text_fingerprint("personal"), "recs": None}, False),
        ({}, {"recs": None}, True),
        (None, {"recs": None}, True),
        ({"recs": ["1", "2"]}, {"recs": None}, False),
    ],
)
def test_a_person_has_what_was_sent_or_has_drifted(
    shown: Any, expected: dict[str, int | None], is_right: bool
) -> None:
    assert list(look(Profiles({"a": shown}), {"a": expected})) == ([] if is_right else ["a"])


def test_somebody_unknown_to_braze_has_nothing() -> None:
    assert look(Profiles({}), {"a": {"recs": None}, "b": {"recs": LIST}}) == {"b": Shown.NOBODY}


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ({"recs": ["1", "2"]}, Shown.PART),
        ({"tier": "personal", "recs": ["9"]}, Shown.PART),
        ({"recs": ["9"]}, Shown.NOTHING),
        ({}, Shown.NOTHING),
    ],
)
def test_a_part_of_what_was_sent_is_not_nothing(shown: Any, found: Shown) -> None:
    expected = {"recs": LIST, "tier": text_fingerprint("personal"), "older": None}
    assert look(Profiles({"a": shown}), {"a": expected}) == {"a": found}


def test_people_without_a_profile_are_found_however_many_they_are() -> None:
    people = [f"u-{n:03d}" for n in range(2 * MAX_EXPORT_IDS + 1)]
    profiles = Profiles({who: {} for who in people[1:]})
    assert asyncio.run(unknown_people(cast(BrazeClient, profiles), people)) == {people[0]}
    assert sorted(map(len, profiles.asked)) == [1, MAX_EXPORT_IDS, MAX_EXPORT_IDS]


def test_what_is_applied_later_is_no_drift() -> None:
    profiles = Profiles({}, {"a": {"recs": ["1", "2"]}})
    assert look(profiles, {"a": {"recs": LIST}}) == {}
    assert len(profiles.asked) == 2


def test_only_those_who_are_not_right_are_asked_for_again_and_few_at_a_time() -> None:
    people = {f"u-{n:03d}": {"recs": LIST} for n in range(MAX_EXPORT_IDS + 10)}
    profiles = Profiles({who: {"recs": ["1", "2"]} for who in people if who != "u-007"})
    assert look(profiles, people) == {"u-007": Shown.NOBODY}
    assert [len(asked) for asked in profiles.asked] == [MAX_EXPORT_IDS, 10, 1, 1]
    assert look(Profiles({}), {}) == {}
