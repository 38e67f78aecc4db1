from __future__ import annotations

import json
from dataclasses import replace

import pytest
from proposals import CLICKS, EPOCH, ITEMS, WITH_ITEMS, column, proposal, table, written

from recsync.new_program.columns import Column, Ref
from recsync.new_program.time_forms import TimeForm
from recsync.warehouse import dialects
from recsync.warehouse.column_types import Kind


def test_names_that_a_warehouse_keeps_for_itself_are_quoted_in_its_way() -> None:
    odd = table("order", column("user"), column("Item Id"), column("at", Kind.MOMENT, type="timestamp"))
    assert '"user" AS user_id,\n    "Item Id" AS item_id' in written(proposal(odd))["interactions.sql"]
    assert "`user` AS user_id" in written(proposal(odd), dialects.BIGQUERY)["interactions.sql"]
    assert 'FROM public."order"' in written(proposal(odd))["interactions.sql"]
    upper = table("CLICKS", column("READER"), column("ARTICLE"), column("AT", Kind.MOMENT), schema="SHOP")
    assert "FROM SHOP.CLICKS" in written(proposal(upper), dialects.SNOWFLAKE)["interactions.sql"]
    # Snowflake reads a lower-case name without quotes as an upper-case one.
    assert 'FROM "public"."clicks"' in written(proposal(CLICKS), dialects.SNOWFLAKE)["interactions.sql"]


@pytest.mark.parametrize(
    ("at", "form", "condition"),
    [
        (column("at", Kind.MOMENT, type="timestamp"), EPOCH, "at >= '{{ data_interval_start }}'"),
        # A date would be compared with the day alone, and land outside the hour.
        (column("at", Kind.MOMENT, type="date"), EPOCH, "{{ epoch('at') }} >= {{ data_interval_start_epoch }}"),
        (
            column("at", Kind.INTEGER), TimeForm("epoch_ms", "", per_second=1_000),
            "at >= {{ data_interval_start_epoch * 1000 }}",
        ),
        (column("at", Kind.INTEGER), TimeForm("epoch_s", ""), "at >= {{ data_interval_start_epoch }}"),
        (
            column("at", Kind.INTEGER), TimeForm("epoch_text", "", "YYYYMMDD"),
            "{{ epoch_text('CAST(at AS VARCHAR(8))', 'YYYYMMDD') }} >= {{ data_interval_start_epoch }}",
        ),
        (column("at"), TimeForm("epoch_text", ""), "{{ epoch_text('at') }} >= {{ data_interval_start_epoch }}"),
    ],
)  # fmt: skip
def test_a_time_is_compared_with_the_interval_in_its_own_form(
    at: Column, form: TimeForm, condition: str
) -> None:
    lines = table("clicks", column("reader"), column("article"), at)
    assert f"WHERE {condition}\n" in written(proposal(lines, form))["interactions.sql"]


def test_rows_that_nothing_can_be_learnt_from_are_left_out_and_said_to_be() -> None:
    lines = table(
        "sales", column("customer", filled=80), column("article"), column("at", Kind.MOMENT),
        column("quantity", Kind.INTEGER, low="-3"),
    )  # fmt: skip
    sql = written(proposal(lines, value=Ref("sales", "quantity")))["interactions.sql"]
    assert "AND customer IS NOT NULL\n  AND customer <> ''\n  AND quantity > 0" in sql
    assert "-- Rows without customer are left out" in sql
    assert "-- A negative quantity is a return" in sql


def test_ids_with_decimal_places_become_whole_numbers() -> None:
    lines = table("clicks", column("reader", Kind.FLOAT), column("article"), column("at", Kind.MOMENT))
    found = written(proposal(lines))
    assert "CAST(reader AS BIGINT) AS user_id" in found["interactions.sql"]
    assert "CAST(reader AS BIGINT) AS user_id" in found["audience.sql"]


def test_items_are_all_of_them_or_those_of_the_hour() -> None:
    found = written(WITH_ITEMS)
    assert (
        "WHERE {% if full %}(published IS NULL OR published < '{{ data_interval_end }}')"
        "{% else %}published >= '{{ data_interval_start }}' AND published < '{{ data_interval_end }}'{% endif %}"
    ) in found["items.sql"]
    assert "price_cents / 100.0 AS price" in found["items.sql"]
    assert "WHERE title IS NOT NULL\n  AND title <> ''\n  AND stock > 0" in found["catalogue.sql"]
    schema = json.loads(found["schemas/shop/items.json"])
    assert [field["name"] for field in schema["fields"]] == [
        "ITEM_ID",
        "CATEGORY",
        "PRICE",
        "CREATION_TIMESTAMP",
    ]


def test_items_with_several_rows_are_taken_together() -> None:
    several = replace(ITEMS.columns["id"], distinct=70)
    found = written(replace(WITH_ITEMS, items=table("articles", several, *list(ITEMS.columns.values())[1:])))
    assert "MAX(title) AS title" in found["catalogue.sql"]
    assert found["catalogue.sql"].endswith("GROUP BY id\n")


@pytest.mark.parametrize(
    ("consent", "condition"),
    [
        (column("opt_in", Kind.BOOLEAN), "opt_in = TRUE"),
        (column("opt_out", Kind.BOOLEAN), "(opt_out IS NULL OR opt_out <> TRUE)"),
        (column("newsletter", Kind.INTEGER), "newsletter > 0"),
        (column("consent_at", Kind.MOMENT), "consent_at IS NOT NULL"),
        (column("unsubscribed_at", Kind.MOMENT), "unsubscribed_at IS NULL"),
        (column("unsubscribed", Kind.INTEGER), "(unsubscribed IS NULL OR unsubscribed = 0)"),
        (column("consent", sample=("Yes", "no")), "LOWER(consent) IN ('yes')"),
        (column("optout", sample=("ja", "nein")), "(optout IS NULL OR LOWER(optout) NOT IN ('ja'))"),
    ],
)
def test_only_who_agreed_is_in_the_audience(consent: Column, condition: str) -> None:
    people = table(
        "readers", column("id", distinct=100), column("email", filled=70), column("crm_id"), consent
    )
    found = proposal(
        CLICKS, customers=people, customer_id=Ref("readers", "id"), email=Ref("readers", "email"),
        consent=Ref("readers", consent.name), external_id=Ref("readers", "crm_id"),
    )  # fmt: skip
    sql = written(found)["audience.sql"]
    assert "id AS user_id,\n    crm_id AS external_id" in sql
    assert f"WHERE email IS NOT NULL\n  AND email <> ''\n  AND {condition}\n" in sql
