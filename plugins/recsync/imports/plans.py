"""The plans that the tasks of a training pass on, and the import jobs that a plan pays for.

Their JSON is kept in XCom and in ``imports.json``, where a newer release meets it: keys stay, new ones need a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, ClassVar, TypeAlias

from recsync.program import DatasetType


@dataclass(frozen=True)
class Taken:
    """What one import takes of one interval.

    :param digest: of the published object; the dataset has all its rows once the import is ACTIVE.
    :param key: the import object with the rows.
    """

    interval: str
    digest: str
    key: str


@dataclass(frozen=True)
class FullPlan:
    """What one FULL run does.

    :param until: end of the data.
    :param keys: S3 key of each dataset's snapshot.
    :param known: dataset -> interval -> digest of late intervals that the snapshot includes.
    """

    run: str
    until: datetime
    keys: Mapping[DatasetType, str]
    known: Mapping[DatasetType, Mapping[str, str]]
    mode: ClassVar[str] = "FULL"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return {
            "run": self.run,
            "mode": self.mode,
            "until": self.until.isoformat(),
            "keys": _by_name(self.keys),
            "known": {kind.value: dict(digests) for kind, digests in self.known.items()},
        }


@dataclass(frozen=True)
class UpdatePlan:
    """What one UPDATE run does.

    :param why: reason for the run, for people.
    :param solution_arn: the champion's solution, which is trained.
    :param locations: URI of the folder that each dataset imports; empty when it imports nothing.
    :param rows: imported rows by the dataset's folder name.
    :param after: :meth:`DatasetState.version` of each dataset when the run was planned.
    """

    run: str
    why: str
    solution_arn: str
    locations: Mapping[DatasetType, str]
    rows: Mapping[str, int]
    taken: Mapping[DatasetType, tuple[Taken, ...]]
    after: Mapping[DatasetType, str]
    mode: ClassVar[str] = "UPDATE"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return {
            "run": self.run,
            "mode": self.mode,
            "why": self.why,
            "solution_arn": self.solution_arn,
            "locations": _by_name(self.locations),
            "rows": dict(self.rows),
            "taken": {kind.value: [asdict(each) for each in taken] for kind, taken in self.taken.items()},
            "after": _by_name(self.after),
        }


@dataclass(frozen=True)
class StreamPlan:
    """What one run streams.

    :param rows: rows to stream by the dataset's folder name.
    :param taken: oldest interval first.
    :param after: :meth:`DatasetState.version` of each dataset when the run was planned.
    """

    run: str
    rows: Mapping[str, int]
    taken: Mapping[DatasetType, tuple[Taken, ...]]
    after: Mapping[DatasetType, str]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return {
            "run": self.run,
            "rows": dict(self.rows),
            "taken": {kind.value: [asdict(each) for each in taken] for kind, taken in self.taken.items()},
            "after": _by_name(self.after),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> StreamPlan:
        """Read it back."""
        return cls(
            document["run"],
            document["rows"],
            {
                DatasetType(kind): tuple(Taken(**e) for e in taken)
                for kind, taken in document["taken"].items()
            },
            _by_dataset(document["after"]),
        )


Plan: TypeAlias = FullPlan | UpdatePlan


def read_plan(document: Mapping[str, Any]) -> Plan:
    """Read what ``to_json`` of a plan returned."""
    if document["mode"] == FullPlan.mode:
        return FullPlan(
            run=document["run"],
            until=datetime.fromisoformat(document["until"]),
            keys=_by_dataset(document["keys"]),
            known=_by_dataset(document["known"]),
        )
    return UpdatePlan(
        run=document["run"],
        why=document["why"],
        solution_arn=document["solution_arn"],
        locations=_by_dataset(document["locations"]),
        rows=document["rows"],
        taken={
            DatasetType(kind): tuple(Taken(**each) for each in taken)
            for kind, taken in document["taken"].items()
        },
        after=_by_dataset(document["after"]),
    )


@dataclass(frozen=True)
class ImportJob:
    """An import job of Amazon Personalize, by the name of its first try."""

    name: str
    dataset_arn: str


@dataclass(frozen=True)
class FullContent:
    """What a FULL import gives one dataset; the fields are those of :class:`LastFull`."""

    digest: str
    snapshot: str
    etag: str


@dataclass(frozen=True)
class PendingImports:
    """Import jobs that were registered and not yet marked as done.

    :param full: of a FULL plan, also for a dataset that needs no job.
    :param objects: interval -> its objects in an imported folder.
    """

    plan: Plan
    jobs: Mapping[DatasetType, ImportJob]
    full: Mapping[DatasetType, FullContent]
    objects: Mapping[str, tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return the document."""
        return {
            "plan": self.plan.to_json(),
            "jobs": {kind.value: asdict(job) for kind, job in self.jobs.items()},
            "full": {kind.value: asdict(content) for kind, content in self.full.items()},
            "objects": {interval: list(keys) for interval, keys in self.objects.items()},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PendingImports:
        """Read it back."""
        return cls(
            read_plan(document["plan"]),
            {DatasetType(kind): ImportJob(**job) for kind, job in document["jobs"].items()},
            {DatasetType(kind): FullContent(**content) for kind, content in document["full"].items()},
            {interval: tuple(keys) for interval, keys in document["objects"].items()},
        )


def _by_name(values: Mapping[DatasetType, Any]) -> dict[str, Any]:
    return {kind.value: value for kind, value in values.items()}


def _by_dataset(values: Mapping[str, Any]) -> dict[DatasetType, Any]:
    return {DatasetType(kind): value for kind, value in values.items()}
