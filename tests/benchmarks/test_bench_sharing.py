"""Two deliveries that share no folder keep one limit, whatever Braze tells of it, and when Redis dies under them."""

import shutil

import pytest
from benchmarks.sharing import DIALECTS, measure

USERS = 225_000  # a minute each
needs_redis = pytest.mark.skipif(
    not shutil.which("redis-server"), reason="no Redis here: apt-get install redis-server"
)


@needs_redis
@pytest.mark.long(reason="a minute each")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_two_workers_use_the_limit_and_are_not_refused(dialect):
    outcome = measure(dialect, "Redis", USERS)
    assert outcome.seconds <= 1.05 * outcome.ideal_seconds
    assert outcome.refused < 0.01 * outcome.requests
    assert (outcome.unsent, outcome.claimed) == (0, 2 * USERS)
    one, two = (seconds for seconds, _ in outcome.workers)
    assert one == pytest.approx(two, rel=0.05)


@needs_redis
@pytest.mark.long(reason="a minute each")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_without_redis_from_half_way_on_nothing_is_lost_and_the_limit_is_kept(dialect):
    outcome = measure(dialect, "Redis, killed half-way", USERS)
    assert (outcome.unsent, outcome.claimed) == (0, 2 * USERS)
    assert outcome.refused < 0.01 * outcome.requests
    assert outcome.seconds <= 1.25 * outcome.ideal_seconds
