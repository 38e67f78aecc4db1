from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recsync.errors import FatalError
from recsync.program.intervals import Interval
from recsync.warehouse.dialects import DUCKDB, POSTGRES
from recsync.warehouse.templates import render

HOUR = Interval(datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC))


def test_templates_see_the_interval_and_whether_it_is_full() -> None:
    text = "SELECT '{{ data_interval_start }}', '{{ data_interval_end }}', {{ full }};\n"
    assert (
        render(text, HOUR, name="x.sql", dialect=POSTGRES)
        == "SELECT '2026-11-22T05:00:00+00:00', '2026-11-22T06:00:00+00:00', False"
    )
    assert "True" in render(text, Interval.until(HOUR.end), name="x.sql", dialect=POSTGRES)


def test_epoch_seconds_are_written_in_the_dialect_of_the_warehouse() -> None:
    text = "SELECT {{ epoch('o.sold_at') }} AS timestamp FROM o"
    assert render(text, HOUR, name="x", dialect=POSTGRES) == (
        "SELECT CASE WHEN isfinite((o.sold_at)) THEN FLOOR(EXTRACT(EPOCH FROM (o.sold_at)))::bigint END AS timestamp"
        " FROM o"
    )
    assert "DATE_TRUNC('second', (o.sold_at))" in render(text, HOUR, name="x", dialect=DUCKDB)


@pytest.mark.parametrize("text", ["SELECT {{ nothing }}", "SELECT {% if %}", "  ;\n", "SELECT {{ epoch() }}"])
def test_broken_templates_name_the_file(text: str) -> None:
    with pytest.raises(FatalError, match=r"shop/items\.sql"):
        render(text, HOUR, name="shop/items.sql", dialect=POSTGRES)
