"""What exports found: a report per exported object, the rows they left out, and the ids they hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsync.program import DatasetType
from recsync.program.intervals import parse_key
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

_THREADS = 8
# What one process wrote lately, to compare with: three datasets of hourly intervals for a week are 504.
_REMEMBERED = 600
_JSON, _HTML, _JSON_LINES, _IDS = ".json", ".html", ".jsonl", ".u64"


@dataclass(frozen=True)
class Reports:
    """The reports of one program's exports; each lies beside the object it is about."""

    bucket: Bucket
    keys: Keys
    _written: OrderedDict[str, dict[str, Any]] = field(default_factory=OrderedDict, repr=False, compare=False)

    def path_of(self, exported: str) -> str:
        """Give the key of the report about an exported object."""
        return self.keys.companion(exported, "reports", _JSON)

    def put(self, exported: str, report: dict[str, Any], page: str) -> None:
        """Keep a report, as JSON and as a page."""
        self._written[self.path_of(exported)] = report
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)
        self.bucket.put_json(self.path_of(exported), report)
        self.bucket.put(self.keys.companion(exported, "reports", _HTML), page.encode())

    def get(self, path: str) -> dict[str, Any] | None:
        """Read one report by its key; None when there is none."""
        document: dict[str, Any] | None = self.bucket.get_json(path)
        return document

    def get_many(self, paths: Iterable[str]) -> list[dict[str, Any]]:
        """Read those of the reports that are there; what this process wrote is not read back."""
        with ThreadPoolExecutor(_THREADS) as threads:
            found = threads.map(lambda path: self._written.get(path) or self.get(path), paths)
            return [report for report in found if report]

    def newest(self, limit: int) -> list[str]:
        """List the keys of the newest reports, of intervals and snapshots, newest first by what they are about."""
        intervals = [
            key
            for kind in DatasetType
            for key in self.bucket.keys(self.keys.export_companions(kind, "reports"))
        ]
        snapshots = [key for key in self.bucket.keys(self.keys.all_full) if "/reports/" in key]
        found = [key for key in intervals + snapshots if key.endswith(_JSON)]
        return sorted(found, key=_moment_of, reverse=True)[:limit]

    def full_reports(self, kind: DatasetType) -> list[str]:
        """List the keys of the reports about one dataset's snapshots, newest first."""
        name = f"/reports/{kind.folder}{_JSON}"
        return sorted((k for k in self.bucket.keys(self.keys.all_full) if k.endswith(name)), reverse=True)

    def quarantine_key(self, exported: str) -> str:
        """Give the key of the rows that were left out of an exported object."""
        return self.keys.companion(exported, "quarantine", _JSON_LINES)

    def put_quarantine(self, exported: str, path: Path | None) -> str | None:
        """Keep the rows that were left out; none leave nothing, also not of an earlier try.

        :returns: the key; None when no row was left out.
        """
        key = self.quarantine_key(exported)
        if path is None:
            self.bucket.delete(key)
            return None
        self.bucket.upload(key, path)
        return key

    def put_ids(self, exported: str, ids: NDArray[np.uint64], *, of: DatasetType | None = None) -> None:
        """Keep the hashes of a dataset's ids, so that other datasets can be checked against them.

        :param of: the dataset whose ids interactions hold; None: the object's own.
        """
        key = self.keys.companion(exported, "ids", _suffix(of))
        if len(ids):
            self.bucket.put(key, ids.astype("<u8").tobytes())
        else:
            self.bucket.delete(key)

    def ids(self, exported: str, *, of: DatasetType | None = None) -> NDArray[np.uint64] | None:
        """Read the hashes of one object's ids; None when there are none."""
        return self._ids(self.keys.companion(exported, "ids", _suffix(of)))

    def keep_ids(self, exported: str, digest: str) -> None:
        """Copy an object's id hashes under its digest, because the next export of the interval overwrites them.

        :param digest: of the object's rows.
        """
        ids = self.ids(exported)
        if ids is not None:
            self.bucket.put(self._kept(exported, digest), ids.tobytes())

    def kept_ids(self, exported: str, digest: str) -> NDArray[np.uint64] | None:
        """Read the id hashes that :meth:`keep_ids` copied for a digest; None when there is no copy."""
        return self._ids(self._kept(exported, digest))

    def _kept(self, exported: str, digest: str) -> str:
        return self.keys.companion(exported, "imported", f".{digest}{_IDS}")

    def ids_since(
        self, kind: DatasetType, start: datetime, *, of: DatasetType | None = None
    ) -> list[NDArray[np.uint64]]:
        """Read the hashes of the ids of all intervals that begin at ``start`` or later."""
        prefix, suffix = self.keys.export_companions(kind, "ids"), _suffix(of)
        named = [key for key in self.bucket.keys(prefix) if key.endswith(suffix)]
        names = [(key, key.removeprefix(prefix).removesuffix(suffix)) for key in named]
        with ThreadPoolExecutor(_THREADS) as threads:
            found = threads.map(self._ids, [key for key, name in names if parse_key(name) >= start])
            return [ids for ids in found if ids is not None]

    def _ids(self, key: str) -> NDArray[np.uint64] | None:
        body = self.bucket.get(key)
        return None if body is None else np.frombuffer(body, dtype="<u8")


def _suffix(of: DatasetType | None) -> str:
    return f".{of.folder}{_IDS}" if of else _IDS


def _moment_of(path: str) -> str:
    """Sort by what stands in the key: an interval's start or a run's time, both digits of a date first."""
    parts = path.split("/")
    moment = parts[-1] if parts[1] == "exports" else parts[2]
    return "".join(c for c in moment if c.isdigit())[:12]
