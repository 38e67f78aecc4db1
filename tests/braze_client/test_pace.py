from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from pace_simulation import START, Server, run

from braze_client.pace import RECENT_SECONDS, Burst, Pace

BURST = Burst(3_000, 3)
latencies = st.tuples(st.floats(0, 0.05), st.floats(0, 0.05)).map(lambda two: (two[0], sum(two)))
starts = st.integers(0, 2**16)
dialects = st.sampled_from(["epoch", "left"])


@given(dialects, latencies, st.integers(1, 3), starts)
@settings(max_examples=40, deadline=None)
def test_a_short_fixed_window_is_used_and_never_overrun(
    dialect: str, latency: tuple[float, float], processes: int, seed: int
) -> None:
    server = Server("fixed", 60, 3, dialect)
    outcome = run(server, calls=1_200, processes=processes, latency_seconds=latency, seed=seed)
    assert outcome.refused <= 0.01 * 1_200
    assert outcome.seconds <= 1.05 * 60


@given(st.sampled_from(["sliding", "bucket"]), dialects, latencies, st.integers(1, 3), starts)
@settings(max_examples=40, deadline=None)
def test_windows_that_slide_and_buckets_are_not_overrun_either(
    kind: str, dialect: str, latency: tuple[float, float], processes: int, seed: int
) -> None:
    server = Server(kind, 60, 3, dialect)
    outcome = run(server, calls=2_400, processes=processes, latency_seconds=latency, seed=seed)
    assert outcome.refused_after_start <= 0.01 * 2_400
    # One refusal costs up to a second, as told, and a slower pace for some time.
    assert outcome.seconds <= 1.10 * 120


@given(st.sampled_from(["fixed", "sliding", "bucket"]), latencies, st.integers(1, 3), starts)
@settings(max_examples=30, deadline=None)
def test_without_headers_the_burst_of_the_plan_is_kept(
    kind: str, latency: tuple[float, float], processes: int, seed: int
) -> None:
    server = Server(kind, 60, 3, "none")
    outcome = run(
        server, calls=1_200, processes=processes, latency_seconds=latency, burst=Burst(60, 3), seed=seed
    )
    assert outcome.refused <= 0.01 * 1_200
    assert outcome.seconds <= 1.10 * 60


@pytest.mark.parametrize("kind", ["fixed", "sliding", "bucket"])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_thousand_calls_a_second(kind: str, processes: int) -> None:
    outcome = run(Server(kind, 3_000, 3), calls=30_000, processes=processes, seed=processes)
    assert outcome.refused_after_start <= 0.001 * 30_000
    assert outcome.seconds <= 1.05 * 30


@pytest.mark.parametrize("dialect", ["epoch", "left"])
@pytest.mark.parametrize("machines", [1, 3])
def test_a_long_window_runs_freely_and_then_waits(dialect: str, machines: int) -> None:
    outcome = run(Server("fixed", 50_000, 60, dialect), calls=120_000, machines=machines)
    assert outcome.refused <= 0.001 * 120_000
    assert outcome.seconds <= 1.05 * 144
    # Not evenly: the first window's calls are all made before it ends.
    assert outcome.seconds < 144


@pytest.mark.parametrize(("limit", "calls"), [(60, 3_000), (3_000, 60_000)])
@pytest.mark.parametrize("machines", [2, 3])
def test_machines_that_share_nothing_but_headers_share_the_window(
    limit: int, calls: int, machines: int
) -> None:
    outcome = run(Server("fixed", limit, 3), calls=calls, machines=machines)
    assert outcome.refused_after_start <= 0.01 * calls
    assert outcome.seconds <= 1.05 * calls * 3 / limit
    assert min(outcome.per_machine) > 0.6 * calls / machines


@given(st.sampled_from(["fixed", "sliding", "bucket"]), st.integers(20, 200), starts)
@settings(max_examples=15, deadline=None)
def test_a_limit_that_nothing_tells_of_is_found(kind: str, limit: int, seed: int) -> None:
    calls = 40 * limit
    outcome = run(Server(kind, limit, 3, "none"), calls=calls, burst=BURST, seed=seed)
    assert outcome.accepted == calls
    assert outcome.refused <= 0.05 * calls + 20
    assert outcome.seconds <= 1.4 * 120


