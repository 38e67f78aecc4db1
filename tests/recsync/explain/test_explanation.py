"""The sentence that sums up an explanation, and its text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from recsync.explain.explanation import (
    _WHAT_BECAME,
    Delivered,
    Explanation,
    Item,
    Run,
    SentList,
    as_text,
    braze_text,
    facts,
    named,
)
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


def test_the_text_has_list_scores_rules_purchases_delivery_and_braze() -> None:
    items = (Item("i1", "One", 0.5, "personal"), Item("i2", "Two", None, "similar"))
    found = explanation(
        **{**LISTED, "items": items}, tier="similar", segment="red", with_scores=True,
        left_out={"bought": (Item("i3", "Three"),), "not in the catalogue": (Item(""), Item(""))},
        bought=(Item("i3", "Three"),), delivered=delivered("sent"), sent=SENT,
        braze={"recs": ["i1", "i2"], "recs_at": "2026"}, as_sent=True,
    )  # fmt: skip
    assert as_text(found).splitlines() == [
        "The list was sent. The list in Braze was sent at 2026-11-30T06:00:00+00:00.",
        "  user_id      u1",
        "  external_id  b-u1",
        "  run          r1, generated at 2026-11-30T05:00:00+00:00",
        "  version      shop/4f1e",
        "  filter       none",
        "  tier         similar, segment red",
        "  delivery     d1, sent",
        "  sent         2026-11-30T06:00:00+00:00 by d1, confirmed by recommendations of 2026-11-30T05:00:00+00:00",
        "  Braze now    recs = [i1, i2], recs_at = 2026, as sent",
        "",
        "  list",
        "     1  i1  One  0.5000000  personal",
        "     2  i2  Two  none  similar",
        "",
        "  left out: bought (1)",
        "        i3  Three",
        "",
        "  left out: not in the catalogue (2)",
        "        2 unknown items",
        "",
        "  last purchases that the fallback started from",
        "        i3  Three",
    ]


def test_the_arm_is_named_and_the_version_is_that_of_the_arm() -> None:
    run = replace(RUN, experiment="autumn")
    for arm, version, shown in (
        ("best", "shop/4f1e", ["best of experiment autumn", "shop/4f1e"]),
        ("popular", "", ["popular of experiment autumn", "none: the arm gets no model"]),
        ("", "shop/4f1e", ["outside of experiment autumn", "shop/4f1e"]),
    ):
        told = dict(facts(explanation(**{**LISTED, "run": replace(run, version=version)}, arm=arm)))
        assert [told["arm"], told["version"]] == shown


def test_an_earlier_run_has_no_record_of_its_rules_and_of_what_put_the_items_there() -> None:
    items = (Item("i1", "One"),)
    told = as_text(explanation(**{**LISTED, "items": items}, with_scores=True))
    assert "     1  i1  One  none: fallback or promoted  not recorded" in told.splitlines()
    assert "left out by rules: not recorded" in as_text(explanation(**LISTED))


def test_what_braze_shows_is_compared() -> None:
    assert (
        braze_text(explanation(braze={}, as_sent=False)) == "no attribute of this program, NOT what was sent"
    )
    assert braze_text(explanation(braze={"recs": [{"id": "i1", "name": "x"}]})) == "recs = [i1]"
    assert braze_text(explanation(braze_problem="Braze was not asked.")) == "Braze was not asked."
    assert named([]) == []
