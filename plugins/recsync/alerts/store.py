"""When each destination was last told of one thing, so that it is not told again too soon."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys


@dataclass(frozen=True)
class Told:
    """What was sent last about one thing.

    :param at: when, ISO 8601.
    :param held_back: how many messages about it came too soon after that one and were not sent.
    """

    about: str
    at: str
    held_back: int = 0


@dataclass(frozen=True)
class Claim:
    """The right to send one message.

    :param former: what was sent before; None when this is the first.
    """

    key: str
    former: Told | None


@dataclass(frozen=True)
class AlertState:
    """What people were told of one program."""

    bucket: Bucket
    keys: Keys

    def claim(self, destination: str, about: str, distance: timedelta, now: datetime) -> Claim | None:
        """Take the right to send; of two processes that tell the same thing at once, one gets it.

        :param about: what the message is about; as long as this is the same, messages keep the distance.
        :returns: None when the last message is nearer than the distance; it is counted as held back.
        """
        key = self.keys.alert(blake2b(f"{destination}\n{about}".encode(), digest_size=12).hexdigest())
        body, etag = self.bucket.get_with_etag(key)
        former = Told(**json.loads(body)) if body else None
        if former and now - datetime.fromisoformat(former.at) < distance:
            held = Told(former.about, former.at, former.held_back + 1)
            self.bucket.put_if(key, _json(held), etag=etag)
            return None
        return (
            Claim(key, former)
            if self.bucket.put_if(key, _json(Told(about, now.isoformat())), etag=etag)
            else None
        )

    def give_back(self, claim: Claim) -> None:
        """Undo a claim whose message could not be sent: the next one is to be sent at once."""
        if claim.former:
            self.bucket.put(claim.key, _json(claim.former))
        else:
            self.bucket.delete(claim.key)


def _json(told: Told) -> bytes:
    return json.dumps(asdict(told)).encode()
