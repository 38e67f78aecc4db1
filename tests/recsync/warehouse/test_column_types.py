from __future__ import annotations

import pytest

from recsync.errors import FatalError
from recsync.warehouse.column_types import Kind, ReturnedColumn, check_ids


@pytest.mark.parametrize(
    ("type_name", "kind", "scale"),
    [
        ("BIGINT", Kind.INTEGER, None),
        ("unsigned", Kind.INTEGER, None),
        ("DECIMAL(18,2)", Kind.DECIMAL, 2),
        ("numeric(10)", Kind.INTEGER, 0),
        ("NUMBER", Kind.DECIMAL, None),
        ("double  precision", Kind.FLOAT, None),
        ("timestamp with time zone", Kind.MOMENT, None),
        ("datetime2", Kind.MOMENT, None),
        ("text[]", Kind.ARRAY, None),
        ("INTEGER[3]", Kind.ARRAY, None),
        ("jsonb", Kind.JSON, None),
        ("uuid", Kind.TEXT, None),
        ("", Kind.UNKNOWN, None),
    ],
)
def test_a_type_is_recognised_whatever_the_warehouse_calls_it(
    type_name: str, kind: Kind, scale: int | None
) -> None:
    found = ReturnedColumn.of("c", type_name)
    assert (found.kind, found.scale) == (kind, scale)


def test_ids_of_a_type_with_several_texts_for_one_value_are_refused() -> None:
    columns = {
        "user_id": ReturnedColumn.of("user_id", "double"),
        "item_id": ReturnedColumn.of("item_id", "jsonb"),
        "price": ReturnedColumn.of("price", "double"),
    }
    with pytest.raises(FatalError) as refused:
        check_ids(columns, ["user_id", "item_id"], name="shop/items.sql")
    text = str(refused.value)
    assert "user_id is a floating-point number (double), write CAST(user_id AS BIGINT) AS user_id" in text
    assert "item_id is JSON (jsonb)" in text
    assert "price" not in text


def test_without_a_declared_scale_the_values_decide() -> None:
    check_ids({"id": ReturnedColumn.of("id", "NUMBER")}, ["id"], name="a.sql")
    check_ids({"id": ReturnedColumn.of("id", "numeric(12)")}, ["id"], name="a.sql")
    with pytest.raises(FatalError, match="id is a decimal number"):
        check_ids({"id": ReturnedColumn.of("id", "numeric(12,2)")}, ["id"], name="a.sql")
