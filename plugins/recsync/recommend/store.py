"""Published recommendations: who should have which list, and the catalogue, as one run found them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsync.errors import FatalError
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

# Runs that were published by hand from an existing batch output; the rest of their names sorts as those of others.
PUSH_PREFIX = "push-"
# Runs that a retirement published, for nobody; no other push may take them for the newest.
RETIRE_PREFIX = "retire-"
_MANIFEST = "/manifest.json"


@dataclass(frozen=True)
class RecommendationsManifest:
    """What one recommend run published.

    :param created_at: ISO 8601; a push never writes recommendations older than what it sent last.
    :param solution_version_arn: empty, as is the job's, when the run was published from an existing output.
    :param users: people in the audience; each has one row.
    :param lists: of them with a list.
    :param suppressed: reason -> people without a list.
    :param unanswered: reason -> people for whom the batch output should have an answer and has none. They keep the
        list that Braze has for ``recommendations.keep_days``; the fallback's is among ``lists``.
    :param questions: how many answers the batch output should hold, and how many it does (``answered``).
    :param items: different items in all lists.
    :param tiers: furthest tier used -> people with a list.
    :param dropped: rule -> entries of the output's lists that it dropped.
    :param catalogue_items: items in the catalogue.
    :param unusable_items: items of ``catalogue.sql`` that are never mailed, because Braze cannot hold their ids.
    :param quarantined_items: rows of ``catalogue.sql`` that were left out because of a value.
    :param repeated_items: items that it returns more than once with different values.
    :param strangers: lines of users who are not in the audience.
    :param repeated_lines: further answers of a user, equal to the first one.
    :param unreadable_lines: lines in which nobody was found.
    :param source: where the batch output lies.
    :param keep_attributes: attributes that a delivery of these recommendations removes from nobody.
    :param leave_catalog: whether a delivery leaves the Braze catalog as it is.
    """

    run: str
    created_at: str
    solution_version_arn: str
    batch_inference_job_arn: str
    users: int
    lists: int
    suppressed: dict[str, int]
    items: int
    unanswered: dict[str, int] = field(default_factory=dict)
    questions: int = 0
    answered: int = 0
    tiers: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    catalogue_items: int = 0
    unusable_items: int = 0
    quarantined_items: int = 0
    repeated_items: int = 0
    strangers: int = 0
    repeated_lines: int = 0
    unreadable_lines: int = 0
    source: str = ""
    keep_attributes: tuple[str, ...] = ()
    leave_catalog: bool = False


@dataclass(frozen=True)
class RecommendationsStore:
    """The recommendations of one program."""

    bucket: Bucket
    keys: Keys

    def publish(self, manifest: RecommendationsManifest, lists: Path, catalogue: pa.Table) -> None:
        """Write lists and catalogue, then the manifest that makes them visible.

        :param lists: Parquet file of ``core.list_partition.LISTS``.
        :param catalogue: ``core.catalogue.CATALOGUE``.
        """
        self.bucket.upload(self._lists(manifest.run), lists)
        self.bucket.put_table(self._catalogue(manifest.run), catalogue)
        self.bucket.put_json(self.keys.recommendations_manifest(manifest.run), asdict(manifest))

    def latest_run(self, *, by_hand: bool = True) -> str | None:
        """Name the newest published run; run names sort by time.

        :param by_hand: also of those that were published from an existing batch output.
        """
        runs = [
            key.removesuffix(_MANIFEST).rsplit("/", 1)[-1]
            for key in self.bucket.keys(self.keys.all_recommendations)
            if key.endswith(_MANIFEST)
        ]
        runs = [run for run in runs if not run.startswith(RETIRE_PREFIX)]
        if not by_hand:
            runs = [run for run in runs if not run.startswith(PUSH_PREFIX)]
        return max(runs, key=lambda run: run.removeprefix(PUSH_PREFIX), default=None)

    def manifest(self, run: str) -> RecommendationsManifest:
        """Read the manifest of a run.

        :raises FatalError: when the run published nothing.
        """
        document: dict[str, Any] | None = self.bucket.get_json(self.keys.recommendations_manifest(run))
        if document is None:
            raise FatalError(
                f"Run {run} published no recommendations; run {self.keys.program}_recommend first."
            )
        # JSON has no tuples; manifests written before the field have none.
        return RecommendationsManifest(
            **{**document, "keep_attributes": tuple(document.get("keep_attributes", ()))}
        )

    def download_lists(self, run: str, target: Path) -> None:
        """Read the lists of a published run into a Parquet file of ``core.list_partition.LISTS``."""
        key = self._lists(run)
        if self.bucket.etag(key) is None:
            raise self._missing(key)
        self.bucket.download(key, target)

    def catalogue(self, run: str) -> pa.Table:
        """Read the catalogue of a published run: every item that can be mailed, as ``core.catalogue.CATALOGUE``."""
        key = self._catalogue(run)
        table = self.bucket.get_table(key)
        if table is None:
            raise self._missing(key)
        return table

    def _lists(self, run: str) -> str:
        return f"{self.keys.recommendations(run)}lists.parquet"

    def _catalogue(self, run: str) -> str:
        return f"{self.keys.recommendations(run)}catalogue.parquet"

    def _missing(self, key: str) -> FatalError:
        return FatalError(
            f"{self.bucket.uri(key)} is missing although its manifest was published; "
            f"run {self.keys.program}_recommend again."
        )
