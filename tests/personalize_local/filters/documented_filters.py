"""Every valid expression of Amazon's guide and samples, with input lines and what each line has to give.

What is expected is worked out from the rows of the shop in plain Python, one item (or user) after another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from filter_shop import ITEM_IDS, ROWS

Row = dict[str, Any]
# (line of the input, row of an item or user; without a row only its id) -> is it left?
Left = Callable[[Row, Row], bool]

USER_IDS = frozenset(row["USER_ID"] for row in ROWS.users)
USERS = {row["USER_ID"]: row for row in ROWS.users}
ITEMS = {row["ITEM_ID"]: row for row in ROWS.items}
# Users of all ages, one without an age (u3), and one without any row.
ASKING = ("u1", "u2", "u3", "u4", "u12", "u18", "u19", "u28", "u57", "stranger")


@dataclass(frozen=True)
class Documented:
    """Hold an expression: its number in the guide's order, who asks what, and which ids are left."""

    number: str
    expression: str
    lines: tuple[Row, ...]
    left: Left

    def expected(self, line: Row) -> set[str]:
        """Return the ids that one line has to give, in any order."""
        if "UserID" in self.expression or "UserId" in self.expression:
            return {name for name in USER_IDS if self.left(line, USERS[name])}
        shown = ITEM_IDS - {line.get("itemId")}  # an item is not related to itself
        return {name for name in shown if self.left(line, ITEMS.get(name, {"ITEM_ID": name}))}


def users(**values: str) -> tuple[Row, ...]:
    """Give a line for each asking user, all with the same values."""
    return tuple({"userId": user, **({"filterValues": values} if values else {})} for user in ASKING)


def done(line: Row, item: Row, *events: str) -> bool:
    """Tell whether the user of a line did one of these with the item."""
    return item["ITEM_ID"] in ROWS.done(line.get("userId", ""), *events)


def has(row: Row, field: str, *values: str) -> bool:
    return row.get(field) is not None and not set(values).isdisjoint(row[field].split("|"))


def between(row: Row, field: str, least: float, most: float) -> bool:
    return row.get(field) is not None and least <= row[field] <= most


def age(line: Row) -> int:
    """Return the age of a line's user, 0 where it is not known: nobody in the shop asks at that age."""
    return USERS.get(line["userId"], {}).get("AGE") or 0


def current(line: Row) -> Row:
    return ITEMS.get(line["itemId"], {})


def cheaper(line: Row, item: Row) -> bool:
    price = current(line).get("PRICE")
    return price is not None and item.get("PRICE") is not None and item["PRICE"] < price


def given(line: Row, name: str) -> str | None:
    """Return a value of a line as it stands there."""
    value = line.get("filterValues", {}).get(name)
    return None if value is None else str(value)


OF_USERS = [
    Documented(
        "1",
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
        users(),
        lambda line, item: not done(line, item),
    ),
    Documented(
        "2",
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")',
        users(),
        lambda line, item: not done(line, item, "Purchase"),
    ),
    Documented(
        "3",
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click", "stream")',
        users(),
        lambda line, item: not done(line, item, "click", "stream"),
    ),
    Documented(
        "4",
        'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click")',
        users(),
        lambda line, item: done(line, item, "click"),
    ),
    Documented(
        "5",
        'EXCLUDE ItemID WHERE Items.CATEGORY_L1 NOT IN ("cold dispensed", "hot dispensed")',
        users(),
        lambda line, item: item.get("CATEGORY_L1") != "sauces",
    ),
    Documented(
        "6",
        "INCLUDE ItemID WHERE Items.GENRE IN ($GENRE)",
        (
            {"userId": "u1", "filterValues": {"GENRE": '"war"'}},
            {"userId": "u2", "filterValues": {"GENRE": '"comedy","western"'}},
            {"userId": "u3", "filterValues": {"GENRE": '"drama", "comedy"'}},
            {"userId": "stranger", "filterValues": {"GENRE": '"western"'}},
        ),
        lambda line, item: any(
            f'"{genre}"' in str(given(line, "GENRE")) for genre in (item.get("GENRE") or "-").split("|")
        ),
    ),
    Documented(
        "7",
        'EXCLUDE ItemID WHERE Items.CATEGORY IN ("shoe") AND Items.STYLE NOT IN ("boot")',
        users(),
        lambda line, item: not (has(item, "CATEGORY", "shoe") and item["STYLE"] not in ("boot", None)),
    ),
    Documented(
        "8",
        "INCLUDE ItemID WHERE Items.PRICE <= $PRICE",
        (*users(PRICE="12"), {"userId": "u5", "filterValues": {"PRICE": '"30.5"'}}),
        lambda line, item: between(item, "PRICE", 0, float(str(given(line, "PRICE")).strip('"'))),
    ),
    Documented(
        "9",
        "INCLUDE ItemID WHERE Items.PRICE >= $MIN AND Items.PRICE <= $MAX",
        (*users(MIN="4", MAX='"11"'), {"userId": "u5", "filterValues": {"MIN": "30", "MAX": "20"}}),
        lambda line, item: given(line, "MIN") == "4" and between(item, "PRICE", 4, 11),
    ),
    Documented(
        "10",
        "INCLUDE ItemID WHERE Items.CREATION_TIMESTAMP > 1640995200",
        users(),
        lambda line, item: item.get("CREATION_TIMESTAMP", 0) > 1_640_995_200,
    ),
    Documented(
        "11",
        "INCLUDE ItemID WHERE Items.YEAR >= 1970 AND Items.YEAR < 1980",
        users(),
        lambda line, item: between(item, "YEAR", 1970, 1979),
    ),
    Documented(
        "12",
        "EXCLUDE ItemID WHERE Items.GENRE IN ($GENRE) IF CurrentUser.AGE = $AGE",
        (*users(GENRE='"comedy"', AGE="19"), {"userId": "u5", "filterValues": {"AGE": "5"}}),
        lambda line, item: not (age(line) == 19 and has(item, "GENRE", "comedy")),
    ),
    Documented(
        "13",
        'INCLUDE ItemID WHERE Items.CATEGORY IN ("watch") IF CurrentUser.AGE > 18',
        users(),
        lambda line, item: age(line) <= 18 or has(item, "CATEGORY", "watch"),
    ),
    Documented(
        "14",
        "INCLUDE ItemID WHERE Items.CATEGORY IN ($CAT) | "
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")',
        users(CAT='"shoe"'),
        lambda line, item: has(item, "CATEGORY", "shoe") and not done(line, item, "Purchase"),
    ),
    Documented(
        "15",
        "INCLUDE ItemID WHERE Items.CATEGORY IN ($CAT) | "
        'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("favorite")',
        users(CAT='"watch"'),
        lambda line, item: has(item, "CATEGORY", "watch") or done(line, item, "favorite"),
    ),
    Documented(
        "21 (events of a sample)",
        "INCLUDE ItemID WHERE Interactions.event_type IN ('watched','favorited')",
        users(),
        lambda line, item: done(line, item, "watched", "favorited"),
    ),
    Documented(
        "21 (items of a sample)",
        "exclude ItemID where ITEMS.CATEGORY_L1 in ('sauces')",
        users(),
        lambda line, item: item.get("CATEGORY_L1") != "sauces",
    ),
]

