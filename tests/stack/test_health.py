from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stack.health import answers, component_is_healthy, get_json

BEAT = datetime(2024, 1, 1, 12, tzinfo=UTC)
HEALTH = {"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": BEAT.isoformat()}}


@pytest.mark.parametrize(
    ("health", "started_after_seconds", "healthy"),
    [
        (HEALTH, -1, True),
        (HEALTH, 1, False),  # the heartbeat is that of an earlier process
        ({"scheduler": {"status": "unhealthy"}}, -1, False),
        ({"scheduler": None}, -1, False),
        (None, -1, False),
    ],
)
def test_only_a_heartbeat_of_this_process_counts(
    health: object, started_after_seconds: int, healthy: bool
) -> None:
    started_at = BEAT.timestamp() + started_after_seconds
    assert component_is_healthy(health, "scheduler", started_at) is healthy


def test_a_server_that_is_not_there_is_not_healthy(free_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{free_tcp_port}/"
    assert not answers(url)
    assert get_json(url) is None
