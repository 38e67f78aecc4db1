"""The ledger of a program on S3: one object a month, changed only by conditional writes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from recsync.costs.ledger import Month
from recsync.errors import FatalError
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MoneyStore:
    """What one program used, by month."""

    bucket: Bucket
    keys: Keys

    def months(self) -> list[str]:
        """Name the months that have a ledger, oldest first."""
        prefix = self.keys.money("").removesuffix(".json")
        return [key.removeprefix(prefix).removesuffix(".json") for key in self.bucket.keys(prefix)]

    def read(self, month: str) -> Month:
        """Read one month; empty when nothing was used."""
        return self._read(month)[0]

    def change(self, month: str, change: Callable[[Month], Month]) -> Month:
        """Change one month; what another run books meanwhile is kept.

        :param change: gives the new month for the present one; may be called more than once.
        """
        while True:
            found, etag = self._read(month)
            changed = change(found)
            if changed == found:
                return found
            body = json.dumps(changed.to_json(), indent=1, sort_keys=True).encode()
            if self.bucket.put_if(self.keys.money(month), body, etag=etag):
                return changed
            log.info("The ledger of %s was changed by another run just now; looking again.", month)

    def _read(self, month: str) -> tuple[Month, str | None]:
        key = self.keys.money(month)
        body, etag = self.bucket.get_with_etag(key)
        try:
            return Month.from_json(json.loads(body) if body else None), etag
        except (ValueError, KeyError, TypeError) as error:
            raise FatalError(
                f"{self.bucket.uri(key)} is no ledger ({error!r}); restore it, or delete it and run `make costs`, "
                "which books anew what Amazon Personalize and the deliveries still show."
            ) from None
