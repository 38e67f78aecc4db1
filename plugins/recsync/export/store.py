"""What exports keep on S3: published objects and their manifests, reports, quarantined rows and hashed ids."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsync.errors import FatalError, RetriableError
from recsync.export.manifest import ExportedObject, Manifest
from recsync.program import DatasetType
from recsync.program.intervals import KEY_FORMAT, parse_key
from recsync.storage.bucket import Bucket
from recsync.storage.hash_files import HashFile, union
from recsync.storage.keys import Keys

_THREADS = 8
# Reports that this process wrote, to compare with: 3 datasets of hourly intervals for a week are 504.
_REMEMBERED = 600
_JSON, _HTML, _JSON_LINES, _IDS = ".json", ".html", ".jsonl", ".u64"


@dataclass(frozen=True)
class ReportStore:
    """The reports of one program's exports, each next to its object."""

    bucket: Bucket
    keys: Keys
    shared: ClassVar[str] = "data"
    _written: OrderedDict[str, dict[str, Any]] = field(default_factory=OrderedDict, repr=False, compare=False)

    def path_of(self, exported: str) -> str:
        """Return the key of the report about an exported object."""
        return self.keys.companion(exported, "reports", _JSON)

    def put(self, exported: str, report: dict[str, Any], page: str) -> None:
        """Store a report as JSON and as a page."""
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
        """Read the reports that exist; those that this process wrote come from memory."""
        with ThreadPoolExecutor(_THREADS) as threads:
            found = threads.map(lambda path: self._written.get(path) or self.get(path), paths)
            return [report for report in found if report]

    def newest(self, limit: int) -> list[str]:
        """List the keys of the newest reports of intervals and snapshots, newest interval or run first."""
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

    def put_quarantine(self, exported: str, path: Path | None) -> str | None:
        """Store the quarantined rows; without any, delete those of an earlier try.

        :returns: the key; None without rows.
        """
        key = self.keys.companion(exported, "quarantine", _JSON_LINES)
        if path is None:
            self.bucket.delete(key)
            return None
        self.bucket.upload(key, path)
        return key

    def put_ids(self, exported: str, ids: NDArray[np.uint64], *, of: DatasetType | None = None) -> None:
        """Store the hashes of a dataset's ids, to check other datasets against.

        :param of: the dataset of the ids, when they are ids of interactions; None: the object's own.
        """
        key = self.keys.companion(exported, "ids", _suffix(of))
        if len(ids):
            self.bucket.put(key, ids.astype("<u8").tobytes())
        else:
            self.bucket.delete(key)

    def upload_ids(self, exported: str, path: Path, *, of: DatasetType | None = None) -> None:
        """Store a file of hashed ids; an empty one deletes what an earlier try stored.

        :param of: as in :meth:`put_ids`.
        """
        key = self.keys.companion(exported, "ids", _suffix(of))
        if path.stat().st_size:
            self.bucket.upload(key, path)
        else:
            self.bucket.delete(key)

    def keeps_ids(self, exported: str, *, of: DatasetType | None = None) -> bool:
        """Return whether hashed ids of an object are stored."""
        return self.bucket.size_bytes(self.keys.companion(exported, "ids", _suffix(of))) is not None

    def download_ids(
        self, exported: Sequence[str], path: Path, *, of: DatasetType | None = None
    ) -> HashFile | None:
        """Read the hashed ids of some objects into one file; None when no object has any.

        :param exported: keys of the objects.
        :param path: file to write.
        """

        def download(numbered: tuple[int, str]) -> Path | None:
            part = path.with_name(f"{path.name}.{numbered[0]}")
            key = self.keys.companion(numbered[1], "ids", _suffix(of))
            return part if self.bucket.download_if_there(key, part) else None

        with ThreadPoolExecutor(_THREADS) as threads:
            parts = [part for part in threads.map(download, enumerate(exported)) if part]
        return union(path, parts) if parts else None

    def exported_since(
        self, kind: DatasetType, start: datetime, *, of: DatasetType | None = None
    ) -> list[str]:
        """List the objects with hashed ids of the intervals that begin at ``start`` or later."""
        prefix, suffix = self.keys.export_companions(kind, "ids"), _suffix(of)
        names = [
            key.removeprefix(prefix).removesuffix(suffix)
            for key in self.bucket.keys(prefix)
            if key.endswith(suffix)
        ]
        return [self.keys.export(kind, name) for name in names if parse_key(name) >= start]

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

    def _ids(self, key: str) -> NDArray[np.uint64] | None:
        body = self.bucket.get(key)
        return None if body is None else np.frombuffer(body, dtype="<u8")


