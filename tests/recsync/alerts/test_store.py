"""What people were told before, when several processes tell at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from recsync.alerts.store import AlertState
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


class OvertakenBucket(Bucket):
    """Let another process send the same thing between this one's look and its claim."""

    def get_with_etag(self, key: str) -> tuple[bytes | None, str | None]:
        seen = super().get_with_etag(key)
        other = AlertState(Bucket(self.client, self.name), Keys("shop"))
        other.claim("team", "x", HOUR, NOW + timedelta(microseconds=1))
        return seen


def test_of_two_processes_that_tell_the_same_one_does(bucket: Bucket, keys: Keys) -> None:
    slow = AlertState(OvertakenBucket(bucket.client, bucket.name), keys)
    assert slow.claim("team", "x", HOUR, NOW) is None
    assert b"00.000001" in (bucket.get(bucket.keys("shop/state/alerts/")[0]) or b"")


def test_destinations_and_subjects_are_apart(bucket: Bucket, keys: Keys) -> None:
    state = AlertState(bucket, keys)
    assert state.claim("team", "x", HOUR, NOW)
    assert state.claim("team", "y", HOUR, NOW)
    assert state.claim("mail", "x", HOUR, NOW)
    assert state.claim("team", "x", HOUR, NOW + HOUR / 2) is None


def test_a_claim_given_back_leaves_what_was_there(bucket: Bucket, keys: Keys) -> None:
    state = AlertState(bucket, keys)
    first = state.claim("team", "x", HOUR, NOW)
    assert first
    state.give_back(first)
    assert bucket.keys("shop/state/alerts/") == []
    assert state.claim("team", "x", HOUR, NOW)
    second = state.claim("team", "x", HOUR, NOW + 2 * HOUR)
    assert second
    state.give_back(second)
    assert state.claim("team", "x", 3 * HOUR, NOW + 2 * HOUR) is None
    third = state.claim("team", "x", HOUR, NOW + 2 * HOUR)
    assert third
    assert third.former
    assert (third.former.at, third.former.held_back) == (NOW.isoformat(), 1)
