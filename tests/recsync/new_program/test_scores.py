from __future__ import annotations

import pytest

from recsync.new_program import columns as looks
from recsync.new_program import scores
from recsync.new_program.columns import Column
from recsync.warehouse.column_types import Kind


def text(*sample: str, name: str = "c") -> Column:
    return Column(name, Kind.TEXT, "text", len(sample), len(set(sample)), min(sample), max(sample), sample)


def test_what_describes_a_thing_does_not_identify_it() -> None:
    assert scores.id_score(text("a", "b", name="product_id"), looks.ITEM) == 4
    assert scores.id_score(text("a", "b", name="product_name"), looks.ITEM) == 0
    assert scores.id_score(text("a", "b", name="artikelnr"), looks.ITEM) == 4
    assert scores.id_score(Column("user_id", Kind.FLOAT, distinct=9, sample=("1.5",)), looks.USER) == 0
    assert scores.id_score(Column("user_id", Kind.FLOAT, distinct=9, sample=("1.0",)), looks.USER) == 4


def test_the_time_of_the_event_comes_before_those_of_what_followed() -> None:
    names = ["updated_at", "order_purchase_timestamp", "paid", "shipping_limit_date"]
    assert max(names, key=scores.time_preference) == "order_purchase_timestamp"
    assert (
        scores.time_preference("updated_at")
        < scores.time_preference("paid")
        < scores.time_preference("created_at")
    )


def test_an_id_of_the_session_is_less_likely_the_person_than_one_of_the_user() -> None:
    session, user = (
        scores.id_score(text("a", "b", name=name), looks.USER) for name in ("session_id", "user_id")
    )
    assert user - session == pytest.approx(0.5)
