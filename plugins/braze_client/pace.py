"""Compute when the next call may start, from Braze's rate-limit headers and its refusals.

=============================== ============================================================================
``X-RateLimit-Limit``           calls allowed in a window
``X-RateLimit-Remaining``       calls left in it, for everybody who uses the workspace
``X-RateLimit-Reset``           when the window ends: epoch seconds (contracts with data points) or seconds left (MAU)
``X-Ratelimit-Retry-After``     MAU contracts, on a 429 and instead of the three above: seconds to wait
``Retry-After``                 not documented by Braze, but what a proxy in front of it says: seconds or a date
=============================== ============================================================================

https://www.braze.com/docs/api/api_limits/
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import NamedTuple

# Braze's bursts are counted over 3 s, and that is the first guess at a window's length.
# https://www.braze.com/docs/api/endpoints/user_data/post_user_track/#rate-limit
GUESSED_SECONDS = 3.0
# Calls are spread over a window up to this long. In a longer one they run at the burst rate until it is used up.
SHORT_SECONDS = 5.5
# How much of a limit is used: latency that changes from call to call moves some calls into the next window.
HEADROOM = 0.98
# Keep these calls in reserve for sliding or undocumented windows, and where others call too.
SPARE_CALLS = 2
# A fixed window gives no calls back before its end; less than this share of it is noise.
REFILL_SHARE = 0.25
# If this share of a window went without our calls, there are other callers; less is noise.
OTHERS_SHARE = 0.05
# Their calls of this time are kept free: no answer has shown them yet.
TRAVEL_SECONDS = 0.1
# What may be caught up at once after a late wake-up.
TOLERANCE_SECONDS = 0.03
# Calls of this span share one slot, so that a thousand calls a second do not need a thousand timers.
SLOT_SECONDS = 0.005
# After this long without an answer nothing is taken for known, and one call goes ahead alone.
RECENT_SECONDS = 60.0
# Others wait this long for the answer of that call, and look for it at this interval.
PROBE_SECONDS = 5.0
PROBE_LOOK_SECONDS = 0.01
# How long a closed gate is believed without another look: another process may have learned more.
LOOK_SECONDS = 0.25
# Where no header names a short window, the rate starts low and doubles: 32 times as fast in 1.25 s.
RAMP_SHARE = 1 / 32
RAMP_LEAST_PER_SECOND = 10.0
RAMP_DOUBLES_SECONDS = 0.25
# Refusals without a hint: 1 s, doubled each time.
BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 60.0
# The cut of the rate after a refusal, and the time until the refused rate is tried again.
CUT_SHARE = 0.05
REGROW_SECONDS = 10.0
# X-RateLimit-Reset is an epoch time or seconds left; no window lasts 30 years, so a number this large is a date.
EPOCH_THRESHOLD_SECONDS = 1_000_000_000
# Upper limit for a wait that a header asks for: an hour is the longest window that Braze documents.
MAX_WAIT_SECONDS = 3_600.0


class Window(NamedTuple):
    """What the headers of an answer say about the window it was counted in.

    :param limit: calls allowed in the window.
    :param remaining: calls left when the answer was written.
    :param left_seconds: time until the window ends.
    :param exact: whether the end was given as a moment; seconds left are rounded up.
    """

    limit: int
    remaining: int
    left_seconds: float
    exact: bool


def retry_after_seconds(headers: Mapping[str, str], now_seconds: float) -> float | None:
    """Return how long Braze asks to wait after a refusal; None without such a header.

    :param headers: names in lower case.
    """
    wait = _number(headers.get("x-ratelimit-retry-after"))
    if wait is None:
        wait = _seconds_or_date(headers.get("retry-after"), now_seconds)
    # With calls left, something else was the reason: the burst that these headers do not show.
    if wait is None and not _number(headers.get("x-ratelimit-remaining")):
        reset = _number(headers.get("x-ratelimit-reset"))
        wait = None if reset is None else _left(reset, now_seconds)
    return None if wait is None else min(max(wait, 0.0), MAX_WAIT_SECONDS)


def window_of(headers: Mapping[str, str], now_seconds: float) -> Window | None:
    """Read the three window headers; None when one is missing or invalid.

    :param headers: names in lower case.
    """
    limit = _number(headers.get("x-ratelimit-limit"))
    remaining = _number(headers.get("x-ratelimit-remaining"))
    reset = _number(headers.get("x-ratelimit-reset"))
    if limit is None or remaining is None or reset is None or limit < 1:
        return None
    left = min(max(_left(reset, now_seconds), 0.0), MAX_WAIT_SECONDS)
    return Window(int(limit), max(0, int(remaining)), left, reset > EPOCH_THRESHOLD_SECONDS)


def _left(reset: float, now_seconds: float) -> float:
    return reset - now_seconds if reset > EPOCH_THRESHOLD_SECONDS else reset


def _seconds_or_date(text: str | None, now_seconds: float) -> float | None:
    seconds = _number(text)
    if text is None or seconds is not None:
        return seconds
    try:
        return parsedate_to_datetime(text).timestamp() - now_seconds
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


class Burst(NamedTuple):
    """What the contract allows in a short window."""

    requests: float
    seconds: float


class Grant(NamedTuple):
    """Start ``calls`` calls at ``at``, with tickets from ``first`` on; with no calls: ask again then."""

    at: float
    calls: int
    first: int


@dataclass(slots=True)
class Pace:
    """Pace the calls of one endpoint family; times are epoch seconds, flags 0 or 1.

    Many processes share this state, so it is numbers only. Calls are numbered as they get their slots; the number is
    the call's *ticket*, and ``series`` tells the numbers of this state from those of another. An answer
    "``remaining`` left" to ticket t means that the tickets up to t + ``remaining``, the *room*, fit the window. Calls
    in flight are not counted, so a process that dies with calls in flight leaves nothing wrong behind.

    * Short windows are paced evenly a little below their limit; fixed windows, sliding windows and token buckets all
      accept that. When others call too, the remaining calls of a fixed window are spread over its remaining time, which
      gives equal callers equal shares.
    * Longer windows run at the burst rate of the contract until the room is used up, then wait for the reset.
    * A refusal (429) closes the family until Braze's hint and cuts the rate. It grows again as TCP's does (CUBIC):
      fast, slow near the refused rate, then faster. https://www.rfc-editor.org/rfc/rfc9438#section-4.2
    """

    series: float = 0.0
    issued: float = 0.0
    next_slot_at: float = 0.0
    known_since: float = 0.0
    answered_at: float = 0.0
    probe_until: float = 0.0
    # Refusals, and the calls accepted in the last GUESSED_SECONDS, older ones fading
    closed_until: float = 0.0
    backoff_seconds: float = 0.0
    refused_rate: float = 0.0
    refused_at: float = 0.0
    cut_ticket: float = 0.0
    accepted: float = 0.0
    # The window: limit 0 when no header named one
    limit: float = 0.0
    seconds: float = GUESSED_SECONDS
    refills: float = 0.0
    ends_at: float = 0.0
    room: float = 0.0
    first_seen_at: float = 0.0
    first_room: float = 0.0
    least_room: float = 0.0
    remaining: float = 0.0

    def reserve(self, now: float, most: int, burst: Burst, slot_seconds: float = SLOT_SECONDS) -> Grant:
        """Give the next slot to up to ``most`` calls, or say when to ask again.

        :param slot_seconds: the calls of this span share a slot, at least one.
        """
        latest = max(
            self.next_slot_at, self.probe_until, self.answered_at, self.closed_until - MAX_WAIT_SECONDS
        )
        if latest > now + RECENT_SECONDS:  # the clock was set back
            self._forget(closed_until=0.0)
        if self.closed_until > now:
            return Grant(min(self.closed_until, now + LOOK_SECONDS), 0, 0)
        if self.known_since and now - self.answered_at > RECENT_SECONDS:
            self._forget(closed_until=self.closed_until)
        room = self._room_left(now)
        if room < 1:
            return Grant(min(self.ends_at, now + LOOK_SECONDS), 0, 0)
        if not self.known_since:
            return self._probe(now)
        rate = self.rate(now, burst)
        slot = max(self.next_slot_at, now - TOLERANCE_SECONDS)
        calls = int(max(1.0, min(most, rate * slot_seconds, room)))
        self.next_slot_at = slot + calls / rate
        return self._grant(max(slot, now), calls)

    def closed_seconds(self, now: float) -> float:
        """Return how long no call may start, even one that has its slot."""
        return max(0.0, self.closed_until - now)

    def learn(self, ticket: int, status: int, headers: Mapping[str, str], now: float, burst: Burst) -> None:
        """Take in the status and the headers (names in lower case) of the answer to a ticket."""
        self.known_since, self.probe_until = self.known_since or now, 0.0
        self.accepted *= math.exp(-max(0.0, now - self.answered_at) / GUESSED_SECONDS)
        self.accepted += 200 <= status < 300
        self.answered_at = now
        seen = window_of(headers, now)
        if status == 429:
            self._close(ticket, headers, now, burst, used_up=seen is not None and not seen.remaining)
        elif ticket > self.cut_ticket:
            self.backoff_seconds = 0.0
        if seen is not None:
            self._learn_window(ticket, seen, now)

    def adopt(self, other: Pace, later_seconds: float) -> None:
        """Take over what another state knows; this one goes on with its own numbers of calls.

        :param later_seconds: how far this state's clock is ahead of the other's.
        """
        for name in self.__slots__:
            value = getattr(other, name)
            if name in _TICKETS:
                value += self.issued - other.issued
            elif name in _TIMES and value:
                value += later_seconds
            if name not in _OWN:
                setattr(self, name, value)

    def divide(self, callers: int, now: float, burst: Burst) -> None:
        """Keep to an equal share of the present rate; it grows from there as after a refusal.

        Not in a short fixed window: its headers show the others' calls soon enough.
        """
        if self.refills or not self._is_paced:
            self.refused_rate, self.refused_at = self.rate(now, burst) / callers, now

    def lost(self) -> None:
        """Note that a call got no answer: where others wait for it, the next one may try."""
        self.probe_until = 0.0

    def rate(self, now: float, burst: Burst) -> float:
        """Return how many calls a second may start now."""
        rate = _usable(burst)
        if not self._is_paced:
            doublings = min((now - self.known_since) / RAMP_DOUBLES_SECONDS, 30.0)
            rate = min(rate, max(RAMP_LEAST_PER_SECOND, rate * RAMP_SHARE) * 2**doublings)
        elif self.refills:
            rate = min(rate, _usable(Burst(self.limit, self.seconds)))
        else:
            rate = min(rate, HEADROOM * self.limit / self.seconds)
            if self.ends_at > now and self._is_shared:
                rate = min(rate, max(1.0, self._room_left(now)) / (self.ends_at - now))
        if self.refused_rate:
            calm = max(0.0, now - max(self.refused_at, self.closed_until))
            rate = min(rate, self.refused_rate * (1 + CUT_SHARE * (calm / REGROW_SECONDS - 1) ** 3))
        # One call every ten seconds still finds out whether things are better.
        return max(0.1, rate)

    @property
    def _is_paced(self) -> bool:
        return bool(self.limit) and self.seconds <= SHORT_SECONDS

    @property
    def _is_shared(self) -> bool:
        return self.first_room - self.room > OTHERS_SHARE * self.limit

    def _room_left(self, now: float) -> float:
        if not self.limit or self.ends_at <= now or (self.refills and self._is_paced):
            return self.limit or math.inf
        room = self.room - self.issued
        if self._is_shared:
            seconds = max(now - self.first_seen_at, 0.25 * self.seconds)
            room -= SPARE_CALLS + TRAVEL_SECONDS * (self.first_room - self.room) / seconds
        return room

    def _probe(self, now: float) -> Grant:
        if self.probe_until > now:
            return Grant(min(self.probe_until, now + PROBE_LOOK_SECONDS), 0, 0)
        self.probe_until, self.next_slot_at = now + PROBE_SECONDS, now
        return self._grant(now, 1)

    def _grant(self, at: float, calls: int) -> Grant:
        first = int(self.issued) + 1
        self.issued += calls
        return Grant(at, calls, first)

    def _forget(self, *, closed_until: float) -> None:
        fresh = Pace(
            series=self.series, issued=self.issued, closed_until=closed_until, cut_ticket=self.issued
        )
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def _close(
        self, ticket: int, headers: Mapping[str, str], now: float, burst: Burst, *, used_up: bool
    ) -> None:
        wait = retry_after_seconds(headers, now)
        if ticket > self.cut_ticket:  # the first refusal of the calls under way
            self.cut_ticket = self.issued
            if not wait:
                wait = min(max(BACKOFF_BASE_SECONDS, 2 * self.backoff_seconds), BACKOFF_CAP_SECONDS)
                self.backoff_seconds = wait
            # A window that is used up says nothing about the rate, unless it refills.
            if self.refills or not self.limit or not (self._is_paced or used_up):
                rate = self.rate(now, burst)
                known = 0.0 if self._is_paced else self.accepted / GUESSED_SECONDS
                self.refused_rate, self.refused_at = min(rate, known or rate), now
        self.closed_until = max(self.closed_until, now + (wait or 0.0))

    def _learn_window(self, ticket: int, seen: Window, now: float) -> None:
        if seen.limit != self.limit:
            self.limit, self.seconds = float(seen.limit), GUESSED_SECONDS
            self.refills = self.ends_at = 0.0
        self.seconds = max(self.seconds, float(int(seen.left_seconds + 0.1)))
        ends_at, room = now + seen.left_seconds, float(ticket + seen.remaining)
        later, gained = ends_at - self.ends_at, (seen.remaining - self.remaining) / seen.limit
        if gained > 0.5:
            self.refills = 0.0  # all at once, as fixed windows do
        if later > 0.5 and (gained > 0.15 or later > 0.9 * self.seconds):
            if gained > 0.15 and not self.refills and later <= GUESSED_SECONDS:
                self.seconds = min(self.seconds, max(1.0, float(round(later))))
            self.ends_at, self.first_seen_at = ends_at, now
            self.room = self.first_room = self.least_room = room
        elif later < -0.5 and (seen.exact or room < self.room - 0.5 * seen.limit):
            return  # an answer from the window before
        else:
            # Seconds left are rounded up: the earliest end that they name is the nearest to the truth.
            self.ends_at = ends_at if seen.exact else min(self.ends_at, ends_at)
            self.room, self.least_room = room, min(self.least_room, room)
            if room > self.least_room + max(3.0, REFILL_SHARE * seen.limit):
                self.refills, self.seconds = 1.0, max(self.seconds, GUESSED_SECONDS)
        self.remaining = float(seen.remaining)


# How `adopt` converts each field: not at all, as a call number, or as a time. All others are rates, durations or flags.
_OWN = frozenset({"series", "issued"})
_TICKETS = frozenset({"cut_ticket", "room", "first_room", "least_room"})
_TIMES = frozenset(
    {
        "next_slot_at",
        "known_since",
        "answered_at",
        "probe_until",
        "closed_until",
        "refused_at",
        "ends_at",
        "first_seen_at",
    }
)


def _usable(burst: Burst) -> float:
    """Return a rate that neither a sliding nor an undocumented window refuses."""
    usable = HEADROOM * burst.requests
    return max(0.5 * usable, min(usable, burst.requests - SPARE_CALLS)) / burst.seconds
