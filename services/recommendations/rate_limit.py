"""Limit the requests of each API key, over all workers: counters of the library ``limits`` in an LMDB file."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import lmdb
from limits import RateLimitItem
from limits.storage import Storage

_COUNTER = struct.Struct("<qd")
_MAP_BYTES = 64 * 1024**2


class LmdbStorage(Storage):
    """Counters that several processes of one machine share.

    A crash may lose counts of the last moments, never more.
    """

    STORAGE_SCHEME = ["lmdb"]  # ruff: ignore[mutable-class-default] - as the library declares it

    def __init__(self, folder: Path) -> None:
        """Open the file, and create it if it is missing."""
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self._environment = lmdb.open(
            str(folder), map_size=_MAP_BYTES, writemap=True, sync=False, metasync=False
        )

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the class of LMDB's errors."""
        return lmdb.Error

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a counter, which begins anew when its window is over."""
        now = time.time()
        with self._environment.begin(write=True) as txn:
            count, until = self._counter(txn, key)
            if now >= until:
                count, until = 0, now + expiry
            txn.put(key.encode(), _COUNTER.pack(count + amount, until))
        return count + amount

    def get(self, key: str) -> int:
        """Return a counter."""
        with self._environment.begin() as txn:
            count, until = self._counter(txn, key)
        return count if time.time() < until else 0

    def get_expiry(self, key: str) -> float:
        """Return when a counter's window ends, in seconds since 1970."""
        with self._environment.begin() as txn:
            return max(self._counter(txn, key)[1], time.time())

    def check(self) -> bool:
        """Return whether the file can be read."""
        return bool(self._environment.stat())

    def reset(self) -> int:
        """Delete all counters, and return how many there were."""
        with self._environment.begin(write=True) as txn:
            entries = int(txn.stat()["entries"])
            txn.drop(self._environment.open_db(None, txn=txn), delete=False)
        return entries

    def clear(self, key: str) -> None:
        """Delete one counter."""
        with self._environment.begin(write=True) as txn:
            txn.delete(key.encode())

    def close(self) -> None:
        """Close the file."""
        self._environment.close()

    @staticmethod
    def _counter(txn: lmdb.Transaction, key: str) -> tuple[int, float]:
        found = txn.get(key.encode())
        return _COUNTER.unpack(found) if found else (0, 0.0)


class KeyLimits:
    """The limits of API keys."""

    def __init__(self, folder: Path) -> None:
        """Count in a folder that all workers share."""
        self._storage = LmdbStorage(folder)

    def wait_seconds(self, limit: RateLimitItem, counter: str, cost: int) -> float | None:
        """Count a request; return how long to wait when it is one too many, None otherwise.

        As ``FixedWindowRateLimiter.hit`` of the library, which puts the counter's name together in each call.

        :param counter: ``limit.key_for`` the API key.
        """
        if self._storage.incr(counter, limit.get_expiry(), cost) <= limit.amount:
            return None
        return max(self._storage.get_expiry(counter) - time.time(), 0.0)

    def close(self) -> None:
        """Close the counters."""
        self._storage.close()
