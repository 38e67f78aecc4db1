"""The rows of catalogue.sql as columns."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from braze_client.payloads import CATALOG_ID
from recsync.program import Checks, Rules
from recsync.recommend.lists.catalog import BAD_ID, CATALOG, DUPLICATE, ItemCatalog, read_catalog
from recsync.warehouse.column_types import Kind

COLUMNS = ["item_id", "name", "price", "stock", "aisle"]
KINDS = dict(zip(COLUMNS, [Kind.TEXT, Kind.TEXT, Kind.DECIMAL, Kind.BOOLEAN, Kind.TEXT], strict=True))
RULES = Rules(in_stock="stock", max_per_category=1, category="aisle")
SENT: dict[str, str | None] = {"name": "string", "price": "number"}


def read(rows: list[tuple[str | None, ...]], **fields: Any) -> ItemCatalog:
    options = {"kinds": KINDS, "sent_fields": SENT, "rules": RULES, "name": "shop/catalogue.sql", **fields}
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    batches = [pa.RecordBatch.from_arrays(columns, COLUMNS)] if rows else []
    return read_catalog(
        batches, options.pop("kinds"), options.pop("sent_fields"), options.pop("rules"), **options
    )


def fields_of(catalog: ItemCatalog) -> list[dict[str, Any]]:
    return [json.loads(text) for text in catalog.table["fields"].to_pylist()]


def test_items_are_sorted_and_hold_what_is_sent() -> None:
    catalog = read([("b", "Bé", "2.50", "t", "x"), ("10", None, None, None, None)])
    assert catalog.table.schema == CATALOG
    assert catalog.table["item_id"].to_pylist() == ["10", "b"]
    assert fields_of(catalog) == [{"name": None, "price": None}, {"name": "Bé", "price": 2.5}]
    assert catalog.positions(pa.array(["b", "10", "c", None])).tolist() == [1, 0, -1, -1]


@pytest.mark.parametrize("times", [1, 3])
def test_few_and_many_ids_are_found_in_the_same_way(times: int) -> None:
    known = ["1", "a much longer id", "a much longer id, which goes on", "zoë", "2 ", "2"]
    asked: list[str | None] = ["2", "zoë", "a much longer", None, "1"]
    catalog = read([(item_id, "", "1", "t", "x") for item_id in known])

    found = catalog.positions(pa.array(asked * times, pa.string()).slice(1))

    places = {item_id: place for place, item_id in enumerate(sorted(known))}
    assert found.tolist() == [places.get(item_id or "", -1) for item_id in (asked * times)[1:]]
    assert found.dtype == "int32"


def test_rules_see_stock_and_values() -> None:
    catalog = read(
        [
            ("a", "", "1", "true", "x | z||x"),
            ("b", "", "1", "0", "y"),
            ("c", "", "1", None, "x"),
            ("d", "", "1", "T", None),
        ]
    )
    assert catalog.flags["in_stock"].tolist() == [True, False, False, True]
    assert catalog.values is not None
    starts, codes = catalog.values.starts.tolist(), catalog.values.codes.tolist()
    first, second, third, none = (codes[start:end] for start, end in itertools.pairwise(starts))
    assert (len(first), third, none) == (2, first[:1], [])
    assert len({*first, *second}) == 3
    plain = read([("a", "", "1", "who knows", "x")], rules=Rules())
    assert (plain.flags, plain.values) == ({}, None)


def test_equal_values_of_two_columns_are_counted_apart() -> None:
    rules = Rules(max_per={"name": 3, "aisle": 2})
    values = read([("a", "x", "1", "t", "x"), ("b", "y", "1", "t", "x|y")], rules=rules).values
    assert values is not None
    assert values.starts.tolist() == [0, 2, 5]
    assert values.codes[1] == values.codes[3]
    assert len(set(values.codes.tolist())) == 4
    assert values.columns[values.codes].tolist() == [0, 1, 0, 1, 1]
    assert values.most[values.codes].tolist() == [3, 2, 3, 2, 2]


def test_an_array_is_as_many_values_as_it_holds() -> None:
    rows: list[tuple[str | None, ...]] = [("a", "", "1", "t", '["x","y|z",null]'), ("b", "", "1", "t", "[]")]
    catalog = read(rows, kinds={**KINDS, "aisle": Kind.ARRAY})
    assert catalog.values is not None
    assert catalog.values.starts.tolist() == [0, 3, 3]


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
        (Kind.ARRAY, "array", '["a|b", 2, 1.5, true]', ["a|b", "2", "1.5", "true"]),
        (Kind.ARRAY, "array", "Action|Sci-Fi", ["Action", "Sci-Fi"]),
        (Kind.TEXT, "array", '["a"]', ["a"]),
        (Kind.JSON, "array", "[]", []),
        (Kind.TEXT, "array", "", None),
        (
            Kind.TEXT,
            "object",
            '{"b": {"c": [1.5, null]}, "a": "\u00e9"}',
            {"a": "\u00e9", "b": {"c": [1.5, None]}},
        ),
        (Kind.JSON, "object", "{}", {}),
        (Kind.JSON, "object", None, None),
    ],
)
def test_a_value_is_converted_by_its_declared_type_from_the_text(
    kind: Kind, declared: str | None, text: str | None, value: Any
) -> None:
    catalog = read(
        [("a", text, "1", "t", "x")], kinds={**KINDS, "name": kind}, sent_fields={"name": declared}
    )
    assert catalog.report.texts == []
    (fields,) = fields_of(catalog)
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
    catalog = read(rows, sent_fields={"name": declared, "price": "number"})
    assert catalog.item_ids.to_pylist() == ["good"]
    assert catalog.report.quarantined == 1
    (finding,) = catalog.report.to_json()["findings"]
    assert finding["text"] == f"1 item(s) are left out: name is no {declared}."
    assert finding["named"] == [{"row": 2, "item_id": "bad", "value": text}]
    (told,) = catalog.report.texts
    assert told == f"shop/catalogue.sql: {finding['text']}"
    assert catalog.report.stop_message(Checks()) is None


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ("array", "a, b"),
        ("array", '{"a": 1}'),
        ("array", '["a", null]'),
        ("array", '[["a"]]'),
        ("array", "[NaN]"),
        ("array", json.dumps(["x"] * 101)),
        ("array", json.dumps(["x" * 100] * 60)),
        ("object", "soon"),
        ("object", '["a"]'),
        ("object", '{"a.b": 1}'),
        ("object", '{"a": [{"$b": 1}]}'),
        ("object", '{"a": Infinity}'),
        ("object", '{"a": ' * 50 + "1" + "}" * 50),
        ("object", '{"a": ' * 100_000),
        ("object", json.dumps({"a": "x" * 5_000})),
    ],
    ids=lambda text: text[:20],
)
def test_an_item_with_a_bad_array_or_object_is_left_out_with_the_limits(declared: str, text: str) -> None:
    rows: list[tuple[str | None, ...]] = [("good", None, "1", "t", "x"), ("bad", text, "1", "t", "x")]
    catalog = read(rows, sent_fields={"name": declared, "price": "number"})
    assert catalog.item_ids.to_pylist() == ["good"]
    (told,) = catalog.report.texts
    assert (
        f"1 item(s) are left out: name is no {'array' if declared == 'array' else 'JSON object'} of at most"
        in told
    )
    assert "5,000 characters" in told


def test_an_object_of_fifty_levels_and_a_long_array_are_taken() -> None:
    deep, long = '{"a": ' * 49 + "1" + "}" * 49, json.dumps(["x" * 40] * 100)
    for declared, text in (("object", deep), ("array", long)):
        catalog = read([("a", text, "1", "t", "x")], sent_fields={"name": declared})
        assert fields_of(catalog) == [{"name": json.loads(text)}]


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


def test_a_distinct_value_is_the_text_as_a_whole() -> None:
    rules = Rules(distinct=("name",), max_per={"aisle": 2})
    rows: list[tuple[str | None, ...]] = [
        ("a", "x|y", "1", "t", "x"),
        ("b", " x|y ", "1", "t", None),
        ("c", " ", "1", "t", "x"),
    ]
    values = read(rows, rules=rules).values
    assert values is not None
    assert values.starts.tolist() == [0, 2, 3, 4]
    assert values.codes[0] == values.codes[2]
    assert values.codes[1] == values.codes[3] != values.codes[0]
    assert values.most[values.codes].tolist() == [1, 2, 1, 2]


def test_new_items_and_groups_are_read_for_their_rules() -> None:
    asked = {
        "new_items_share": {"days": 3, "column": "name", "share": 0.5},
        "promoted": {"column": "stock", "share": 0.5},
        "diversity": {"by": "aisle", "strength": 1},
    }
    rules = Rules.model_validate(asked)
    rows: list[tuple[str | None, ...]] = [
        ("a", "2026-11-20", "1", "t", "x"),
        ("b", "2026-11-19 12:00:00+00", "1", "f", " "),
        ("c", "2026-11-19 11:59:59+00", "1", None, "x|y"),
        ("d", None, "1", "t", "x "),
        ("e", "soon", "1", "t", "x"),
    ]
    moment = datetime(2026, 11, 22, 12, tzinfo=UTC)
    catalog = read(rows, rules=rules, sent_fields={}, moment=moment)
    assert catalog.flags["new_items_share"].tolist() == [True, True, False, False]
    assert catalog.flags["promoted"].tolist() == [True, False, False, True]
    assert catalog.groups is not None
    assert catalog.groups.tolist() == [0, -1, 1, 0]
    (finding,) = catalog.report.to_json()["findings"]
    assert "name is no time; recommendations.rules.new_items_share.column needs a time" in finding["text"]
    assert read(rows[:1], rules=Rules()).groups is None


def test_the_last_of_two_rows_of_an_item_counts_and_others_are_named() -> None:
    rows: list[tuple[str | None, ...]] = [
        ("a", "old", "1", "t", "x"),
        ("b", "b", "1", "t", "x"),
        ("a", "new", "1", "f", "x"),
        ("b", "b", "1", "t", "x"),
        ("c", "c", "1", "t", "x"),
        ("c", "c", "1", "t", "y"),
    ]
    catalog = read(rows)
    assert [fields["name"] for fields in fields_of(catalog)] == ["new", "b", "c"]
    assert catalog.flags["in_stock"].tolist() == [False, True, True]
    assert catalog.report.count(DUPLICATE) == 2
    (finding,) = catalog.report.to_json()["findings"]
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
    catalog = read([(longest, "", "1", "t", "x"), (f"{longest}x", "", "1", "t", "x")])
    assert (catalog.item_ids.to_pylist(), catalog.report.count(BAD_ID)) == ([longest], 1)


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
