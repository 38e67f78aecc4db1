"""What experiments keep on S3: the documents of layers, the tables of people, and the reports of lift.

The first two belong to the bucket rather than to a program, so that a program may be renamed. The table of people is a
small document that points to one Parquet object and is replaced by compare-and-swap. Erasures, retirements and
maintenance find and remove the data of people through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from recsync.context import StageContext
from recsync.errors import RetriableError
from recsync.experiments.layer import Layer, LayerExperiment
from recsync.experiments.report import LiftReport
from recsync.storage import keys as all_keys
from recsync.storage.bucket import Bucket
from recsync.storage.document import Document
from recsync.storage.keys import ALL_EXPERIMENTS, Keys

ENROLLED = pa.schema(
    [
        ("user_id", pa.string()),
        # In Braze, by the identifier of the program file; from the person's newest audience.
        ("external_id", pa.string()),
        # Empty for people whom their stratum assigned no arm: they stay outside the experiment.
        ("arm", pa.string()),
        # The value of experiment.stratify_by when the person was first seen; null without stratify_by.
        ("stratum", pa.string()),
        # Unix seconds of the recommend run that first gave this arm.
        ("since", pa.int64()),
        # Unix seconds of the run that gave another arm; null for the current arm.
        ("until", pa.int64()),
    ]
)
"""The people of an experiment: one row per person and arm, sorted by both."""

_TABLES_KEPT = 2
_LIFT = "lift"
_REPORT = "/report.json"


@dataclass(frozen=True)
class LayerStore:
    """The layers of a bucket."""

    bucket: Bucket
    keys: Keys

    def names(self) -> list[str]:
        """List the layers of all programs."""
        return self.bucket.folders(ALL_EXPERIMENTS)

    def document(self, layer: str) -> Document[Layer]:
        """Return the document of a layer."""
        return Document(
            self.bucket,
            all_keys.layer(layer),
            read=Layer.parse,
            write=Layer.to_json,
            remedy="restore an earlier version of it, or people would change their arms",
        )

    def of_programs(self, programs: frozenset[str]) -> dict[tuple[str, str], LayerExperiment]:
        """Return the experiments that one of the programs ever ran, by layer and name."""
        return {
            (layer, name): each
            for layer in self.names()
            for name, each in self.document(layer).get().experiments.items()
            if programs & {*each.programs}
        }


@dataclass(frozen=True)
class Enrolment:
    """The document of the people of one experiment.

    :param generation: number of the table, from 1.
    :param table: key of the Parquet object (``ENROLLED``); empty before the first.
    :param revision: ``LayerExperiment.revision`` that the table was made for.
    :param run: the recommend run that wrote the table.
    :param people: number of people now in each arm.
    """

    generation: int = 0
    table: str = ""
    revision: int = 0
    run: str = ""
    people: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EnrolmentStore:
    """The people of the experiments of a bucket."""

    bucket: Bucket
    keys: Keys

    def read(self, layer: str, experiment: str) -> tuple[Enrolment, str | None]:
        """Read the document and its ETag, for :meth:`publish`."""
        return self._document(layer, experiment).get_with_etag()

    def download(self, enrolment: Enrolment, target: Path) -> Path | None:
        """Download the table (``ENROLLED``); return None before the first enrolment."""
        if not enrolment.table:
            return None
        self.bucket.download(enrolment.table, target)
        return target

    def publish(
        self, layer: str, experiment: str, enrolment: Enrolment, table: Path | None, etag: str | None
    ) -> Enrolment:
        """Upload a new table, then store the document.

        :param table: ``ENROLLED``; None to keep the present one.
        :param etag: of the document that was read.
        :raises RetriableError: when another run changed it meanwhile.
        """
        folder = all_keys.enrolment(layer, experiment)
        if table is not None:
            generation = enrolment.generation + 1
            # The run is in the key, so that concurrent runs never write the same object.
            key = f"{folder}enrolled/{generation:08d}-{enrolment.run}.parquet"
            self.bucket.upload(key, table)
            enrolment = replace(enrolment, generation=generation, table=key)
        document = self._document(layer, experiment)
        if document.replace(enrolment, etag) is None:
            raise RetriableError(
                f"Another run changed {self.bucket.uri(document.key)} meanwhile; the next try reads the new version."
            )
        self._delete_old_tables(f"{folder}enrolled/", enrolment)
        return enrolment

    def _delete_old_tables(self, folder: str, enrolment: Enrolment) -> None:
        """Keep the present table, the one before it, and newer ones: a concurrent run may be about to publish one."""
        older = [key for key in self.bucket.keys(folder) if key < f"{folder}{enrolment.generation:08d}"]
        for key in older[: 1 - _TABLES_KEPT]:
            self.bucket.delete(key)

    def _document(self, layer: str, experiment: str) -> Document[Enrolment]:
        return Document(
            self.bucket,
            f"{all_keys.enrolment(layer, experiment)}enrolled.json",
            read=lambda document: Enrolment(**document) if document else Enrolment(),
            write=asdict,
            remedy="restore an earlier version of it",
        )


@dataclass(frozen=True)
class LiftStore:
    """The lift reports of one program."""

    bucket: Bucket
    keys: Keys

    def write(self, report: LiftReport) -> None:
        """Write a report; a retry of its run replaces it."""
        self.bucket.put_json(self.keys.run_document(_LIFT, report.run, "report"), report.to_json())

    def read(self, run: str) -> LiftReport | None:
        """Read the report of a run; None when there is none."""
        document = self.bucket.get_json(self.keys.run_document(_LIFT, run, "report"))
        return LiftReport.from_json(document) if document else None

    def newest(self, count: int, experiment: str = "") -> list[LiftReport]:
        """Read the last reports, newest first: run keys begin with their time.

        :param experiment: only reports of this experiment; empty: of all.
        """
        found: list[LiftReport] = []
        for run in reversed(self.runs()):
            if len(found) == count:
                break
            report = self.read(run)
            if report and experiment in {"", report.experiment}:
                found.append(report)
        return found

    def latest(self, experiment: str = "") -> LiftReport | None:
        """Read the newest report; None before the first."""
        return next(iter(self.newest(1, experiment)), None)

    def runs(self) -> list[str]:
        """List the runs with a report, oldest first."""
        keys = self.bucket.keys(self.keys.run_documents(_LIFT))
        return sorted(key.removesuffix(_REPORT).rsplit("/", 1)[-1] for key in keys if key.endswith(_REPORT))


@dataclass(frozen=True)
class OwnExperiment:
    """An experiment that a program runs, or was the last one to run."""

    layer: str
    name: str
    experiment: LayerExperiment

    @property
    def label(self) -> str:
        """The folder below ``_experiments/``."""
        return f"{self.layer}/{self.name}"

    @property
    def folder(self) -> str:
        """The prefix of its objects."""
        return all_keys.enrolment(self.layer, self.name)

    def kept_until(self, days: int) -> datetime | None:
        """Return when its people may be removed; None while it runs.

        :param days: ``retention.days``.
        """
        ended = self.experiment.until
        return datetime.fromisoformat(ended) + timedelta(days=days) if ended else None


def own_experiments(context: StageContext) -> list[OwnExperiment]:
    """List the experiments that the program runs or ran last, without those that another program took over."""
    name = context.program.name
    found = context.store(LayerStore).of_programs(frozenset({name}))
    return [
        OwnExperiment(layer, experiment, each)
        for (layer, experiment), each in found.items()
        if each.program == name
    ]


def enrolment_tables(context: StageContext, programs: Iterable[str]) -> list[str]:
    """List the keys of the tables of people of every experiment that one of the programs ever ran."""
    found = context.store(LayerStore).of_programs(frozenset(programs))
    folders = (all_keys.enrolment(layer, name) for layer, name in found)
    return [key for folder in folders for key in context.bucket.keys(folder) if key.endswith(".parquet")]


def remove_experiment(context: StageContext, own: OwnExperiment) -> int:
    """Remove an experiment: its people, then its entry in the layer, so that a retry still finds it.

    :returns: the number of objects.
    """
    bucket, document = context.bucket, context.store(LayerStore).document(own.layer)
    keys = bucket.keys(own.folder)
    for key in keys:
        bucket.delete(key)
    layer = document.update(lambda found: found.without(own.name))
    if not layer.experiments:
        bucket.delete(document.key)
    return len(keys)
