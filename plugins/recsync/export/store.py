"""Published exports: an interval or a full snapshot exists once its manifest does."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from recsync.errors import FatalError, RetriableError
from recsync.export.manifest import ExportedObject, Manifest
from recsync.program import DatasetType
from recsync.program.intervals import KEY_FORMAT, parse_key
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

__all__ = ["ExportedObject", "Exports", "Manifest"]

log = logging.getLogger(__name__)

# Within boto3's default pool of 10 connections.
THREADS = 8
_JSON = ".json"
_BLOCK_BYTES = 4 * 1024 * 1024
# CopyObject takes 5 GB: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
_COPY_IN_PARTS_BYTES = 5_000_000_000


@dataclass(frozen=True)
class Exports:
    """The exports of one program."""

    bucket: Bucket
    keys: Keys

    def publish_interval(self, manifest: Manifest) -> Manifest:
        """Make an interval visible to imports.

        Two runs may export one interval at the same time. Whoever wrote an object last publishes it: an object that
        somebody else wrote over is left to them, and the manifest is written only if it is still what was read.

        :returns: what is published now.
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
        """Say when the run of the newest published snapshot was created; None before the first."""
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
        # S3 lists what sorts after a name, and that of an interval is its start in minutes.
        before = f"{prefix}{start - timedelta(minutes=1):{KEY_FORMAT}}{_JSON}"
        starts = {
            parse_key(key.removeprefix(prefix).removesuffix(_JSON))
            for key in self._listed(prefix, after=before)
        }
        return {each for each in starts if each >= start}

    def verify(self, manifests: Iterable[Manifest]) -> None:
        """Check that the objects are those that the manifests publish.

        :raises RetriableError: when one is not, because a rerun of the export is writing it at this moment or died
            before it published.
        """
        checked = sorted(manifests, key=lambda manifest: manifest.interval)
        if not checked:
            return
        etags: dict[str, str] = {}
        for kind in DatasetType:
            folder = self.keys.export(kind, "").removesuffix(".csv")
            before = f"{folder}{checked[0].interval.start - timedelta(minutes=1):{KEY_FORMAT}}.csv"
            etags |= self._listed(folder, after=before)
        for manifest in checked:
            for exported in manifest.objects.values():
                if etags.get(exported.key) != exported.etag:
                    raise self._unpublished(exported, manifest.interval.key)

    def blocks(self, key: str, etag: str) -> Iterator[bytes]:
        """Read an object in blocks, if it is still the one that was published.

        :raises RetriableError: when it is not.
        """
        with self.bucket.errors(key):
            answer = self.bucket.client.get_object(Bucket=self.bucket.name, Key=key, IfMatch=etag)
            with closing(answer["Body"]) as body:
                while block := body.read(_BLOCK_BYTES):
                    yield block

    def copy(self, exported: ExportedObject, target: str) -> None:
        """Copy an object inside the bucket, if it is still the one that was published.

        :raises RetriableError: when it is not.
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

    def _listed(self, prefix: str, *, after: str) -> dict[str, str]:
        """List the objects below a prefix whose keys sort after another: key -> ETag."""
        return {entry["Key"]: entry["ETag"] for entry in self.bucket.listed(prefix, after=after)}

    def _unpublished(self, exported: ExportedObject, what: str) -> RetriableError:
        return RetriableError(
            f"{self.bucket.uri(exported.key)} is not the object that its manifest publishes: an export of "
            f"{what} is under way or died half-way. Run that export again unless it runs."
        )


def _encoded(manifest: Manifest) -> bytes:
    document: Any = manifest.to_json()
    return json.dumps(document, indent=1, sort_keys=True).encode()
