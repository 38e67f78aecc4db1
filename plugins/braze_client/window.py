"""What is known of the window that Braze counts calls in: its limit, its length, what is left of it and who uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from braze_client.headers import Window

# Braze's bursts are counted over 3 s, and that is the first guess at a window's length.
# https://www.braze.com/docs/api/endpoints/user_data/post_user_track/#rate-limit
GUESSED_SECONDS = 3.0
# A window no longer than this is paced evenly: pacing costs little then, and running into its end costs much.
SHORT_SECONDS = 5.5
# How much of a limit is used: latency that changes from call to call moves some calls into the next window.
HEADROOM = 0.98
# Where windows slide or are not announced, a call that moves can always be one too many: so many calls stay unused.
SPARE_CALLS = 2
# A share of the room that falls without our calls shows other callers; less is noise of calls that overtake another.
OTHERS_SHARE = 0.05
LEAST_SHARE = 0.05
# Every share grows by the same little step, so that small ones catch up; what that is too much for two or three
# callers together is left free in turn.
SHARE_STEP = 0.01
SHARED_HEADROOM = 0.93
# The room in a window is smoothed over about ten answers: single ones are off by calls that overtook another.
# With other callers it falls by itself, and an old value is worse than a rough one.
ROOM_WEIGHT = 0.1
ROOM_WEIGHT_SHARED = 0.4
# What others use is judged so often, in windows; and is expected to go on for as long as an answer travels.
SHARE_EVERY = 0.25
TRAVEL_SECONDS = 0.1


class Burst(NamedTuple):
    """What the contract allows in a short window."""

    requests: float
    seconds: float


@dataclass(slots=True)
class LearnedWindow:
    """Know one window; times are epoch seconds, rates calls per second, flags 0 or 1.

    "Room" is the number of the last ticket that fits the window. It stays the same while a fixed window lasts,
    falls when others call, and rises where windows slide or tokens come back.
    """

    limit: float = 0.0
    longest_left_seconds: float = 0.0
    shortest_seconds: float = 0.0
    refills: float = 0.0
    share: float = 1.0
    others_rate: float = 0.0
    ends_at: float = 0.0
    first_seen_at: float = 0.0
    last_seen_at: float = 0.0
    first_room: float = 0.0
    least_room: float = 0.0
    room: float = 0.0
    remaining: float = 0.0

    @property
    def seconds(self) -> float:
        """Length of the window: whole seconds, and the end of one may be rounded up to a second."""
        return self.shortest_seconds or max(GUESSED_SECONDS, float(int(self.longest_left_seconds + 0.1)))

    @property
    def is_long(self) -> bool:
        """Whether calls run freely in it until it is used up."""
        return self.seconds > SHORT_SECONDS

    @property
    def is_paced(self) -> bool:
        """Whether it is announced and short, so that calls are spread over it evenly."""
        return bool(self.limit) and not self.is_long

    def target(self, burst: Burst) -> float:
        """Say how many calls a second the contract allows, alone and never refused."""
        if self.is_paced:
            burst = min(burst, Burst(self.limit, self.seconds), key=lambda b: b.requests / b.seconds)
        usable = HEADROOM * burst.requests
        if not self.is_paced or self.refills:
            usable = max(0.5 * usable, min(usable, burst.requests - SPARE_CALLS))
        return usable / burst.seconds

    def room_left(self, now: float, issued: float) -> float:
        """Say how many more calls fit; infinite when no header told."""
        if not self.limit or self.ends_at <= now or (self.refills and not self.is_long):
            return self.limit or float("inf")
        margin = float(int(0.005 * self.limit)) if self.is_long else self.others_rate * TRAVEL_SECONDS
        return self.room - margin - issued

    def learn(self, ticket: int, seen: Window, now: float, burst: Burst) -> None:
        """Take in what the answer to a ticket said."""
        if seen.limit != self.limit:
            self.limit, self.share = float(seen.limit), 1.0
            self.longest_left_seconds = self.shortest_seconds = self.refills = self.ends_at = 0.0
        self.longest_left_seconds = max(self.longest_left_seconds, seen.left_seconds)
        ends_at, room = now + seen.left_seconds, float(ticket + seen.remaining)
        later = ends_at - self.ends_at
        jumped = seen.remaining > self.remaining + 0.15 * seen.limit
        if seen.remaining > self.remaining + 0.5 * seen.limit:
            self.refills = 0.0  # all at once, as fixed windows do
        if later > (0.5 if seen.exact or jumped else 1.5):
            if jumped and not self.refills and self.ends_at and 0.5 < later <= SHORT_SECONDS:
                length = max(1.0, float(round(later)))
                self.shortest_seconds = min(self.shortest_seconds or length, length)
            self._settle_share(burst)
            self.ends_at, self.first_seen_at = ends_at, now
            self.room = self.first_room = self.least_room = room
        elif later < -0.5 and seen.exact:
            return  # an answer from the window before
        else:
            # Seconds left are rounded up: the earliest end that they name is the nearest to the truth.
            self.ends_at = min(self.ends_at, ends_at)
            self.room += (ROOM_WEIGHT_SHARED if self.share < 1 else ROOM_WEIGHT) * (room - self.room)
            self.least_room = min(self.least_room, self.room)
            if self.room > self.least_room + max(3.0, 0.05 * seen.limit):
                # A fixed window never gives back.
                self.refills, self.shortest_seconds = 1.0, 0.0
            if now - self.first_seen_at > SHARE_EVERY * self.seconds:
                self._settle_share(burst)
        self.remaining, self.last_seen_at = float(seen.remaining), now

    def _settle_share(self, burst: Burst) -> None:
        """Judge what passed of a window: the room that went without our calls was taken by others."""
        span = self.last_seen_at - self.first_seen_at
        if self.is_long or self.refills or span < 0.8 * SHARE_EVERY * self.seconds:
            return
        target = self.target(burst)
        fallen = self.first_room - self.room
        self.first_seen_at, self.first_room = self.last_seen_at, self.room
        if fallen < 1.5 or fallen <= OTHERS_SHARE * target * span:
            self.share, self.others_rate = min(1.0, self.share + 0.03), 0.5 * self.others_rate
            return
        self.others_rate = fallen / span
        mine = target * self.share
        # Everybody in proportion to the rate asked for, half way at a time.
        fair = SHARED_HEADROOM * mine / (mine + self.others_rate)
        self.share = min(1.0, max(LEAST_SHARE, 0.5 * self.share + 0.5 * fair + SHARE_STEP))
