from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_client.pace import MAX_WAIT_SECONDS, Window, retry_after_seconds, window_of

NOW = 1_800_000_000.0


def limits(limit: str, remaining: str, reset: str) -> dict[str, str]:
    return {"x-ratelimit-limit": limit, "x-ratelimit-remaining": remaining, "x-ratelimit-reset": reset}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-retry-after": "7", "retry-after": "9"}, 7),
        ({"retry-after": "9", "x-ratelimit-reset": "3"}, 9),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30),
        ({"x-ratelimit-reset": "3"}, 3),
        ({"x-ratelimit-reset": str(NOW + 4)}, 4),
        ({"x-ratelimit-reset": "3000", "x-ratelimit-remaining": "9"}, None),
        ({"x-ratelimit-reset": str(NOW - 5)}, 0),
        ({"x-ratelimit-reset": str(NOW + 1e6)}, MAX_WAIT_SECONDS),
        ({"x-ratelimit-reset": "soon", "retry-after": "later"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_a_hint_is_read_in_every_dialect(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers, NOW) == seconds


def test_a_window_is_read_in_both_dialects() -> None:
    assert window_of(limits("60", "12", str(NOW + 2)), NOW) == Window(60, 12, 2.0, True)
    assert window_of(limits("60", "12", "2"), NOW) == Window(60, 12, 2.0, False)
    assert window_of(limits("60", "-3", str(NOW - 9)), NOW) == Window(60, 0, 0.0, True)


@pytest.mark.parametrize("missing", ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"])
def test_half_a_window_is_none(missing: str) -> None:
    headers = limits("60", "12", "2")
    del headers[missing]
    assert window_of(headers, NOW) is None


@given(st.text(), st.text(), st.text(), st.text())
def test_no_header_breaks_the_reader(limit: str, remaining: str, reset: str, hint: str) -> None:
    headers = limits(limit, remaining, reset) | {"retry-after": hint}
    wait = retry_after_seconds(headers, NOW)
    assert wait is None or 0 <= wait <= MAX_WAIT_SECONDS
    seen = window_of(headers, NOW)
    assert seen is None or (seen.limit >= 1 and 0 <= seen.left_seconds <= MAX_WAIT_SECONDS)