# i9 has no price, i49 no row, and nobody knows the last; the history is that of the user whom a line names.
RELATED_LINES: tuple[Row, ...] = (
    *({"itemId": item} for item in ("i0", "i4", "i9", "i20", "i48", "i49", "nothing")),
    {"itemId": "i48", "userId": "u2"},
    {"itemId": "i31", "userId": "u7"},
    {"itemId": "i31", "userId": "stranger"},
)
OF_RELATED_ITEMS = [
    Documented(
        "16",
        "INCLUDE ItemID WHERE Items.CATEGORY_L1 IN CurrentItem.CATEGORY_L1",
        RELATED_LINES,
        lambda line, item: (
            item.get("CATEGORY_L1") is not None and item["CATEGORY_L1"] == current(line).get("CATEGORY_L1")
        ),
    ),
    Documented(
        "17",
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase") | '
        "INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE",
        RELATED_LINES,
        lambda line, item: cheaper(line, item) and not done(line, item, "Purchase"),
    ),
]

SEGMENT_ITEMS: tuple[Row, ...] = ({"itemId": "i4"}, {"itemId": "i31"}, {"itemId": "i49"})
OF_SEGMENTS = [
    Documented(
        "18",
        "INCLUDE UserID WHERE Users.MEMBERSHIP_STATUS IN ($MEMBERSHIP)",
        (
            {"itemId": "i4", "filterValues": {"MEMBERSHIP": '"gold"'}},
            {"itemId": "i4", "filterValues": {"MEMBERSHIP": '"gold","silver"'}},
            {"itemId": "i5", "filterValues": {"MEMBERSHIP": '"bronze"'}},
        ),
        lambda line, user: f'"{user["MEMBERSHIP_STATUS"]}"' in str(given(line, "MEMBERSHIP")),
    ),
    Documented(
        "19",
        "EXCLUDE UserID WHERE Users.AGE < $AGE",
        (
            {"itemId": "i4", "filterValues": {"AGE": "18"}},
            {"itemId": "i5", "filterValues": {"AGE": '"40"'}},
            {"itemId": "i6"},
        ),
        # A missing value leaves an EXCLUDE without effect; no age is not below any.
        lambda line, user: (
            user["AGE"] is None
            or given(line, "AGE") is None
            or user["AGE"] >= int(str(given(line, "AGE")).strip('"'))
        ),
    ),
    Documented(
        "20",
        'EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("unsubscribe")',
        SEGMENT_ITEMS,
        lambda line, user: not ROWS.done(user["USER_ID"], "unsubscribe"),
    ),
    Documented(
        "21",
        'exclude UserId where users.country in ("England", "Japan")',
        SEGMENT_ITEMS,
        lambda line, user: not has(user, "COUNTRY", "England", "Japan"),
    ),
]
