"""Store the published recommendations of a run: each person's list, and the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from braze_client.identifiers import EXTERNAL_ID
from recsync.errors import FatalError
from recsync.program import names
from recsync.recommend.lists.catalog import positions_in
from recsync.recommend.lists.list_partition import LISTS
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.storage.list_files import (
    LEFT_OUT,
    file_of,
    join_files,
    part_keys,
    published_keys,
)
from recsync.storage.list_files import (
    LISTS as LIST_FILES,
)

# Prefix of runs that were published by hand from an existing batch output; the rest of the name sorts like others.
PUSH_PREFIX = "push-"
_MANIFEST = "/manifest.json"


@dataclass(frozen=True)
class RecommendationsManifest:
    """What one recommend run published.

    :param created_at: ISO 8601; a push never writes recommendations older than what it sent last.
    :param solution_version_arn: empty, as is the job's, when the run was published from an existing output.
    :param batch_inference_job_arn: of the job or campaign; several are separated by ``, ``.
    :param users: people in the audience; each has one row.
    :param lists: of them with a list.
    :param suppressed: reason -> people without a list.
    :param unanswered: reason -> people for whom the batch output should have an answer and has none. They keep the
        list that Braze has for ``recommendations.keep_days``; the fallback's is among ``lists``.
    :param questions: how many answers the batch output should hold, and how many it does (``answered``).
    :param items: different items in all lists.
    :param tiers: furthest tier used -> people with a list.
    :param dropped: rule -> entries of the output's lists that it dropped.
    :param short: rule -> people with fewer items than ``length``, or without a list, who lost candidates to it; a
        person may count under several rules.
    :param missed: rule about a share -> lists that miss it.
    :param catalogue_items: items in the catalog.
    :param unusable_items: items of ``catalogue.sql`` that are never mailed, because Braze cannot hold their ids.
    :param quarantined_items: rows of ``catalogue.sql`` that were left out because of a value.
    :param repeated_items: items that it returns more than once with different values.
    :param strangers: lines of unknown users, who are not in the audience.
    :param repeated_lines: further answers of a user, equal to the first one.
    :param unreadable_lines: lines without a readable user.
    :param source: URI of the batch output.
    :param notes: what the rules could not look at, such as lists of a program that has published none.
    :param keep_attributes: attributes that a delivery of these recommendations removes from nobody.
    :param leave_catalog: whether a delivery leaves the Braze catalog as it is.
    :param identifier: how the lists name the people: :attr:`braze_client.identifiers.Identifier.tag`.
    :param filter: the filter expression that the job was asked with; empty: none, or it is not known.
    :param experiment: name of the experiment; empty: none. People outside it get the champion.
    :param arms: people of the audience by arm.
    :param held_out: the arms that get nothing.
    :param versions: solution version ARN by arm that gets a model.
    :param files: number of files that the lists are in.
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
    short: dict[str, int] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    catalogue_items: int = 0
    unusable_items: int = 0
    quarantined_items: int = 0
    repeated_items: int = 0
    strangers: int = 0
    repeated_lines: int = 0
    unreadable_lines: int = 0
    source: str = ""
    notes: tuple[str, ...] = ()
    keep_attributes: tuple[str, ...] = ()
    leave_catalog: bool = False
    identifier: str = EXTERNAL_ID.tag
    filter: str = ""
    experiment: str = ""
    arms: dict[str, int] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    files: int = 1

    @property
    def rules_text(self) -> str:
        """Say what the rules cost: items in all and by rule, short lists, lists that miss a share."""
        parts = [f"The rules left out {sum(self.dropped.values()):,} items{_by_rule(self.dropped)}"]
        parts += [f"lists that are short{_by_rule(self.short)}"] if self.short else []
        parts += [f"lists that miss a share{_by_rule(self.missed)}"] if self.missed else []
        return "; ".join(parts)


def _by_rule(counts: Mapping[str, int]) -> str:
    ordered = sorted(((rule, n) for rule, n in counts.items() if n), key=lambda pair: -pair[1])
    return f" ({', '.join(f'{rule} {n:,}' for rule, n in ordered)})" if ordered else ""


