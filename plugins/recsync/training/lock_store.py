"""The lease of a dataset group: which run may import, train or delete in it now."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

_NAME = "lease.json"


@dataclass(frozen=True)
class Holder:
    """A DAG run that holds the lease.

    :param since: ISO 8601.
    """

    dag_id: str
    run_id: str
    since: str = ""

    def same_run(self, other: Holder) -> bool:
        """Tell whether both are the same run, whenever it took the lease."""
        return (self.dag_id, self.run_id) == (other.dag_id, other.run_id)

    def __str__(self) -> str:
        return f"run {self.run_id} of {self.dag_id}, since {self.since}"


@dataclass(frozen=True)
class LeaseStore:
    """The lease of one program's dataset group; changed only by conditional writes, so one of two runs gets it."""

    bucket: Bucket
    keys: Keys

    def read(self) -> tuple[Holder | None, str | None]:
        """Read who took the lease last, and the ETag that a change must name."""
        body, etag = self.bucket.get_with_etag(self._key)
        return (Holder(**json.loads(body)) if body else None), etag

    def replace(self, holder: Holder, etag: str | None) -> bool:
        """Write the holder; False when another run was faster."""
        body = json.dumps(asdict(holder), indent=1).encode()
        return self.bucket.put_if(self._key, body, etag=etag) is not None

    @property
    def _key(self) -> str:
        return self.keys.state(_NAME)
