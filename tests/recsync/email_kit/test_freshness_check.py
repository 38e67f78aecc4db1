"""The Liquid of the freshness check, rendered as Braze does at other times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from braze_liquid.template import Template, TemplateSources
from recsync.email_kit.kit import freshness_check
from recsync.program import Program
from recsync.program.files import read_program

REPO = Path(__file__).resolve().parents[3]
DATE = {"attributes": [{"name": "recs_at", "from": "generated_at"}]}
STATUS = {"status_catalog": "recsync_status"}
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def program(max_age_days: int | None = 14, **braze: Any) -> Program:
    recommendations = {"max_age_days": max_age_days}
    return Program.model_validate(
        {"name": "shop", "recommendations": recommendations, "braze": {"attribute": "recs", **braze}}
    )


def mail(
    of: Program,
    now: datetime = NOW,
    attributes: dict[str, Any] | None = None,
    item: dict[str, Any] | None = None,
) -> str:
    template = Template(freshness_check(of) + "{% if recs_fresh %}list{% else %}fallback{% endif %}")
    sources = TemplateSources({"recsync_status": {"shop": item} if item else {}})
    rendered = template.render({"custom_attributes": attributes or {}}, sources, now=now)
    assert rendered.problems == ()
    return rendered.text.strip()


@pytest.mark.parametrize(
    ("days", "shown"), [(0, "list"), (13.9, "list"), (14.1, "fallback"), (400, "fallback")]
)
def test_a_list_older_than_allowed_is_not_shown(days: float, shown: str) -> None:
    later = NOW + timedelta(days=days)
    made = f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
    # The attribute counts where both exist: it is about the person.
    assert mail(program(**DATE, **STATUS), later, {"recs_at": made}) == shown
    until = int((NOW + timedelta(days=14)).timestamp())
    assert mail(program(**STATUS), later, item={"id": "shop", "fresh_until": until}) == shown


def test_without_a_date_the_fallback_is_shown() -> None:
    assert mail(program(**DATE)) == "fallback"
    assert mail(program(**STATUS)) == "fallback"
    assert mail(program(**STATUS), item={"id": "shop", "fresh_until": None}) == "fallback"


def test_the_page_shows_the_check_of_the_sample_program() -> None:
    page = (REPO / "docs/freshness.md").read_text()
    assert freshness_check(read_program(REPO / "include/programs/grocery.yaml", REPO / "include")) in page
    dated = program(attributes=[{"name": "recs_grocery_at", "from": "generated_at"}])
    assert freshness_check(dated) in page


@pytest.mark.parametrize("of", [program(None, **DATE), program()])
def test_there_is_no_check_where_braze_has_no_date_or_lists_never_get_too_old(of: Program) -> None:
    assert freshness_check(of) == ""


def test_the_cards_of_the_sample_program_are_not_shown_once_they_are_old() -> None:
    cards = Template((REPO / "include/email/grocery/cards.liquid").read_text())
    items = {f"{n}": {"id": f"{n}", "name": f"Oat milk {n}", "price": 1.9} for n in range(6)}
    profile = {"custom_attributes": {"recs_grocery": [*items]}}
    until = int((NOW + timedelta(days=14)).timestamp())
    status = {"grocery": {"id": "grocery", "fresh_until": until}}
    sources = TemplateSources({"grocery_products": items, "recsync_status": status})
    fresh = cards.render(profile, sources, now=NOW + timedelta(days=13))
    assert (fresh.aborted, "Oat milk" in fresh.text) == (None, True)
    old = cards.render(profile, sources, now=NOW + timedelta(days=15))
    assert old.aborted == "recs_grocery: recommendations are too old"
    missing = cards.render(profile, TemplateSources({"grocery_products": items}), now=NOW)
    assert missing.aborted == old.aborted
