"""The sentence that sums up an explanation, and its text."""

from __future__ import annotations

from typing import Any

import pytest

from recsync.explain.explanation import _WHAT_BECAME, Delivered, Explanation, Item, Run, SentList
from recsync.push.accounts import Outcome

RUN = Run("r1", "2026-11-30T05:00:00+00:00", "shop/4f1e", "", 10, 8)
SENT = SentList("d1", "2026-11-30T06:00:00+00:00", "2026-11-30T05:00:00+00:00")
LISTED: dict[str, Any] = {"run": RUN, "in_audience": True, "items": (Item("i1", "One"),)}


def explanation(**fields: Any) -> Explanation:
    return Explanation("shop", "u1", "external_id", "u1", "b-u1", **fields)


def delivered(outcome: str, reason: str = "") -> Delivered:
    return Delivered("d1", SENT.at, outcome, reason)


@pytest.mark.parametrize(
    ("fields", "summary"),
    [
        (
            {"erased": True},
            "This person was erased: on the suppression list, so in no export, no list and no delivery.",
        ),
        ({}, "The program has published no recommendations yet."),
        ({"run": RUN}, "Not in the audience of run r1: audience.sql did not return this person."),
        (
            {"run": RUN, "sent": SENT},
            "Not in the audience of run r1: audience.sql did not return this person. Braze still has an earlier list, "
            "which the next push removes.",
        ),
        (
            {"run": RUN, "in_audience": True, "reason": "fewer than 4 items", "all_rules": ("bought",)},
            "No list in run r1: fewer than 4 items. Rules that left out candidates: bought.",
        ),
        (
            {**LISTED, "delivered": delivered("sent"), "sent": SENT},
            "The list was sent. The list in Braze was sent at 2026-11-30T06:00:00+00:00.",
        ),
        (LISTED, "The list is published and was not pushed yet."),
        (
            {**LISTED, "delivered": delivered("rejected", "unknown to Braze")},
            "The list could not be written: unknown to Braze. Braze has no list of this program.",
        ),
        (
            {**LISTED, "delivered": delivered("dead_lettered"), "sent": SentList("d1", SENT.at, "", is_clear=False)},
            "Braze gave no clear answer to the list: no reason is known. What Braze has is not certain; the next push "
            "writes it again.",
        ),
    ],
)  # fmt: skip
def test_a_sentence_says_what_the_person_has_and_why(fields: dict[str, Any], summary: str) -> None:
    assert explanation(**fields).summary == summary


def test_every_outcome_has_a_sentence() -> None:
    assert _WHAT_BECAME.keys() == {"", *Outcome}
