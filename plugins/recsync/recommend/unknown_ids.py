"""Find the ids of audience and catalog that no export holds: a report of each run, and alerts on unusual shares."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from recsync.alerts.message import send
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.export.checks.spool import Buckets, HashSpool
from recsync.export.dataset import exported_ids
from recsync.export.store import ExportStore, ReportStore
from recsync.program import DatasetType, Event, Program
from recsync.program.data import Checks, Level
from recsync.program.recipes import InputType
from recsync.recommend.lists.catalog import ItemCatalog
from recsync.storage.duck import work_folder
from recsync.storage.hash_files import HashFile
from recsync.storage.hashes import string_hashes

log = logging.getLogger(__name__)

_EARLIER_RUNS = 7
# Input types without users of the audience.
_WITHOUT_USERS = frozenset({InputType.NOTHING, InputType.ITEM})

What = Literal["audience", "catalog"]
_WORDS = {"audience": ("people", "user_id"), "catalog": ("items", "item_id")}


@dataclass(frozen=True)
class UnknownIds:
    """The ids of an audience or a catalog that no export holds.

    :param usual: median share of the runs before; None when there were too few.
    """

    what: What
    sql: str
    ids: int
    unknown: int
    usual: float | None = None

    @property
    def share(self) -> float:
        """Share of the ids, 0 to 1."""
        return self.unknown / self.ids if self.ids else 0.0

    @classmethod
    def of(
        cls, what: What, sql: str, columns: Iterable[pa.Array], known: HashFile, usual: float | None
    ) -> UnknownIds:
        """Count the ids with hashes that are not in ``known``, the exported ids."""
        # Sorted on disk first, so that the file of known ids is read once and not for each column.
        spool, ids = HashSpool(known.path.with_suffix(f".{what}")), 0
        for column in columns:
            hashes = string_hashes(column)
            spool.add(hashes, Buckets.of(hashes))
            ids += len(hashes)
        unknown = sum(int(counts[~known.among(hashes)].sum()) for hashes, counts in spool.groups())
        return cls(what, sql, ids, unknown, usual)

    def level(self, checks: Checks) -> Level:
        """Compare the share with the limits."""
        limits = checks.limits(f"unknown_{self.what}")
        return limits.level(self.share, few=self.unknown <= checks.tolerated_rows) if limits else "note"

    def drift_level(self, checks: Checks) -> Level:
        """Compare the share with the usual one."""
        if self.usual is None or self.unknown <= checks.tolerated_rows:
            return "note"
        limits, above = checks.drift.unknown_ids, self.share - self.usual
        if limits.stop is not None and above > limits.stop:
            return "stop"
        return "warn" if limits.warn is not None and above > limits.warn else "note"

    @property
    def text(self) -> str:
        """Describe the finding and what to check."""
        people, column = _WORDS[self.what]
        usual = "" if self.usual is None else f", where {self.usual:.1%} are usual"
        return (
            f"{self.sql} returns {self.ids} {people}, {self.unknown} of them ({self.share:.1%}{usual}) in no export. "
            f"Compare its {column} with that of the exported datasets: the texts must be the same."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the finding as a JSON document."""
        return {**asdict(self), "share": self.share}


def usual_share(shares: Sequence[float], least: int) -> float | None:
    """Return the median share of earlier runs; None for fewer than ``least`` runs."""
    return float(median(shares)) if len(shares) >= least else None


def check_known_ids(context: StageContext, run: str, audience: Path, catalog: ItemCatalog) -> None:
    """Compare the ids of audience and catalog with the last exports; write a report and alert on unusual shares.

    Nothing is compared without a published snapshot that was checked.

    :raises FatalError: when the share of unknown ids is above a limit.
    """
    input_type, checks = context.program.personalize.recipe_spec.input_type, context.program.checks
    item_kind = DatasetType.ACTIONS if input_type is InputType.ACTIONS else DatasetType.ITEMS
    earlier = _earlier(context, run)
    found = []
    with work_folder() as work:
        users = None if input_type in _WITHOUT_USERS else known_ids(context, DatasetType.USERS, work)
        if users is not None:
            batches = pq.ParquetFile(audience).iter_batches(columns=["user_id"])
            columns = (batch["user_id"] for batch in batches)
            usual = _usual(earlier, "audience", checks.drift.min_exports)
            sql = context.program.sql_file("audience")
            found.append(UnknownIds.of("audience", sql, columns, users, usual))
        items = known_ids(context, item_kind, work)
        if items is not None:
            usual = _usual(earlier, "catalog", checks.drift.min_exports)
            sql = context.program.sql_file("catalogue")
            found.append(UnknownIds.of("catalog", sql, [catalog.item_ids], items, usual))
    key = context.keys.known_ids_report(run)
    context.bucket.put_json(key, {one.what: one.to_json() for one in found})
    drifted = [one for one in found if one.drift_level(checks) != "note"]
    stopped = [one for one in found if "stop" in {one.level(checks), one.drift_level(checks)}]
    for one in found:
        if one in drifted or one.level(checks) != "note":
            log.warning("%s", one.text)
    _tell_of_unknown_ids(context.program, drifted, context.bucket.uri(key))
    if stopped:
        raise FatalError(
            f"{' '.join(one.text for one in stopped)} Nothing was asked of Amazon Personalize. Limits: "
            "checks.rules.unknown_audience, unknown_catalog and checks.drift.unknown_ids in the program file."
        )


def known_ids(context: StageContext, kind: DatasetType, work: Path) -> HashFile | None:
    """Return the hashed ids of the last snapshot and the intervals since; None when they were not kept.

    Users and items without a dataset are taken from the interactions.

    :param work: folder for the file.
    """
    last = context.store(ExportStore).newest_full()
    own = kind in context.program.dataset_types
    source, of = (kind, None) if own else (DatasetType.INTERACTIONS, kind)
    if last is None or source not in last.objects:
        return None
    if not context.store(ReportStore).keeps_ids(last.objects[source].key, of=of):
        return None
    return exported_ids(context, source, last, work / f"{kind.folder}.known", of=of)


def _earlier(context: StageContext, run: str) -> list[dict[str, Any]]:
    """Read the reports of the runs before, newest first."""
    own, suffix = context.keys.known_ids_report(run), context.keys.known_ids_report("").rpartition("/")[2]
    keys = [
        key for key in context.bucket.keys(context.keys.all_recommendations) if key.endswith(f"/{suffix}")
    ]
    before = sorted((key for key in keys if key < own), reverse=True)[:_EARLIER_RUNS]
    return [document for key in before if (document := context.bucket.get_json(key))]


def _usual(earlier: list[dict[str, Any]], what: What, least: int) -> float | None:
    return usual_share([one[what]["share"] for one in earlier if what in one], least)


def _tell_of_unknown_ids(program: Program, unknown: Sequence[UnknownIds], report_uri: str) -> None:
    """Alert on an audience or a catalog with more unknown ids than usual."""
    if not unknown:
        return
    lines = (
        *(f"What happened: {one.text}" for one in unknown),
        "What to do: see whether the ids of one of the queries are written otherwise than before; limits: "
        "checks.drift.unknown_ids in the program file.",
        f"Figures: {report_uri}",
    )
    what = " and ".join(one.what for one in unknown)
    send(
        program,
        Event.DRIFT,
        f"more of the {what} than usual is in no export",
        "\n".join(lines),
        key=f"ids: {what}",
    )