def _suffix(of: DatasetType | None) -> str:
    return f".{of.folder}{_IDS}" if of else _IDS


def _moment_of(path: str) -> str:
    """Return the start of the interval, or the time of the run, that is in the key."""
    parts = path.split("/")
    moment = parts[-1] if parts[1] == "exports" else parts[2]
    return "".join(c for c in moment if c.isdigit())[:12]


log = logging.getLogger(__name__)

# Within boto3's default pool of 10 connections.
THREADS = 8
_JSON = ".json"
_BLOCK_BYTES = 4 * 1024 * 1024
# CopyObject takes 5 GB: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
_COPY_IN_PARTS_BYTES = 5_000_000_000


@dataclass(frozen=True)
class ExportStore:
    """The exports of one program."""

    bucket: Bucket
    keys: Keys
    shared: ClassVar[str] = "data"

    def publish_interval(self, manifest: Manifest) -> Manifest:
        """Make an interval visible to imports.

        Two runs may export one interval at the same time. The run that wrote an object last publishes it: an object
        overwritten by another run is published by that run; the manifest is written only if it is unchanged.

        :returns: the manifest that is published now.
        """
        key = self.keys.export_manifest(manifest.interval.key)
        while True:
            body, etag = self.bucket.get_with_etag(key)
            published = Manifest.from_json(json.loads(body)) if body else None
            ours = self._without_overwritten(manifest, published)
            if ours == published:
                return ours
            if self.bucket.put_if(key, _encoded(ours), etag=etag):
                return ours
            log.info("%s was published by another run just now; looking again.", manifest.interval.key)

    def _without_overwritten(self, manifest: Manifest, published: Manifest | None) -> Manifest:
        objects = dict(manifest.objects)
        for kind, exported in manifest.objects.items():
            if self.bucket.etag(exported.key) != exported.etag:
                log.info(
                    "Another run wrote %s after this one; it publishes it.", self.bucket.uri(exported.key)
                )
                if published and kind in published.objects:
                    objects[kind] = published.objects[kind]
        return Manifest(manifest.interval, objects)

    def interval(self, key: str) -> Manifest | None:
        """Read the manifest of one interval; None when it is not published."""
        document = self.bucket.get_json(self.keys.export_manifest(key))
        return Manifest.from_json(document) if document else None

    def publish_full(self, run: str, manifest: Manifest) -> None:
        """Make a snapshot visible."""
        self.bucket.put_json(self.keys.full_manifest(run), manifest.to_json())

    def full(self, run: str) -> Manifest:
        """Read the published snapshot of one run.

        :raises RetriableError: when an object is not the one its manifest names.
        """
        document = self.bucket.get_json(self.keys.full_manifest(run))
        if document is None:
            raise FatalError(f"Run {run} published no snapshot; start a new {self.keys.program}_train_full.")
        manifest = Manifest.from_json(document)
        for exported in manifest.objects.values():
            if not exported.is_folder and self.bucket.etag(exported.key) != exported.etag:
                raise self._unpublished(exported, run)
        return manifest

    def newest_full(self) -> Manifest | None:
        """Read the manifest of the newest published snapshot; None before the first."""
        manifests = [k for k in self.bucket.keys(self.keys.all_full) if k.endswith("/manifest.json")]
        return Manifest.from_json(self.bucket.get_json(manifests[-1])) if manifests else None

    def newest_full_began(self) -> datetime | None:
        """Return when the run of the newest published snapshot was created; None before the first."""
        runs = [
            key.split("/")[2]
            for key in self.bucket.keys(self.keys.all_full)
            if key.endswith("/manifest.json")
        ]
        return datetime.strptime(runs[-1][:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) if runs else None

    def intervals_since(self, start: datetime) -> list[Manifest]:
        """Read the published intervals that begin at ``start`` or later, oldest first."""
        keys = [
            self.keys.export_manifest(f"{each:{KEY_FORMAT}}") for each in sorted(self.starts_since(start))
        ]
        with ThreadPoolExecutor(THREADS) as threads:
            return [Manifest.from_json(document) for document in threads.map(self.bucket.get_json, keys)]

    def starts_since(self, start: datetime) -> set[datetime]:
        """List the starts of the published intervals that begin at ``start`` or later."""
        prefix = self.keys.export_manifests
        # S3 lists keys after a given one; an interval's key is its start in minutes.
        before = f"{prefix}{start - timedelta(minutes=1):{KEY_FORMAT}}{_JSON}"
        starts = {
            parse_key(entry["Key"].removeprefix(prefix).removesuffix(_JSON))
            for entry in self.bucket.listed(prefix, after=before)
        }
        return {each for each in starts if each >= start}

    def verify(self, manifests: Iterable[Manifest]) -> None:
        """Check that the objects are those that the manifests publish.

        :raises RetriableError: when one is not, because a rerun is writing it or died before publishing.
        """
        checked = sorted(manifests, key=lambda manifest: manifest.interval)
        if not checked:
            return
        etags: dict[str, str] = {}
        for kind in DatasetType:
            folder = self.keys.export(kind, "").removesuffix(".csv")
            before = f"{folder}{checked[0].interval.start - timedelta(minutes=1):{KEY_FORMAT}}.csv"
            etags |= {entry["Key"]: entry["ETag"] for entry in self.bucket.listed(folder, after=before)}
        for manifest in checked:
            for exported in manifest.objects.values():
                if etags.get(exported.key) != exported.etag:
                    raise self._unpublished(exported, manifest.interval.key)

    def blocks(self, key: str, etag: str) -> Iterator[bytes]:
        """Read a published object in blocks.

        :raises RetriableError: when it was overwritten since.
        """
        with self.bucket.errors(key):
            answer = self.bucket.client.get_object(Bucket=self.bucket.name, Key=key, IfMatch=etag)
            with closing(answer["Body"]) as body:
                while block := body.read(_BLOCK_BYTES):
                    yield block

    def copy(self, exported: ExportedObject, target: str) -> None:
        """Copy a published object inside the bucket.

        :raises RetriableError: when it was overwritten since.
        """
        source = {"Bucket": self.bucket.name, "Key": exported.key}
        condition = {"CopySourceIfMatch": exported.etag}
        with self.bucket.errors(exported.key):
            if exported.size_bytes > _COPY_IN_PARTS_BYTES:
                self.bucket.client.copy(source, self.bucket.name, target, ExtraArgs=condition)
            else:
                self.bucket.client.copy_object(
                    CopySource=source, Bucket=self.bucket.name, Key=target, **condition
                )

    def _unpublished(self, exported: ExportedObject, what: str) -> RetriableError:
        return RetriableError(
            f"{self.bucket.uri(exported.key)} is not the object that its manifest publishes: an export of "
            f"{what} is under way or died half-way. Run that export again unless it runs."
        )


def _encoded(manifest: Manifest) -> bytes:
    document: Any = manifest.to_json()
    return json.dumps(document, indent=1, sort_keys=True).encode()