@given(
    st.lists(
        st.tuples(
            st.sampled_from([200, 201, 400, 429, 500, 503]),
            st.dictionaries(
                st.sampled_from(
                    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"]
                ),
                st.one_of(st.integers(-5, 10**10).map(str), st.just("junk"), st.just("1e400")),
            ),
            st.floats(-100, 4_000),
        ),
        max_size=40,
    )
)
@settings(deadline=None)
def test_no_answer_and_no_step_of_the_clock_stops_calls_for_more_than_an_hour(
    answers: list[tuple[int, dict[str, str], float]],
) -> None:
    pace, now = Pace(), START
    for ticket, (status, headers, passed) in enumerate(answers):
        pace.learn(ticket, status, headers, now, BURST)
        now += passed
        grant = pace.reserve(now, 10, BURST)
        assert 0 <= grant.calls <= 10
        assert grant.at >= now
        assert grant.at > now or grant.calls
    waited = now
    while not (grant := pace.reserve(waited, 1, BURST)).calls:
        waited = max(grant.at, waited + 1)
    assert waited - now <= 2 * 3_602


@pytest.mark.parametrize("kind", ["fixed", "sliding"])
@pytest.mark.parametrize(("limit", "slot_seconds"), [(60, 0.01), (3_000, 0.01)])
def test_programs_that_share_a_pace_get_equal_shares_and_a_canary_waits_for_none(
    kind: str, limit: int, slot_seconds: float
) -> None:
    outcome = run(
        Server(kind, limit, 3), calls=5 * limit, processes=3, slot_seconds=slot_seconds, canary_calls=10
    )
    assert outcome.refused_after_start <= 0.01 * outcome.accepted
    assert min(outcome.per_process) > 0.95 * max(outcome.per_process)
    # A call of the canary waits for a slot of each of the three, and for its own.
    assert outcome.canary_seconds <= 1.1 * 10 * 4 * max(3 / limit, slot_seconds)


def test_a_state_that_goes_on_elsewhere_keeps_what_is_left_of_the_window() -> None:
    pace, elsewhere = Pace(series=0.1), Pace(series=0.2, issued=5_000)
    headers = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "25", "x-ratelimit-reset": "2"}
    pace.learn(pace.reserve(START, 1, BURST).first, 201, headers, START, BURST)
    elsewhere.adopt(pace, 100)
    assert (elsewhere.series, elsewhere.issued) == (0.2, 5_000)
    now, taken = START + 100.1, 0
    while (grant := elsewhere.reserve(now, 10, BURST)).calls:
        taken += grant.calls
    assert taken == 25
    assert grant.at <= START + 102
    pace.learn(pace.reserve(START, 1, BURST).first, 429, {"retry-after": "2"}, START, BURST)
    elsewhere.adopt(pace, 100)
    assert elsewhere.closed_seconds(START + 100) == pytest.approx(2)
    other = Pace(series=0.3)
    other.adopt(Pace(), 100)
    assert other == Pace(series=0.3), "what is not known stays unknown"


@pytest.mark.parametrize(
    ("refills", "shares"), [(1.0, [0.475, 0.5, 0.525, 1]), (0.0, [1, 1, 1, 1])], ids=["sliding", "fixed"]
)
def test_a_divided_rate_grows_back_where_braze_allows_it(refills: float, shares: list[float]) -> None:
    pace = Pace()
    headers = {"x-ratelimit-limit": "300", "x-ratelimit-remaining": "299", "x-ratelimit-reset": "3"}
    pace.learn(pace.reserve(START, 1, BURST).first, 201, headers, START, BURST)
    pace.refills = refills
    whole = pace.rate(START, BURST)
    pace.divide(2, START, BURST)
    rates = [pace.rate(START + seconds, BURST) / whole for seconds in (0, 10, 20, 40)]
    assert rates == pytest.approx(shares, abs=0.001)


def test_one_call_goes_ahead_until_something_is_known() -> None:
    pace = Pace()
    assert pace.reserve(START, 50, BURST).calls == 1
    assert pace.reserve(START, 50, BURST).calls == 0
    pace.learn(1, 201, {}, START + 0.1, BURST)
    assert pace.reserve(START + 0.1, 50, BURST).calls
    late = START + 0.1 + 2 * RECENT_SECONDS
    assert pace.reserve(late, 50, BURST).calls == 1
    assert pace.reserve(late, 50, BURST).calls == 0


def test_a_call_without_answer_lets_the_next_one_try() -> None:
    pace = Pace()
    pace.reserve(START, 1, BURST)
    pace.lost()
    assert pace.reserve(START, 1, BURST).calls == 1


def test_refusals_without_hint_wait_longer_each_time() -> None:
    pace, now, waits = Pace(), START, []
    for ticket in range(1, 9):
        now += pace.closed_seconds(now)
        assert pace.reserve(now, 1, BURST).first
        pace.learn(int(pace.issued), 429, {}, now, BURST)
        waits.append(pace.closed_seconds(now))
        assert ticket
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])


def test_a_pace_is_numbers_only() -> None:
    pace = Pace()
    assert all(type(getattr(pace, field.name)) is float for field in fields(pace))
