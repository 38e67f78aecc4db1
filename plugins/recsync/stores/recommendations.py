"""Published recommendations: who should have which list, and the items' fields, as one run found them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from recsync.core.delivery import Wanted
from recsync.core.keys import Keys
from recsync.core.payloads import Json
from recsync.errors import FatalError
from recsync.stores.bucket import Bucket

_LISTS = pa.schema(
    [("external_id", pa.string()), ("item_ids", pa.list_(pa.string())), ("reason", pa.string())]
)
_ITEMS = pa.schema([("item_id", pa.string()), ("fields", pa.string())])


@dataclass(frozen=True)
class RecommendationsManifest:
    """What one recommend run published.

    :param created_at: ISO 8601; a push never writes recommendations older than what it sent last.
    """

    run: str
    created_at: str
    solution_version_arn: str
    batch_inference_job_arn: str
    users: int
    lists: int
    suppressed: dict[str, int]
    items: int


@dataclass(frozen=True)
class RecommendationsStore:
    """The recommendations of one program."""

    bucket: Bucket
    keys: Keys

    def publish(
        self, manifest: RecommendationsManifest, wanted: list[Wanted], items: Mapping[str, Json]
    ) -> None:
        """Write lists and items, then the manifest that makes them visible."""
        folder = self.keys.recommendations(manifest.run)
        lists = [
            {"external_id": w.external_id, "item_ids": list(w.item_ids), "reason": w.reason} for w in wanted
        ]
        self.bucket.put_table(f"{folder}lists.parquet", pa.Table.from_pylist(lists, schema=_LISTS))
        rows = [{"item_id": item_id, "fields": json.dumps(item)} for item_id, item in items.items()]
        self.bucket.put_table(f"{folder}items.parquet", pa.Table.from_pylist(rows, schema=_ITEMS))
        self.bucket.put_json(self.keys.recommendations_manifest(manifest.run), asdict(manifest))

    def latest_run(self) -> str | None:
        """Name the newest published run; run names sort by time."""
        ending = "/manifest.json"
        runs = [key for key in self.bucket.keys(self.keys.all_recommendations) if key.endswith(ending)]
        return runs[-1].removesuffix(ending).rsplit("/", 1)[-1] if runs else None

    def manifest(self, run: str) -> RecommendationsManifest:
        """Read the manifest of a run.

        :raises FatalError: when the run published nothing.
        """
        document: dict[str, Any] | None = self.bucket.get_json(self.keys.recommendations_manifest(run))
        if document is None:
            raise FatalError(
                f"Run {run} published no recommendations; run {self.keys.program}_recommend first."
            )
        return RecommendationsManifest(**document)

    def wanted(self, run: str) -> Iterator[Wanted]:
        """Read the lists of a published run."""
        table = self._table(f"{self.keys.recommendations(run)}lists.parquet")
        for row in table.to_pylist():
            yield Wanted(row["external_id"], tuple(row["item_ids"]), row["reason"])

    def items(self, run: str) -> dict[str, Json]:
        """Read the item fields of a published run: item id -> fields."""
        table = self._table(f"{self.keys.recommendations(run)}items.parquet")
        return {row["item_id"]: json.loads(row["fields"]) for row in table.to_pylist()}

    def _table(self, key: str) -> pa.Table:
        table = self.bucket.get_table(key)
        if table is None:
            raise FatalError(f"{self.bucket.uri(key)} is missing although its manifest was published.")
        return table
