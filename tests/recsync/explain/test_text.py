"""An explanation as text."""

from __future__ import annotations

from test_explanation import LISTED, SENT, delivered, explanation

from recsync.explain.explanation import Item
from recsync.explain.text import as_text, braze_text, named


def test_the_text_has_list_scores_rules_purchases_delivery_and_braze() -> None:
    items = (Item("i1", "One", 0.5), Item("i2", "Two"))
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
        "     1  i1  One  0.5000000",
        "     2  i2  Two  none: fallback or promoted",
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


def test_an_earlier_run_has_no_record_of_its_rules() -> None:
    assert "left out by rules: not recorded" in as_text(explanation(**LISTED))


def test_what_braze_shows_is_compared() -> None:
    assert (
        braze_text(explanation(braze={}, as_sent=False)) == "no attribute of this program, NOT what was sent"
    )
    assert braze_text(explanation(braze={"recs": [{"id": "i1", "name": "x"}]})) == "recs = [i1]"
    assert braze_text(explanation(braze_problem="Braze was not asked.")) == "Braze was not asked."
    assert named([]) == []
