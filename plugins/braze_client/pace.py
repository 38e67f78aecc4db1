"""When the next call may start: the arithmetic of the limiter, without clock, file or network.

One :class:`Pace` is what is known of one endpoint family. It is shared by every process that calls it, so it
consists of numbers only. Calls are numbered as they are given their slots; that number is the call's *ticket*,
and an answer "``remaining`` left" to ticket t means that tickets up to t + ``remaining`` fit the window. Nothing
counts calls in flight, so that a process that dies with calls in flight leaves nothing wrong behind.

* Short windows are paced evenly a little below their limit: fixed windows, sliding windows and token buckets all
  accept that.
* Longer windows run at the burst rate of the contract until the last ticket that fits, then wait for the reset.
* A refusal (429) closes the family until Braze's hint and lowers the rate, which then creeps back.
* In a fixed window, what others take shows in how fast ``remaining`` falls; the share taken here shrinks to fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from braze_client.headers import MAX_WAIT_SECONDS, retry_after_seconds, window_of
from braze_client.window import GUESSED_SECONDS, Burst, LearnedWindow

# What may be caught up at once after a late wake-up, as a share of the window.
TOLERANCE = 0.01
# Calls of this span share one slot, so that a thousand calls a second do not need a thousand timers.
SLOT_SECONDS = 0.005
# After this long without an answer nothing is taken for known, and one call goes ahead alone.
RECENT_SECONDS = 60.0
# Others wait so long for the answer of that one call, and look for it so often.
PROBE_SECONDS = 5.0
PROBE_LOOK_SECONDS = 0.01
# How long a closed gate is believed without looking again: another process may have learned more.
LOOK_SECONDS = 0.25
# Where no header names a short window, the rate starts low and doubles: 32 times as fast in 1.25 s.
RAMP_SHARE = 1 / 32
RAMP_LEAST_PER_SECOND = 10.0
RAMP_DOUBLES_SECONDS = 0.25
# Refusals without a hint: 1 s, doubled each time.
BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 60.0
# The rate after a refusal: a single one is chance, a second one soon after it means that the rate is wrong.
CUT_ONCE = 0.97
CUT_AGAIN = 0.85
CUT_UNANNOUNCED = 0.95
CUT_AGAIN_SECONDS = 6.0
# Growth per second after a cut: quick up to just below what was refused, slow there, quicker again with time.
GROWTH_BELOW = 0.02
GROWTH_AT = 0.0015
GROWTH_SPEEDS_UP_SECONDS = 10.0


class Grant(NamedTuple):
    """Start ``calls`` calls at ``at``, with tickets from ``first`` on; with no calls: ask again then."""

    at: float
    calls: int
    first: int


@dataclass(slots=True)
class Pace:
    """Know one endpoint family; times are epoch seconds, rates calls per second, flags 0 or 1."""

    issued: float = 0.0
    next_slot_at: float = 0.0
    # Knowledge as such
    probe_until: float = 0.0
    must_probe: float = 1.0
    known_since: float = 0.0
    answered_at: float = 0.0
    # Refusals
    closed_until: float = 0.0
    backoff_seconds: float = 0.0
    ceiling: float = 0.0
    refused_rate: float = 0.0
    refused_at: float = 0.0
    raised_at: float = 0.0
    cut_ticket: float = 0.0
    # Calls accepted in this and in the last GUESSED_SECONDS
    counted_since: float = 0.0
    accepted: float = 0.0
    accepted_before: float = 0.0
    used_up: float = 0.0
    window: LearnedWindow = field(default_factory=LearnedWindow)

    # ---- asking

    def reserve(self, now: float, most: int, burst: Burst) -> Grant:
        """Give the next slot to up to ``most`` calls, or say when to ask again."""
        self._heal(now)
        if self.closed_until > now:
            return Grant(min(self.closed_until, now + LOOK_SECONDS), 0, 0)
        if now - self.answered_at > RECENT_SECONDS and not self.must_probe:
            self._forget()
        room = self.window.room_left(now, self.issued)
        if room < 1:
            self.used_up = 1.0
            return Grant(min(self.window.ends_at, now + LOOK_SECONDS), 0, 0)
        if self.used_up:
            self.used_up = 0.0
            # What a long window allows from here on is not known before its first answer.
            self.must_probe = float(not self.window.is_paced)
        if self.must_probe:
            return self._probe(now)
        rate = self.rate(now, burst)
        tolerance = TOLERANCE * (GUESSED_SECONDS if self.window.is_long else self.window.seconds)
        slot = max(self.next_slot_at, now - tolerance)
        calls = int(max(1.0, min(most, rate * SLOT_SECONDS, room)))
        self.next_slot_at = slot + calls / rate
        return self._grant(max(slot, now), calls)

    def closed_seconds(self, now: float) -> float:
        """Say how long no call may start, whatever was granted before."""
        return max(0.0, self.closed_until - now)

    def rate(self, now: float, burst: Burst) -> float:
        """Say how many calls a second may start now."""
        rate = self.window.target(burst)
        if self.window.is_paced:
            rate *= self.window.share
        else:
            doublings = min((now - self.known_since) / RAMP_DOUBLES_SECONDS, 30.0)
            rate = min(rate, max(RAMP_LEAST_PER_SECOND, rate * RAMP_SHARE) * 2**doublings)
        self._grow(now, rate)
        return min(rate, self.ceiling) if self.ceiling else rate

    def _probe(self, now: float) -> Grant:
        if self.probe_until > now:
            return Grant(min(self.probe_until, now + PROBE_LOOK_SECONDS), 0, 0)
        self.probe_until = now + PROBE_SECONDS
        self.next_slot_at = now
        return self._grant(now, 1)

    def _grant(self, at: float, calls: int) -> Grant:
        first = int(self.issued) + 1
        self.issued += calls
        return Grant(at, calls, first)

    def _heal(self, now: float) -> None:
        """Undo what a clock that was set back left in the future."""
        if self.next_slot_at > now + RECENT_SECONDS:
            self.next_slot_at = now
        if self.closed_until > now + MAX_WAIT_SECONDS + 1:
            self.closed_until = 0.0
        if self.probe_until > now + PROBE_SECONDS + 1 or self.answered_at > now + RECENT_SECONDS:
            self._forget()

    def _forget(self) -> None:
        fresh = replace(Pace(), issued=self.issued, closed_until=self.closed_until, cut_ticket=self.issued)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    # ---- learning

    def learn(self, ticket: int, status: int, headers: Mapping[str, str], now: float, burst: Burst) -> None:
        """Take in the status and the headers (names in lower case) of the answer to a ticket."""
        if self.must_probe:
            self.must_probe = self.probe_until = 0.0
            self.known_since = self.known_since or now
        self.answered_at = now
        self._count(now, accepted=200 <= status < 300)
        seen = window_of(headers, now)
        if status == 429:
            self._refused(ticket, headers, now, burst, used_up=seen is not None and seen.remaining == 0)
        elif ticket > self.cut_ticket:
            self.backoff_seconds = 0.0
        if seen is not None:
            self.window.learn(ticket, seen, now, burst)

    def lost(self) -> None:
        """Note that a call got no answer: where others wait for it, the next one may try."""
        self.probe_until = 0.0

    def _count(self, now: float, *, accepted: bool) -> None:
        if now - self.counted_since >= GUESSED_SECONDS:
            just = now - self.counted_since < 2 * GUESSED_SECONDS
            self.accepted_before = self.accepted if just else 0.0
            self.counted_since, self.accepted = now, 0.0
        self.accepted += accepted

    def _accepted_per_second(self, now: float) -> float:
        passed = min(1.0, (now - self.counted_since) / GUESSED_SECONDS)
        return (self.accepted + (1 - passed) * self.accepted_before) / GUESSED_SECONDS

    def _refused(
        self, ticket: int, headers: Mapping[str, str], now: float, burst: Burst, *, used_up: bool
    ) -> None:
        wait = retry_after_seconds(headers, now)
        first_of_its_round = ticket > self.cut_ticket
        if not wait and first_of_its_round:
            doubled = 2 * self.backoff_seconds
            self.backoff_seconds = wait = min(max(BACKOFF_BASE_SECONDS, doubled), BACKOFF_CAP_SECONDS)
        self.closed_until = max(self.closed_until, now + (wait or 0.0))
        # A long window that is used up says nothing about the rate.
        if first_of_its_round and not (self.window.is_long and used_up):
            self._cut(now, burst)

    def _cut(self, now: float, burst: Burst) -> None:
        rate = self.rate(now, burst)
        if self.window.is_paced:
            again = now - self.refused_at < CUT_AGAIN_SECONDS
            self.refused_rate, factor = rate, CUT_AGAIN if again else CUT_ONCE
        else:
            self.refused_rate = min(rate, self._accepted_per_second(now) or rate)
            factor = CUT_UNANNOUNCED
        # One call every ten seconds still finds out whether things are better.
        self.ceiling = max(0.1, factor * self.refused_rate)
        self.refused_at = self.raised_at = now
        self.cut_ticket = self.issued

    def _grow(self, now: float, most: float) -> None:
        if not self.ceiling:
            return
        seconds = min(max(now - max(self.raised_at, self.closed_until), 0.0), 1.0)
        calm = max(0.0, now - self.refused_at) / GROWTH_SPEEDS_UP_SECONDS
        near = self.ceiling >= CUT_UNANNOUNCED * self.refused_rate
        growth = GROWTH_AT * (1 + calm * calm) if near else GROWTH_BELOW
        self.ceiling *= 1 + growth * seconds
        self.raised_at = now
        if self.ceiling > 2 * most:
            self.ceiling = 0.0
