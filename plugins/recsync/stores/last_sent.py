"""The last-sent state: what Braze was last told, per user, as a fingerprint.

A base object plus one part per flush: a delivery that is killed loses at most the part it had not
written yet, and those users are sent again. The base names the parts that it holds, so a part that could
not be deleted after a compaction is never applied twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from recsync.core.delivery import Write
from recsync.core.keys import Keys
from recsync.stores.bucket import Bucket

_SCHEMA = pa.schema([("external_id", pa.string()), ("fingerprint", pa.string())])
_ABSORBED = b"recsync.absorbed_parts"
_FOLDER = "last_sent/"


@dataclass(frozen=True)
class LastSent:
    """The last-sent state of one program."""

    bucket: Bucket
    keys: Keys

    def read(self) -> dict[str, str]:
        """Read the fingerprint of everyone who has the attribute now."""
        state, _ = self._read_base()
        for key in self._parts():
            _apply(state, self.bucket.get_table(key))
        return state

    def append(self, part: str, writes: Iterable[Write]) -> None:
        """Note accepted writes.

        :param part: name that sorts after every part written before.
        """
        rows = [{"external_id": w.external_id, "fingerprint": w.fingerprint} for w in writes]
        if rows:
            self.bucket.put_table(
                f"{self._prefix}parts/{part}.parquet", pa.Table.from_pylist(rows, schema=_SCHEMA)
            )

    def compact(self) -> None:
        """Merge the parts into the base, then delete them."""
        parts = self._parts()
        if not parts:
            return
        state = self.read()
        table = pa.Table.from_pydict(
            {"external_id": list(state), "fingerprint": list(state.values())}, schema=_SCHEMA
        ).replace_schema_metadata({_ABSORBED: "\n".join(parts).encode()})
        self.bucket.put_table(self._base, table)
        for key in parts:
            self.bucket.delete(key)

    @property
    def _prefix(self) -> str:
        return self.keys.state(_FOLDER)

    @property
    def _base(self) -> str:
        return f"{self._prefix}base.parquet"

    def _read_base(self) -> tuple[dict[str, str], frozenset[str]]:
        table = self.bucket.get_table(self._base)
        if table is None:
            return {}, frozenset()
        state: dict[str, str] = {}
        _apply(state, table)
        metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
        return state, frozenset(metadata.get(_ABSORBED, b"").decode().split("\n"))

    def _parts(self) -> list[str]:
        _, absorbed = self._read_base()
        return [key for key in self.bucket.keys(f"{self._prefix}parts/") if key not in absorbed]


def _apply(state: dict[str, str], table: pa.Table | None) -> None:
    if table is None:
        return
    pairs = zip(table["external_id"].to_pylist(), table["fingerprint"].to_pylist(), strict=True)
    for external_id, digest in pairs:
        if digest is None:
            state.pop(external_id, None)
        else:
            state[external_id] = digest
