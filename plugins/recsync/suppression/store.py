"""The suppression list of one program."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.suppression.suppression_list import Suppression

_NAME = "suppression.json"
_SALT_BYTES = 32


@dataclass(frozen=True)
class SuppressionStore:
    """The list as one object on S3; it only grows, and only by conditional writes."""

    bucket: Bucket
    keys: Keys

    def read(self) -> Suppression:
        """Read the list; empty before the first erasure."""
        return self._read()[0]

    def add(self, user_ids: Iterable[str] = (), external_ids: Iterable[str] = ()) -> Suppression:
        """Add one person; adding again changes nothing.

        :returns: the list as it is now, with its key also when it was empty.
        """
        users, people = list(user_ids), list(external_ids)
        while True:
            listed, etag = self._read()
            salted = listed if listed.salt else replace(listed, salt=secrets.token_bytes(_SALT_BYTES))
            changed = salted.having(users, people)
            if changed == listed:
                return listed
            body = json.dumps(changed.to_json(), indent=1).encode()
            if self.bucket.put_if(self.keys.state(_NAME), body, etag=etag):
                return changed

    def _read(self) -> tuple[Suppression, str | None]:
        body, etag = self.bucket.get_with_etag(self.keys.state(_NAME))
        return (Suppression.from_json(json.loads(body)) if body else Suppression()), etag
