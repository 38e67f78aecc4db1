"""The object index of erasures: which objects of a program may name a person, by the hashes of the ids in them.

One Parquet object: a row per object, with its ETag, its sorted hashes and the mark of the erasure that read it last.
The next sweep reads objects that are new or rewritten, so writers need not update the index. Hashes have 40 bits: for
1,000 people and objects of a million ids, one object in a thousand is read in vain (computed), and none is missed.
"""

from __future__ import annotations

import logging
from collections.abc import Container
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.storage.bucket import Bucket
from recsync.storage.hashes import Hashes

log = logging.getLogger(__name__)

_BITS = 40
_SCHEMA = pa.schema(
    [("key", pa.string()), ("etag", pa.string()), ("mark", pa.string()), ("ids", pa.list_(pa.int64()))]
)
# To be raised whenever recsync.forget.object_ids finds other ids than before: an index of another version is not used.
_VERSION = b"1"
_VERSION_KEY = b"recsync.erasure_index"


@dataclass
class ObjectIndex:
    """The index of one program, for the people of one erasure.

    :param key: of the index itself.
    :param probes: hashes of the people.
    :param mark: of the erasure, which skips objects with its mark: it has read them. Empty: the index is only read.
    """

    bucket: Bucket
    key: str
    probes: Hashes
    mark: str = ""
    _kept: pa.Table = field(init=False)
    _rows: dict[str, tuple[str, bool]] = field(init=False)
    _new: dict[str, tuple[str, NDArray[np.int64] | None]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._kept = self._read()
        keys, etags = self._kept["key"].to_pylist(), self._kept["etag"].to_pylist()
        unknown = pc.is_null(self._kept["ids"]).to_numpy()
        mine = (
            pc.equal(self._kept["mark"], self.mark).to_numpy() if self.mark else np.zeros(len(keys), np.bool_)
        )
        may = ((_rows_with(self._kept["ids"], _shortened(self.probes)) | unknown) & ~mine).tolist()
        self._rows = {key: (etag, hit) for key, etag, hit in zip(keys, etags, may, strict=True)}

    def may_hold(self, key: str, etag: str) -> bool:
        """Return whether an object may hold one of the people."""
        known, hit = self._rows.get(key, ("", True))
        return hit or known != etag

    def put(self, key: str, etag: str, ids: Hashes | None) -> None:
        """Record the ids in one version of an object, from which the people are erased.

        :param ids: None if unknown or too many.
        """
        with self._lock:
            self._new[key] = (etag, None if ids is None else _shortened(ids))

    def move(self, source: str, target: str, etag: str) -> None:
        """Record that ``target`` was replaced by a copy of ``source``."""
        with self._lock:
            _, ids = self._new.pop(source, ("", None))
            saved = self._kept.filter(pc.field("key") == source)["ids"]
            if ids is None and len(saved) and saved[0].is_valid:
                ids = saved[0].values.to_numpy()
            self._new[target] = (etag, ids)

    def save(self, present: Container[str]) -> None:
        """Write the index.

        :param present: keys of existing objects; others are dropped from the index.
        """
        with self._lock:
            new = self._new
            kept = [key in present and key not in new for key in self._kept["key"].to_pylist()]
            rows = {
                "key": list(new),
                "etag": [etag for etag, _ in new.values()],
                "mark": [self.mark] * len(new),
                "ids": _lists([ids for _, ids in new.values()]),
            }
            self._kept = pa.concat_tables(
                [self._kept.filter(pa.array(kept, pa.bool_())), pa.table(rows, schema=_SCHEMA)]
            )
            self._rows |= {key: (etag, False) for key, (etag, _) in new.items()}
            self._new = {}
            sink = BytesIO()
            pq.write_table(
                self._kept.replace_schema_metadata({_VERSION_KEY: _VERSION}),
                sink,
                compression="zstd",
                use_dictionary=False,
                column_encoding={"ids.list.element": "DELTA_BINARY_PACKED"},
            )
        self.bucket.put(self.key, sink.getvalue())

    def _read(self) -> pa.Table:
        body = self.bucket.get(self.key)
        try:
            if body is not None:
                table = pq.read_table(BytesIO(body))
                if (table.schema.metadata or {}).get(_VERSION_KEY) == _VERSION:
                    return table.cast(_SCHEMA)
        except (pa.ArrowInvalid, ValueError):
            log.warning(
                "%s is damaged: this erasure reads every object and writes a new index.",
                self.bucket.uri(self.key),
            )
        return _SCHEMA.empty_table()


def _shortened(hashes: Hashes) -> NDArray[np.int64]:
    """Return the upper 40 bits, sorted and distinct."""
    return np.unique((hashes >> np.uint64(64 - _BITS)).astype(np.int64))


def _lists(arrays: list[NDArray[np.int64] | None]) -> pa.ListArray:
    found = [np.empty(0, np.int64) if each is None else each for each in arrays]
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in found])]).astype(np.int32)
    values = pa.array(np.concatenate([*found, np.empty(0, np.int64)]), pa.int64())
    unknown = pa.array([each is None for each in arrays], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=unknown)


def _rows_with(lists: pa.ChunkedArray, probes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which lists contain one of the probes."""
    found = []
    for chunk in lists.chunks:
        hits = np.flatnonzero(np.isin(chunk.flatten().to_numpy(), probes))
        offsets = chunk.offsets.to_numpy()
        rows = np.zeros(len(chunk), np.bool_)
        rows[np.searchsorted(offsets, hits + offsets[0], side="right") - 1] = True
        found.append(rows)
    return np.concatenate([*found, np.zeros(0, np.bool_)])
