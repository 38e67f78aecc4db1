from __future__ import annotations

import pyarrow as pa
import pytest

from braze_client.identifiers import EXTERNAL_ID, Identifier
from recsync.recommend.lists.audience import PROBLEMS, is_usable, normalized, normalized_one

EMAIL, PHONE = Identifier("email"), Identifier("phone")


def test_addresses_are_compared_in_lower_case_and_nothing_else_changes() -> None:
    texts = pa.array([" A@Example.COM ", None, "\u00c4@example.com"])
    assert normalized(texts, EMAIL).to_pylist() == ["a@example.com", None, "\u00e4@example.com"]
    assert normalized_one("A@b.com", EMAIL) == "a@b.com"
    for identifier in (EXTERNAL_ID, PHONE, Identifier("user_alias", "shop")):
        assert normalized(texts, identifier).to_pylist() == texts.to_pylist()


@pytest.mark.parametrize(
    ("identifier", "text", "usable"),
    [
        (EMAIL, "a@example.com", True),
        (EMAIL, "a.b+c@shop.example.com", True),
        (EMAIL, "a@example", False),
        (EMAIL, "a b@example.com", False),
        (EMAIL, "a@b@example.com", False),
        (EMAIL, "@example.com", False),
        (EMAIL, f"{'a' * 250}@example.com", False),
        (PHONE, "+4915112345678", True),
        (PHONE, "+14155550123", True),
        (PHONE, "4915112345678", False),
        (PHONE, "+49 151 12345678", False),
        (PHONE, "+0123456789", False),
        (PHONE, "+1234567890123456", False),
        (EXTERNAL_ID, "anything at all", True),
        (Identifier("user_alias", "shop"), "a b", True),
    ],
)
def test_what_braze_takes_is_told_apart(identifier: Identifier, text: str, usable: bool) -> None:
    assert is_usable(pa.array([text]), identifier).to_pylist() == [usable]
    assert usable or identifier.name in PROBLEMS
