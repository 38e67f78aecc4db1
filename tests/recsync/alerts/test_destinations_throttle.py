"""Alerts of one subject, sent by several processes at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from recsync.alerts.destinations import Throttle
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def throttle(bucket: Bucket, destination: str = "team", about: str = "x") -> Throttle:
    return Throttle(bucket, Keys("shop"), destination, about)


class OvertakenBucket(Bucket):
    """Let another process send the same alert between this one's read and its write."""

    def get_with_etag(self, key: str) -> tuple[bytes | None, str | None]:
        seen = super().get_with_etag(key)
        throttle(Bucket(self.client, self.name)).acquire(HOUR, NOW + timedelta(microseconds=1))
        return seen


def test_of_two_processes_that_send_the_same_alert_one_does(bucket: Bucket) -> None:
    assert not throttle(OvertakenBucket(bucket.client, bucket.name)).acquire(HOUR, NOW)
    assert b"00.000001" in (bucket.get(bucket.keys("shop/state/alerts/")[0]) or b"")


def test_destinations_and_subjects_are_apart(bucket: Bucket) -> None:
    assert throttle(bucket).acquire(HOUR, NOW)
    assert throttle(bucket, about="y").acquire(HOUR, NOW)
    assert throttle(bucket, "mail").acquire(HOUR, NOW)
    assert not throttle(bucket).acquire(HOUR, NOW + HOUR / 2)


def test_an_alert_that_could_not_be_sent_leaves_the_one_before(bucket: Bucket) -> None:
    first = throttle(bucket)
    assert first.acquire(HOUR, NOW)
    first.release()
    assert bucket.keys("shop/state/alerts/") == []
    assert throttle(bucket).acquire(HOUR, NOW)
    second = throttle(bucket)
    assert second.acquire(HOUR, NOW + 2 * HOUR)
    second.release()
    assert not throttle(bucket).acquire(3 * HOUR, NOW + 2 * HOUR)
    third = throttle(bucket)
    assert third.acquire(HOUR, NOW + 2 * HOUR)
    assert third.last
    assert (third.last.at, third.last.held_back) == (NOW.isoformat(), 1)
