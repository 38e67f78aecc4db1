"""Numbers, shares and times as people read them."""

from __future__ import annotations

import pytest

from recsync.export.report_page.templates import duration, iso_moment, moment, number, share


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (0, "0"),
        (1_234_567, "1,234,567"),
        (110.0, "110"),
        (601_204.5, "601,204"),
        (0.01234567, "0.01235"),
        (-5, "-5"),
    ],
)
def test_number(content, shown):
    assert number(content) == shown


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (0, "0%"),
        (0.02, "2%"),
        (0.0234, "2.34%"),
        (1e-6, "<0.01%"),
        (1, "100%"),
        (0.999999, ">99.99%"),
    ],
)
def test_share(part, shown):
    assert share(part) == shown


def test_duration():
    assert [duration(n) for n in (0, 310.4, 7_500, 200_000)] == ["0 s", "310 s", "2.1 h", "2.3 days"]


def test_times():
    assert moment(1_763_164_800) == "2025-11-15 00:00:00 UTC"
    assert moment(-1) == "1969-12-31 23:59:59 UTC"
    assert moment(1_763_164_800_000_000_000) == "1,763,164,800,000,000,000"
    assert iso_moment("2025-11-15T02:00:00+02:00") == "2025-11-15 00:00:00 UTC"
    assert "yesterday" in iso_moment("yesterday")
