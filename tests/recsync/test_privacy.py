from __future__ import annotations

import pytest

from recsync.privacy import WITHHELD, withhold, withhold_literals

QUERY = "SELECT user_id, 'shop' AS kind FROM shop.orders WHERE total::int > 5 -- café"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('column "user_id" does not exist', 'column "user_id" does not exist'),
        ('relation "shop.orders" does not exist', 'relation "shop.orders" does not exist'),
        (
            'invalid input syntax for type integer: "anna"',
            f"invalid input syntax for type integer: {WITHHELD}",
        ),
        ('invalid value "anna\'s" for x', f"invalid value {WITHHELD} for x"),
        ("Could not convert string 'anna b' to INT32", f"Could not convert string {WITHHELD} to INT32"),
        ("Type INT64 with value 99999 can't be cast", f"Type INT64 with value {WITHHELD} can't be cast"),
        ("duplicate key\nDETAIL:  Key (user_id)=(anna) exists.", "duplicate key"),
        ("refused: Key (user_id)=(anna)", f"refused: Key (user_id)={WITHHELD}"),
        ("bad row\nCONTEXT:  COPY orders, line 3: anna\nhint", "bad row\n\nhint"),
        ("unknown user anna@example.com in 3 rows", f"unknown user {WITHHELD} in 3 rows"),
        ('relation "behind_a_view" does not exist', 'relation "behind_a_view" does not exist'),
        ("permission denied for table orders", "permission denied for table orders"),
        ("canceling statement due to statement timeout", "canceling statement due to statement timeout"),
    ],
)
def test_a_database_is_quoted_without_what_it_quotes_from_rows(said: str, shown: str) -> None:
    assert withhold_literals(said, QUERY) == shown


def test_values_of_a_request_are_taken_out_whole() -> None:
    request = [{"external_id": "anna b", "recs": ["p-1", "p-10"], "n": 7, "ok": True, "none": None}]
    said = "external_id 'anna b' has p-10, p-1 and p-100; 7 of 75 at anna bx"
    assert withhold(said, request) == (
        f"external_id '{WITHHELD}' has {WITHHELD}, {WITHHELD} and p-100; {WITHHELD} of 75 at anna bx"
    )
    many = [f"id-{n}" for n in range(5_000)]
    assert withhold("id-4999 and id-1, not id-5000", many) == f"{WITHHELD} and {WITHHELD}, not id-5000"