@dataclass(frozen=True)
class RecommendationsStore:
    """The published recommendations of one program."""

    bucket: Bucket
    keys: Keys

    def publish(
        self, manifest: RecommendationsManifest, lists: Path, catalog: pa.Table, left_out: Path | None = None
    ) -> None:
        """Write lists and catalog, then the manifest that makes them visible.

        :param lists: Parquet file of ``LISTS`` with the metadata of ``positions_in``; several where the manifest says
            so, as ``build.file_of`` names them.
        :param catalog: ``CATALOG``.
        :param left_out: Parquet file of ``LEFT_OUT``, in as many files.
        """
        self.put_lists(manifest.run, range(manifest.files), manifest.files, lists, left_out)
        self.finish(manifest, catalog)

    def put_lists(
        self, run: str, numbers: range, files: int, lists: Path, left_out: Path | None = None
    ) -> None:
        """Write some files of lists, which no one reads before the manifest is there."""
        for what, path in ((LEFT_OUT, left_out), (LIST_FILES, lists)):
            if path is None:
                continue
            for number in numbers:
                key = part_keys(self.keys, run, what, files)[number]
                self.bucket.upload(key, file_of(path, number, files))

    def finish(self, manifest: RecommendationsManifest, catalog: pa.Table) -> None:
        """Write the catalog, then the manifest that makes the run visible."""
        self.bucket.put_table(self._catalog(manifest.run), catalog)
        self.bucket.put_json(self.keys.recommendations_manifest(manifest.run), asdict(manifest))

    def latest_run(self, *, by_hand: bool = True) -> str | None:
        """Return the newest published run; run names sort by time.

        :param by_hand: include runs that were published from an existing batch output.
        """
        runs = self._published()
        if not by_hand:
            runs = [run for run in runs if not run.startswith(PUSH_PREFIX)]
        return max(runs, key=lambda run: run.removeprefix(PUSH_PREFIX), default=None)

    def _published(self) -> list[str]:
        runs = (
            key.removesuffix(_MANIFEST).rsplit("/", 1)[-1]
            for key in self.bucket.keys(self.keys.all_recommendations)
            if key.endswith(_MANIFEST)
        )
        return [run for run in runs if not run.startswith(names.RETIRE_PREFIX)]

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
        tuples = {name: tuple(document.get(name, ())) for name in ("keep_attributes", "notes", "held_out")}
        return RecommendationsManifest(**{**document, **tuples})

    def runs_since(self, moment: datetime, *, before: datetime) -> list[str]:
        """Return the runs that were created in a period and published, oldest first.

        :param moment: begin of the period; ``before``: its end, which is outside.
        """
        # Names begin with the time of creation.
        first, last = (names.run_key("", each.isoformat()).partition("-")[0] for each in (moment, before))
        ordered = sorted((run.removeprefix(PUSH_PREFIX), run) for run in self._published())
        return [run for name, run in ordered if first <= name.partition("-")[0] < last]

    def sent_runs(self, moment: datetime) -> set[str]:
        """Return the runs of which a delivery began to send since a moment: its ledger has an entry."""
        first = f"{moment:%Y%m%dT%H%M%S}"
        parts = (
            key.removeprefix(self.keys.all_deliveries).split("/")
            for key in self.bucket.keys(self.keys.all_deliveries)
        )
        begun = {part[0] for part in parts if part[1] == "ledger" and part[0] >= first}
        # A delivery is named after its time and the run.
        return {delivery.partition("-")[2] for delivery in begun}

    def download_audience(self, run: str, target: Path) -> Path | None:
        """Read the audience of a run into a Parquet file; None when the run kept none."""
        if self.bucket.etag(self.keys.audience(run)) is None:
            return None
        self.bucket.download(self.keys.audience(run), target)
        return target

    def download(self, run: str, target: Path) -> pa.Table:
        """Read the lists of a published run into one Parquet file of ``LISTS``, and return their ``CATALOG``.

        :raises FatalError: when one of them is missing, or when they do not belong together.
        """
        catalog, files = self.download_files(run, target)
        join_files(files, target)
        return catalog

    def download_files(self, run: str, target: Path) -> tuple[pa.Table, list[Path]]:
        """Read the lists of a published run as :meth:`download` does, into as many files as they were written in.

        :param target: path of the only file; of several the numbers are added to its name.
        :returns: the ``CATALOG``, and the files in the order of their rows.
        """
        keys, files = self.lists_keys(run), []
        if missing := next((key for key in keys if self.bucket.etag(key) is None), None):
            raise self._missing(missing)
        catalog = self.catalog(run)
        for number, key in enumerate(keys):
            path = file_of(target, number, len(keys))
            self.bucket.download(key, path)
            if not _fit(path, catalog):
                # A run that is cleared writes lists and catalog anew, one after the other.
                raise FatalError(
                    f"{self.bucket.uri(key)} was not made for the catalogue beside it; {self._again}."
                )
            files.append(path)
        return catalog, files

    def download_rows(self, run: str, target: Path) -> Path | None:
        """Read the lists of a run as they are, whether or not the catalog is there; None when they are gone."""
        keys = self.lists_keys(run)
        if any(self.bucket.etag(key) is None for key in keys):
            return None
        files = [file_of(target, number, len(keys)) for number in range(len(keys))]
        for key, path in zip(keys, files, strict=True):
            self.bucket.download(key, path)
        join_files(files, target)
        return target

    def catalog(self, run: str) -> pa.Table:
        """Read the catalog (``CATALOG``) of a published run.

        :raises FatalError: when it is missing.
        """
        catalog = self.bucket.get_table(self._catalog(run))
        if catalog is None:
            raise self._missing(self._catalog(run))
        return catalog

    def lists_keys(self, run: str) -> list[str]:
        """Return the objects with the lists of a run, in the order of their rows."""
        return self._published_keys(run, LIST_FILES)

    def left_out_keys(self, run: str) -> list[str]:
        """Return the objects that say what the rules left out; a row for each row of the lists."""
        return self._published_keys(run, LEFT_OUT)

    def _published_keys(self, run: str, what: str) -> list[str]:
        manifest = self.bucket.get_json(self.keys.recommendations_manifest(run))
        return published_keys(self.keys, run, what, manifest)

    def _catalog(self, run: str) -> str:
        return f"{self.keys.recommendations(run)}catalogue.parquet"

    def _missing(self, key: str) -> FatalError:
        return FatalError(
            f"{self.bucket.uri(key)} is missing although its manifest was published; {self._again}."
        )

    @property
    def _again(self) -> str:
        return f"run {self.keys.program}_recommend again"


