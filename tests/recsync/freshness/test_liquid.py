"""The Liquid of the freshness check, rendered at other times; Braze's syntax is turned into plain Liquid's."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import liquid
import pytest

from recsync.freshness.liquid import freshness_check
from recsync.program import Program
from recsync.program.files import read_program

REPO = Path(__file__).resolve().parents[3]
DATE = {"attributes": [{"name": "recs_at", "from": "generated_at"}]}
STATUS = {"status_catalog": "recsync_status"}


def program(max_age_days: int | None = 14, **braze: Any) -> Program:
    recommendations = {"max_age_days": max_age_days}
    return Program.model_validate(
        {"name": "shop", "recommendations": recommendations, "braze": {"attribute": "recs", **braze}}
    )


def mail(
    of: Program, *, attributes: dict[str, Any] | None = None, items: dict[str, Any] | None = None
) -> str:
    text = freshness_check(of) + "{% if recs_fresh %}list{% else %}fallback{% endif %}"
    plain = re.sub(r"\{% catalog_items (\w+) (\S+) %\}", r"{% assign items = catalogs.\1.\2 %}", text)
    plain = re.sub(r"custom_attribute\.\$\{(\w+)\}", r"custom_attribute.\1", plain)
    catalogs = {"recsync_status": {"shop": [items] if items else []}}
    return liquid.render(plain, custom_attribute=attributes or {}, catalogs=catalogs).strip()


@pytest.mark.parametrize(
    ("days", "shown"), [(0, "list"), (13.9, "list"), (14.1, "fallback"), (400, "fallback")]
)
def test_a_list_older_than_allowed_is_not_shown(days: float, shown: str) -> None:
    at = datetime.now(UTC) - timedelta(days=days)
    by_person = program(**DATE, **STATUS)
    assert mail(by_person, attributes={"recs_at": f"{at:%Y-%m-%dT%H:%M:%SZ}"}) == shown
    until = int((at + timedelta(days=14)).timestamp())
    assert mail(program(**STATUS), items={"id": "shop", "fresh_until": until}) == shown


def test_without_a_date_the_fallback_is_shown() -> None:
    assert mail(program(**DATE)) == "fallback"
    assert mail(program(**STATUS)) == "fallback"
    assert mail(program(**STATUS), items={"id": "shop", "fresh_until": None}) == "fallback"


def test_the_page_shows_the_check_of_the_sample_program() -> None:
    page = (REPO / "docs/freshness.md").read_text()
    assert freshness_check(read_program(REPO / "include/programs/grocery.yaml", REPO / "include")) in page
    dated = program(attributes=[{"name": "recs_grocery_at", "from": "generated_at"}])
    assert freshness_check(dated) in page


@pytest.mark.parametrize("of", [program(None, **DATE), program()])
def test_there_is_no_check_where_braze_has_no_date_or_lists_never_get_too_old(of: Program) -> None:
    assert freshness_check(of) == ""
