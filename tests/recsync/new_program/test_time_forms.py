from __future__ import annotations

import pytest

from recsync.new_program.columns import Column
from recsync.new_program.time_forms import time_form
from recsync.warehouse.column_types import Kind


def text(*sample: str, name: str = "c") -> Column:
    return Column(name, Kind.TEXT, "text", len(sample), len(set(sample)), min(sample), max(sample), sample)


def whole(*sample: int, name: str = "c") -> Column:
    texts = tuple(map(str, sample))
    return Column(name, Kind.INTEGER, "bigint", len(sample), len(set(sample)), texts[0], texts[-1], texts)


@pytest.mark.parametrize(
    ("column", "sql"),
    [
        (Column("t", Kind.MOMENT, "timestamp"), "{{ epoch('t') }}"),
        (whole(1_700_000_000, 1_700_000_100), "{{ epoch_s('t') }}"),
        (whole(1_700_000_000_000, 1_700_000_100_000), "{{ epoch_ms('t') }}"),
        (whole(1_700_000_000_000_000), "{{ epoch_us('t') }}"),
        (whole(1_700_000_000_000_000_000), "{{ epoch_ns('t') }}"),
        (text("1700000000000", "1700000100000"), "{{ epoch_ms('t') }}"),
        (whole(20_261_101, 20_261_231), "{{ epoch_text('t', 'YYYYMMDD') }}"),
        (text("2026-11-01T09:30:00+01:00"), "{{ epoch_text('t') }}"),
        (text("2026-11-01 09:30:00 UTC", "2026-11-01 09:30:00 UTC"), "{{ epoch_text('t') }}"),
        (text("31.10.2026", "1.11.2026"), "{{ epoch_text('t', 'DD.MM.YYYY') }}"),
        (text("12/31/2026 8:26", "1/2/2026 18:05"), "{{ epoch_text('t', 'MM/DD/YYYY HH24:MI') }}"),
        (
            text("31/12/2026 08:26:59", "01/02/2026 18:05:00"),
            "{{ epoch_text('t', 'DD/MM/YYYY HH24:MI:SS') }}",
        ),
        (text("12/31/2026 8:26 PM"), "{{ epoch_text('t', 'MM/DD/YYYY HH12:MI AM') }}"),
        (text("31.10.26", "01.11.26"), "{{ epoch_text('t', 'DD.MM.YY') }}"),
        (text("2026/11/01 09:30"), "{{ epoch_text('t', 'YYYY/MM/DD HH24:MI') }}"),
    ],
)
def test_each_way_to_write_a_time_has_its_helper(column: Column, sql: str) -> None:
    form = time_form(column)
    assert form is not None
    assert form.sql("t") == sql


def test_a_date_that_can_be_read_in_two_ways_says_so() -> None:
    form = time_form(text("03/04/2026", "05/06/2026"))
    assert form is not None
    assert (form.form, form.other_form) == ("DD/MM/YYYY", "MM/DD/YYYY")
    # Points are written between day and month first.
    dotted = time_form(text("03.04.2026"))
    assert dotted is not None
    assert dotted.other_form is None


@pytest.mark.parametrize(
    "column",
    [
        whole(1, 2, 3),
        whole(4_711, 99_999),
        text("soon", "later"),
        text("31.10.6"),
        Column("c", Kind.BOOLEAN),
        text(""),
    ],
)
def test_what_is_no_time_is_not_taken_for_one(column: Column) -> None:
    assert time_form(column) is None