def _fit(lists: Path, catalog: pa.Table) -> bool:
    """Return whether lists were made for a catalog; bring those of an earlier release into the shape of ``LISTS``.

    They may lack columns, and the oldest hold ids instead of positions.
    """
    with pq.ParquetFile(lists) as file:
        metadata, names = file.metadata.metadata or {}, file.schema_arrow.names
        with_ids = "item_ids" in names
        if not with_ids and any(
            metadata.get(k.encode()) != v.encode() for k, v in positions_in(catalog).items()
        ):
            return False
        if set(LISTS.names) <= set(names):
            return True
        item_ids, written = catalog["item_id"].combine_chunks(), lists.with_suffix(".written")
        with pq.ParquetWriter(written, LISTS, compression="zstd") as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                columns = {name: table[name] for name in names if name in LISTS.names}
                if with_ids:
                    ids = table["item_ids"].combine_chunks()
                    positions = pc.index_in(ids.values, value_set=item_ids)
                    if positions.null_count:
                        return False
                    columns["items"] = pa.ListArray.from_arrays(ids.offsets, positions)
                nothing = {field.name: pa.nulls(len(table), field.type) for field in LISTS}
                writer.write_table(pa.table({**nothing, **columns}).cast(LISTS))
    written.replace(lists)
    return True
