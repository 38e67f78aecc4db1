"""What the rows of an export go through on their way: every check of the program and a report, or none."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsync.errors import FatalError
from recsync.export.check_inputs import history_of, known_ids, known_items
from recsync.export.checks import QUARANTINE_FILE, CheckContext, Report, RowChecks
from recsync.export.checks.report import Finding
from recsync.export.dataset_export import DatasetExport
from recsync.export.drift_alert import tell_of_drift
from recsync.export.report_page import page
from recsync.export.report_store import Reports
from recsync.export.store import Exports
from recsync.program import DatasetType
from recsync.storage.csv_text import record_ends, to_personalize

# What interactions name; without a dataset of its own, their ids are all that is known.
OF_INTERACTIONS = frozenset({DatasetType.USERS, DatasetType.ITEMS})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Figures:
    """What went through.

    :param digest: of the exported rows; whatever their order, when they were checked.
    """

    rows: int
    quarantined: int
    digest: str


class Checking(Protocol):
    """What the blocks of a dataset go through."""

    def block(self, block: bytes) -> bytes:
        """Give what of a block is exported."""

    def finish(self) -> Figures:
        """Judge the whole, keep the report, and say what went through.

        :raises FatalError: when a check says stop.
        """


def checking(export: DatasetExport, work: Path) -> Checking:
    """Begin the checks that the program asks for.

    :param work: a folder for what does not fit into memory; the caller deletes it.
    """
    if export.context.program.checks.enabled:
        return _Checked(export, work)
    return _Unchecked()


class _Checked:
    """Every check of the program, and the report."""

    def __init__(self, export: DatasetExport, work: Path) -> None:
        self._export = export
        self._work = work
        program = export.context.program
        last = (
            export.context.store(Exports).newest_full() if export.kind is DatasetType.INTERACTIONS else None
        )
        self._checks = RowChecks(
            CheckContext(
                program=program.name,
                schema=export.schema,
                dataset_type=export.kind,
                interval=export.interval,
                full=export.full,
                select_by=program.exports.select_by,
                settings=program.checks,
                sql=export.sql,
                work=work,
                known=known_ids(export, last),
                known_items_before=known_items(export, last),
                kept_ids=OF_INTERACTIONS.difference(program.dataset_types)
                if export.kind is DatasetType.INTERACTIONS
                else frozenset(),
                history=history_of(export),
            )
        )

    def block(self, block: bytes) -> bytes:
        return self._checks.block(block)

    def finish(self) -> Figures:
        report: Report = self._checks.finish()
        self._keep(report)
        if message := report.stop_message():
            raise FatalError(f"{message} The report: {self._export.context.bucket.uri(self._report_key)}")
        return Figures(report.exported, report.quarantined, self._checks.digest)

    @property
    def _report_key(self) -> str:
        return self._export.context.store(Reports).path_of(self._export.key)

    def _keep(self, report: Report) -> None:
        reports, key = self._export.context.store(Reports), self._export.key
        rows = self._work / QUARANTINE_FILE
        document = report.to_json() | {
            "quarantine": reports.put_quarantine(key, rows if report.quarantined else None)
        }
        if self._export.note:
            note = Finding("late_export", "note", None, 0, 0.0, None, self._export.note)
            document["findings"].append(asdict(note))
        reports.put(key, document, page(document))
        if self._export.kind is not DatasetType.INTERACTIONS:
            ids: NDArray[np.uint64] = self._checks.ids
            reports.put_ids(key, ids)
        for kind, kept in self._checks.kept_ids.items():
            reports.put_ids(key, kept, of=kind)
        for finding in document["findings"]:
            if finding["level"] != "note":
                log.warning("%s: %s", self._export.sql, finding["text"])
        context = self._export.context
        tell_of_drift(context.program, self._export.kind.folder, report, context.bucket.uri(self._report_key))


class _Unchecked:
    """Whatever the query returns."""

    def __init__(self) -> None:
        self._digest: Any = hashlib.blake2b(digest_size=16)
        self._rows = 0

    def block(self, block: bytes) -> bytes:
        text = to_personalize(block)
        self._digest.update(text)
        self._rows += len(record_ends(block)) if b'"' in block else block.count(b"\n")
        return text

    def finish(self) -> Figures:
        return Figures(self._rows, 0, self._digest.hexdigest())
