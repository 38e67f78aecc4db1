"""The section ``email``."""

from __future__ import annotations

import pytest

from recsync.errors import ProgramError
from recsync.program.files import read_program
from recsync.program.parse import parse_program

BRAZE = {"attribute": "recs", "catalog": {"name": "items", "fields": {"title": "string", "uvp": "number"}}}


def read(tmp_path, text: str) -> str:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs/shop.yaml").write_text(
        "braze:\n  attribute: recs\n  catalog: {name: items, fields: {title: string, uvp: number}}\n" + text
    )
    with pytest.raises(ProgramError) as raised:
        read_program(tmp_path / "programs/shop.yaml", tmp_path)
    return str(raised.value)


def test_the_defaults_show_no_price():
    email = parse_program("shop", {"braze": BRAZE}, None).email
    assert (email.items, email.currency, email.locale, email.utm.source) == (4, None, "en_US", "braze")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("currency: usd", "write USD"),
        ("currency: DOLLAR", "must be a currency of ISO 4217"),
        ("locale: german", "such as en_US or de_DE"),
        ("items: 0", "at least 1"),
        ("utm: {campaign: 'a b'}", "must be letters, digits"),
        (
            "columns: {former_price: upv}",
            "is not among braze.catalog.fields, so it is not in Braze; did you mean uvp?",
        ),
        ("columns: {old_price: uvp}", "old_price"),
        ("template: mails/a.txt", ".html or .liquid"),
        ("template: ../a.html", "without '..'"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path, text, found):
    told = read(tmp_path, f"email:\n  {text}\n")
    assert found in told
    assert "shop.yaml:5" in told
