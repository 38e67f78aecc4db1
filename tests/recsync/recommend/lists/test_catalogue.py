"""The rows of catalogue.sql as columns."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pyarrow as pa
import pytest

from braze_client.payloads import CATALOG_ID
from recsync.program import Checks, Rules
from recsync.recommend.lists.catalogue import CATALOGUE, Catalogue, read_catalogue
from recsync.recommend.lists.catalogue_report import BAD_ID, DUPLICATE
from recsync.warehouse.query_columns import Kind

COLUMNS = ["item_id", "name", "price", "stock", "aisle"]
KINDS = dict(zip(COLUMNS, [Kind.TEXT, Kind.TEXT, Kind.DECIMAL, Kind.BOOLEAN, Kind.TEXT], strict=True))
RULES = Rules(in_stock="stock", max_per_category=1, category="aisle")
SENT: dict[str, str | None] = {"name": "string", "price": "number"}


def read(rows: list[tuple[str | None, ...]], **fields: Any) -> Catalogue:
    options = {"kinds": KINDS, "sent_fields": SENT, "rules": RULES, "name": "shop/catalogue.sql", **fields}
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    batches = [pa.RecordBatch.from_arrays(columns, COLUMNS)] if rows else []
    return read_catalogue(
        batches, options.pop("kinds"), options.pop("sent_fields"), options.pop("rules"), **options
    )


def fields_of(catalogue: Catalogue) -> list[dict[str, Any]]:
    return [json.loads(text) for text in catalogue.table["fields"].to_pylist()]


def test_items_are_sorted_and_hold_what_is_sent() -> None:
    catalogue = read([("b", "Bé", "2.50", "t", "x"), ("10", None, None, None, None)])
    assert catalogue.table.schema == CATALOGUE
    assert catalogue.table["item_id"].to_pylist() == ["10", "b"]
    assert fields_of(catalogue) == [{"name": None, "price": None}, {"name": "Bé", "price": 2.5}]
    assert catalogue.positions(pa.array(["b", "10", "c", None])).tolist() == [1, 0, -1, -1]


def test_rules_see_stock_and_category() -> None:
    catalogue = read(
        [
            ("a", "", "1", "true", "x | z||x"),
            ("b", "", "1", "0", "y"),
            ("c", "", "1", None, "x"),
            ("d", "", "1", "T", None),
        ]
    )
    assert catalogue.in_stock is not None
    assert catalogue.in_stock.tolist() == [True, False, False, True]
    assert catalogue.categories is not None
    starts, codes = catalogue.categories.starts.tolist(), catalogue.categories.codes.tolist()
    first, second, third, none = (codes[start:end] for start, end in itertools.pairwise(starts))
    assert (len(first), third, none) == (2, first[:1], [])
    assert len({*first, *second}) == 3
    plain = read([("a", "", "1", "who knows", "x")], rules=Rules())
    assert (plain.in_stock, plain.categories) == (None, None)


def test_an_array_is_as_many_categories_as_it_holds() -> None:
    rows: list[tuple[str | None, ...]] = [("a", "", "1", "t", '["x","y|z",null]'), ("b", "", "1", "t", "[]")]
    catalogue = read(rows, kinds={**KINDS, "aisle": Kind.ARRAY})
    assert catalogue.categories is not None
    assert catalogue.categories.starts.tolist() == [0, 3, 3]


@pytest.mark.parametrize(
    ("kind", "declared", "text", "value"),
    [
        (Kind.DECIMAL, "string", "1.90", "1.90"),
        (Kind.DECIMAL, "number", "1.90", 1.9),
        (Kind.TEXT, "number", "1.50", 1.5),
        (Kind.TEXT, "number", " 2.0 ", 2),
        (Kind.INTEGER, "number", "12345678901234567", 12345678901234567),
        (Kind.DECIMAL, "number", "12345678901234567.00", 12345678901234567),
        (Kind.INTEGER, "string", "12345678901234567", "12345678901234567"),
        (Kind.FLOAT, "number", "1.5e-7", 1.5e-7),
        (Kind.JSON, "string", '{"a": [1, "é"]}', '{"a": [1, "é"]}'),
        (Kind.BOOLEAN, "string", "t", "true"),
        (Kind.BOOLEAN, "string", "False", "false"),
        (Kind.TEXT, "string", "t", "t"),
        (Kind.TEXT, "string", "", ""),
        (Kind.TEXT, "boolean", "t", True),
        (Kind.TEXT, "boolean", "No", False),
        (Kind.BOOLEAN, "boolean", "f", False),
        (Kind.INTEGER, "boolean", "1", True),
        (Kind.MOMENT, "time", "2026-11-22 05:00:00+02", "2026-11-22T03:00:00+00:00"),
        (Kind.MOMENT, "time", "2026-11-22", "2026-11-22T00:00:00+00:00"),
        (Kind.TEXT, "time", "2026-11-22T05:00:00.5Z", "2026-11-22T05:00:00.500000+00:00"),
        (Kind.MOMENT, "time", "2026-11-22 05:00:00.123 +0000", "2026-11-22T05:00:00.123000+00:00"),
        (Kind.INTEGER, "time", "1795323600", "2026-11-22T05:00:00+00:00"),
        (Kind.INTEGER, "time", "", None),
        (Kind.TEXT, "number", "", None),
        (Kind.TEXT, "boolean", None, None),
        (Kind.DECIMAL, None, "1.90", 1.9),
        (Kind.TEXT, None, "1.90", "1.90"),
        (Kind.BOOLEAN, None, "t", True),
        (Kind.MOMENT, None, "2026-11-22 05:00:00", "2026-11-22T05:00:00+00:00"),
        (Kind.ARRAY, None, '["Action","Sci-Fi"]', ["Action", "Sci-Fi"]),
        (Kind.ARRAY, None, "Action|Sci-Fi", ["Action", "Sci-Fi"]),
        (Kind.JSON, None, '{"a": 1}', {"a": 1}),
        (Kind.INTERVAL, None, "1 day", "1 day"),
    ],
)
def test_a_value_is_converted_by_its_declared_type_from_the_text(
    kind: Kind, declared: str | None, text: str | None, value: Any
) -> None:
    catalogue = read(
        [("a", text, "1", "t", "x")], kinds={**KINDS, "name": kind}, sent_fields={"name": declared}
    )
    assert catalogue.report.texts == []
    (fields,) = fields_of(catalogue)
    assert fields == {"name": value}
    assert type(fields["name"]) is type(value)


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        *(("number", text) for text in ("soon", "NaN", "Infinity", "-inf", "1,50", "0x1F", "1_000", "1e999", "t")),
        *(("boolean", text) for text in ("soon", "2", "tru")),
        *(
            ("time", text)
            for text in (
                "soon", "infinity", "-infinity", "0044-03-15 BC", "12026-01-01", "9999-12-31", "1 day", "10:00:00",
                "2026-02-30", "1795323600000", "NaN",
            )
        ),
    ],
)  # fmt: skip
def test_an_item_with_a_bad_value_is_left_out_counted_and_named(declared: str, text: str) -> None:
    rows: list[tuple[str | None, ...]] = [("good", None, "1", "t", "x"), ("bad", text, "1", "t", "x")]
    catalogue = read(rows, sent_fields={"name": declared, "price": "number"})
    assert catalogue.item_ids.to_pylist() == ["good"]
    assert catalogue.report.quarantined == 1
    (finding,) = catalogue.report.to_json()["findings"]
    assert finding["text"] == f"1 item(s) are left out: name is no {declared}."
    assert finding["named"] == [{"row": 2, "item_id": "bad", "value": text}]
    (told,) = catalogue.report.texts
    assert told == f"shop/catalogue.sql: {finding['text']}"
    assert catalogue.report.stop_message(Checks()) is None


def test_too_many_bad_values_stop() -> None:
    rows: list[tuple[str | None, ...]] = [
        (f"{n}", "", "1" if n < 80 else "much", "t", "x") for n in range(100)
    ]
    report = read(rows).report
    assert (report.items, report.quarantined) == (80, 20)
    message = report.stop_message(Checks())
    assert message is not None
    assert message.startswith("20 of 100 rows (20.0%) would be left out of the catalog; at most 1.0% may")
    assert "20 item(s) are left out: price is no number." in message
    for lenient in (Checks(max_quarantined_share=0.5), Checks(tolerated_rows=20), Checks(enabled=False)):
        assert report.stop_message(lenient) is None


def test_the_last_of_two_rows_of_an_item_counts_and_others_are_named() -> None:
    rows: list[tuple[str | None, ...]] = [
        ("a", "old", "1", "t", "x"),
        ("b", "b", "1", "t", "x"),
        ("a", "new", "1", "f", "x"),
        ("b", "b", "1", "t", "x"),
        ("c", "c", "1", "t", "x"),
        ("c", "c", "1", "t", "y"),
    ]
    catalogue = read(rows)
    assert [fields["name"] for fields in fields_of(catalogue)] == ["new", "b", "c"]
    assert catalogue.in_stock is not None
    assert catalogue.in_stock.tolist() == [False, True, True]
    assert catalogue.report.count(DUPLICATE) == 2
    (finding,) = catalogue.report.to_json()["findings"]
    assert (
        finding["text"] == "2 item(s) come more than once with different values; the last row of each counts."
    )
    assert [one["item_id"] for one in finding["named"]] == ["a", "c"]


def test_unusable_ids_are_left_out_and_counted() -> None:
    rows: list[tuple[str | None, ...]] = [
        (item_id, "", "1", "t", "x") for item_id in ("good-1", "not good", None, "", "line\n")
    ]
    assert read(rows, usable=CATALOG_ID).table["item_id"].to_pylist() == ["good-1"]
    assert read(rows, usable=CATALOG_ID).report.count(BAD_ID) == 4
    assert read(rows).table["item_id"].to_pylist() == ["good-1", "line\n", "not good"]


def test_ids_that_braze_would_drop_from_an_attribute_are_left_out_and_counted() -> None:
    longest = "é" * 255
    catalogue = read([(longest, "", "1", "t", "x"), (f"{longest}x", "", "1", "t", "x")])
    assert (catalogue.item_ids.to_pylist(), catalogue.report.count(BAD_ID)) == ([longest], 1)


def test_what_cannot_be_used_is_named() -> None:
    dotted: list[tuple[str | None, ...]] = [("10.1", "", "1", "t", "x"), ("10.2", "", "1", "t", "x")]
    message = read(dotted, usable=CATALOG_ID).report.stop_message(Checks())
    assert message is not None
    assert message.startswith("shop/catalogue.sql returns 2 row(s) and no item that can be mailed")
    assert (
        "2 item(s) are left out: a Braze catalog takes ids of 1 to 250 letters, digits, _ and - only; replace"
        in message
    )
    assert read([]).report.stop_message(Checks()) is not None
    stocks: list[tuple[str | None, ...]] = [(f"{n}", "", "1", "5", "x") for n in range(20)]
    message = read(stocks).report.stop_message(Checks())
    assert message is not None
    assert "stock is no boolean; recommendations.rules.in_stock needs a boolean column" in message
