"""Filters through real batch jobs over odd ids and values, long histories and lists that filters leave empty."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from filter_shop import EVENT_TYPE, ITEM_ID, TIMESTAMP, USER_ID, column, record

Row = dict[str, Any]
INTERACTIONS = record("Interactions", USER_ID, ITEM_ID, EVENT_TYPE, TIMESTAMP)
ITEMS = record(
    "Items", ITEM_ID, column("CATEGORY", categorical=True), column("PRICE", "float"), column("N", "int")
)
# Item, categories, price, number.
ROWS = [
    ('7" single', "music|vinyl", 19.99, 1),
    ("red,blue", "Äpfel, grün", 0.1, 2),
    ("café ü", 'say "hi"|music', 5.0, 3),
    ("o'neil", "it's", None, 4),
    ("<a&b>", None, -3.5, None),
    ("a|b", "Music", 1e6, 6),
]
ALL = {row[0] for row in ROWS}
NAME = 'Zoë "Z", the 1st'


def interactions() -> list[tuple[str, str, str, int]]:
    """Let 40 users see and buy all items but the last; one of them did some things more than 100 times."""
    start = 1_700_000_000
    rows = [
        (f"u{user}", ROWS[step % 6][0], "view", start + user * 100 + step)
        for user in range(40)
        for step in range(30)
    ]
    # Later than these are 100 more purchases, but no more views.
    rows += [(NAME, "<a&b>", "Purchase", start), (NAME, "o'neil", "view", start)]
    rows += [(NAME, "red,blue", "PURCHASE", start + 10 + step) for step in range(60)]
    rows += [(NAME, "café ü", "purchase", start + 500 + step) for step in range(40)]
    return rows


def text(schema: Row, rows: list[tuple[Any, ...]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field["name"] for field in schema["fields"]])
    writer.writerows(rows)
    return out.getvalue()


@pytest.fixture(scope="module")
def odd_group(world: Any) -> Iterator[str]:
    arn = world.group()
    for schema, rows in ((INTERACTIONS, interactions()), (ITEMS, ROWS)):
        done = world.import_csv(world.dataset(arn, schema), text(schema, list(rows)))
        assert done["status"] == "ACTIVE", done
    yield arn
    world.remove_group(arn)


@pytest.fixture
def ask(odd_group: str, run_job: Callable[..., list[Row]]) -> Callable[..., list[Row]]:
    """Return a function: expression and filter values of lines in, output entries out."""

    def run(expression: str, *values: Row | None, user: str = NAME) -> list[Row]:
        lines = [
            {"userId": user, "n": n, **({} if given is None else {"filterValues": given})}
            for n, given in enumerate(values)
        ]
        return run_job("aws-popularity-count", expression, lines, odd_group)

    return run


def left(entry: Row) -> set[str]:
    assert entry.get("error") is None
    found = entry["output"]["recommendedItems"]
    assert len(set(found)) == len(found)
    return set(found)


FIXED = [
    ("INCLUDE ItemID WHERE Items.CATEGORY IN ('music')", {'7" single', "café ü"}),
    ("INCLUDE ItemID WHERE Items.CATEGORY IN ('Äpfel, grün', \"it's\")", {"red,blue", "o'neil"}),
    ("INCLUDE ItemID WHERE Items.CATEGORY IN ('say \"hi\"')", {"café ü"}),
    ("exclude itemid where items.category in ('vinyl', 'Music')", ALL - {'7" single', "a|b"}),
    ('INCLUDE ItemID WHERE Items.ITEM_ID IN ("red,blue", "o\'neil", "a|b")', {"red,blue", "o'neil", "a|b"}),
    ("INCLUDE ItemID WHERE Items.PRICE = 19.99", {'7" single'}),
    ("INCLUDE ItemID WHERE Items.PRICE IN (19.99, 0.1)", {'7" single', "red,blue"}),
    ("EXCLUDE ItemID WHERE Items.PRICE NOT IN (19.99)", {'7" single', "o'neil"}),
    ("INCLUDE ItemID WHERE Items.PRICE < 1" + "0" * 50, ALL - {"o'neil"}),
    ("INCLUDE ItemID WHERE Items.PRICE >= -3.5 AND Items.PRICE < 0", {"<a&b>"}),
    ("INCLUDE ItemID WHERE Items.N > 2.5 AND Items.N != 4", {"café ü", "a|b"}),
    ("INCLUDE ItemID WHERE Items.CATEGORY IN ('MUSIC')", set()),
    ("INCLUDE ItemID WHERE Items.N > 6", set()),
    # Each event type keeps its own last 100: the first purchase is not seen any more, the view of that time is.
    ("EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('purchase')", ALL - {"red,blue", "café ü"}),
    ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', {"red,blue", "café ü", "o'neil"}),
]


@pytest.mark.parametrize(("expression", "expected"), FIXED)
def test_odd_values_are_compared_as_they_are(
    ask: Callable[..., list[Row]], expression: str, expected: set[str]
) -> None:
    (entry,) = ask(expression, None)
    assert left(entry) == expected
    assert entry["input"]["userId"] == NAME


def test_filter_values_are_quoted_texts_and_numbers_quoted_or_bare(ask: Callable[..., list[Row]]) -> None:
    *good, single, escaped, bare, other_case, missing = ask(
        "INCLUDE ItemID WHERE Items.CATEGORY IN ($C)",
        {"C": '"Äpfel, grün","music"'},
        {"C": '"it\'s" , "Music"'},
        {"C": '"none of them"', "UNUSED": "5"},
        {"C": ""},
        {"C": "'music'"},
        {"C": '"say \\"hi\\""'},
        {"C": "music"},
        {"c": '"music"'},
        None,
    )
    assert list(map(left, good)) == [
        {"red,blue", '7" single', "café ü"},
        {"o'neil", "a|b"},
        set(),
        set(),
    ]
    for entry in (single, escaped, bare, other_case, missing):
        assert entry["error"].startswith("User error: ")
        assert entry["output"] == {"recommendedItems": []}
    *good, two, word, missing = ask(
        "INCLUDE ItemID WHERE Items.PRICE >= $P",
        {"P": "19.99"},
        {"P": '"19.99"'},
        {"P": "-3.5"},
        {"P": "1000001"},
        {"P": "1,2"},
        {"P": '"cheap"'},
        {},
    )
    pricey = {'7" single', "a|b"}
    assert list(map(left, good)) == [pricey, pricey, ALL - {"o'neil"}, set()]
    for entry in (two, word, missing):
        assert entry["error"].startswith("User error: ")


def test_an_exclude_without_its_value_does_nothing(ask: Callable[..., list[Row]]) -> None:
    expression = "EXCLUDE ItemID WHERE Items.N >= $N | EXCLUDE ItemID WHERE Items.CATEGORY IN ($C)"
    entries = ask(expression, {"N": "3"}, {"C": '"music"'}, {"N": '"3"', "C": '"vinyl"'}, None)
    high = {"café ü", "o'neil", "a|b"}
    assert list(map(left, entries)) == [
        ALL - high,
        ALL - {'7" single', "café ü"},
        ALL - high - {'7" single'},
        ALL,
    ]


def test_few_items_come_in_the_order_of_the_whole_list(run_job: Callable[..., list[Row]]) -> None:
    # With 17 results the 17 sauces but i49 are all there is to order; with 10 long lists are filtered.
    expression = "INCLUDE ItemID WHERE Items.CATEGORY_L1 IN ('sauces')"
    for recipe, lines in (
        ("aws-user-personalization", [{"userId": user} for user in ("u1", "u2", "stranger")]),
        ("aws-sims", [{"itemId": item} for item in ("i2", "i3", "nothing")]),
        ("aws-similar-items", [{"itemId": item} for item in ("i2", "i3", "nothing")]),
    ):
        plain = {"batchInferenceJobConfig": {"itemExplorationConfig": {"explorationWeight": "0"}}}
        options = plain if recipe == "aws-user-personalization" else {}
        few = run_job(recipe, expression, lines, numResults=17, **options)
        long = run_job(recipe, expression, lines, numResults=10, **options)
        for narrow, wide in zip(few, long, strict=True):
            assert narrow["output"]["recommendedItems"][:10] == wide["output"]["recommendedItems"]
            scores = narrow["output"].get("scores", [])
            assert scores[:10] == pytest.approx(wide["output"].get("scores", []), abs=1e-5)
