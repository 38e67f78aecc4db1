from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from limits import parse
from limits.strategies import FixedWindowRateLimiter

from recommendations.rate_limit import KeyLimits, LmdbStorage


def test_the_storage_counts_as_the_library_wants_it(tmp_path: Path) -> None:
    storage = LmdbStorage(tmp_path)
    limiter, limit = FixedWindowRateLimiter(storage), parse("2/hour")
    assert [limiter.hit(limit, "a") for _ in range(3)] == [True, True, False]
    assert limiter.hit(limit, "b", cost=2)
    assert not limiter.test(limit, "a")
    assert limiter.get_window_stats(limit, "b").remaining == 0
    assert storage.check()
    storage.clear(limit.key_for("a"))
    assert limiter.hit(limit, "a")
    assert storage.reset() == 2
    assert storage.get(limit.key_for("b")) == 0
    storage.close()


def test_a_window_ends(tmp_path: Path) -> None:
    storage = LmdbStorage(tmp_path)
    assert storage.incr("key", 0) == 1
    assert storage.incr("key", 0) == 1
    storage.close()


def test_processes_share_the_counters_and_lose_no_count(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from recommendations.rate_limit import LmdbStorage\n"
        "storage = LmdbStorage(Path(sys.argv[1]))\n"
        "for _ in range(2000): storage.incr('key', 3600)\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    limits = KeyLimits(tmp_path)
    assert limits._storage.get("key") == 4000
    assert 0 < (limits.wait_seconds(parse("4000/hour"), "key", 1) or 0) <= 3600
    assert limits.wait_seconds(parse("4002/hour"), "key", 1) is None
    limits.close()
