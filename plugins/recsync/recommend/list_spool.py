"""What the tasks that build the lists of a run share on S3: the work, its tables, and the rows split by user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.history import PAST_LISTS, PURCHASES
from recsync.recommend.lists.partitions import PartitionPlan, Partitions, Pieces

WORK, CATALOG, HISTORY = "work.json", "catalog.parquet", "history.npz"
"""Names in the spool."""
AUDIENCE_ROWS, PURCHASE_ROWS = "audience", "purchases"
"""Names of tables of users."""


def output_rows(job: str) -> str:
    """Return the name of the table of a job's lines."""
    return f"output-{job}"


def past_rows(rule: str, number: int) -> str:
    """Return the name of the table of one past run's lists."""
    return f"{rule}-{number}"


@dataclass(frozen=True)
class ListWork:
    """What the tasks that build the lists of a run share.

    :param stamp: identifies this division of the work; a task refuses pieces with another stamp.
    :param outputs: objects and sizes of each job's output.
    :param past_lists: by member of ``Rules``, the number of runs with lists to leave out.
    :param is_by_user: whether the outputs are split by user.
    :param with_history: whether the policy looks at purchases.
    """

    stamp: str
    tasks: int
    plan: PartitionPlan
    outputs: dict[str, list[tuple[str, int]]]
    past_lists: dict[str, int]
    is_by_user: bool
    with_history: bool
    with_scores: bool
    notes: list[str] = field(default_factory=list)

    @property
    def output_bytes(self) -> int:
        """Return the size of all outputs."""
        return sum(size for objects in self.outputs.values() for _, size in objects)

    @property
    def past_tables(self) -> list[tuple[str, str]]:
        """Return the rule and the name of each table of past lists."""
        return [(rule, past_rows(rule, n)) for rule, runs in self.past_lists.items() for n in range(runs)]

    def check(self, document: Mapping[str, Any] | None, what: str) -> Mapping[str, Any]:
        """Return what a task reported about this work.

        :raises FatalError: when it was written for an earlier division.
        """
        if document is None or document["stamp"] != self.stamp:
            raise FatalError(
                f"{what} was written before divide_lists ran last. Clear the task divide_lists and all that follow it."
            )
        return document


@dataclass(frozen=True)
class ListSpool:
    """The objects that the tasks of a run share.

    :param folder: of the task, for files that are read or written.
    """

    context: StageContext
    run: str
    folder: Path

    def key(self, name: str) -> str:
        return self.context.keys.list_spool(self.run, name)

    def upload(self, name: str, path: Path) -> None:
        self.context.bucket.upload(self.key(name), path)

    def download(self, name: str) -> Path:
        path = self.folder / f"spool-{name.replace('/', '-')}"
        self.context.bucket.download(self.key(name), path)
        return path

    def put_json(self, name: str, document: Mapping[str, Any]) -> None:
        self.context.bucket.put_json(self.key(name), document)

    def get_json(self, name: str) -> Any:
        return self.context.bucket.get_json(self.key(name))

    def work(self) -> ListWork:
        """Read what the task ``divide_lists`` wrote.

        :raises FatalError: when it is gone.
        """
        document = self.get_json(WORK)
        if document is None:
            raise FatalError(
                f"The work of building the lists of run {self.run} is gone from S3: they were published, or removed. "
                "Clear the task divide_lists to build them again."
            )
        outputs = {job: [tuple(each) for each in found] for job, found in document["outputs"].items()}
        return ListWork(**{**document, "plan": PartitionPlan(**document["plan"]), "outputs": outputs})

    def tables(self, work: ListWork) -> dict[str, tuple[str, pa.Schema]]:
        """Return the tables of users beside the outputs: by name, their object and the columns."""
        found = {AUDIENCE_ROWS: (self.context.keys.audience(self.run), AUDIENCE)}
        if work.with_history:
            found[PURCHASE_ROWS] = (self.key(f"{PURCHASE_ROWS}.parquet"), PURCHASES)
        return found | {name: (self.key(f"{name}.parquet"), PAST_LISTS) for _, name in work.past_tables}

    def write_pieces(self, work: ListWork, name: str, task: int, rows: Partitions) -> None:
        """Write rows as a piece for each task that builds, and remove them from the local disk."""
        path = self.folder / "piece.arrow"
        for other in range(work.tasks):
            rows.write_piece(work.plan.inside(work.plan.share(other, work.tasks)), path)
            self.upload(_piece(name, task, other), path)
        rows.remove()
        path.unlink()

    def pieces_bytes(self, work: ListWork, name: str, task: int) -> int:
        """Return the size of the pieces of a table for a task."""
        pieces = (_piece(name, other, task) for other in range(work.tasks))
        return sum(self.context.bucket.size_bytes(self.key(piece)) or 0 for piece in pieces)

    def pieces(self, work: ListWork, name: str, task: int, inside: range) -> Pieces:
        """Download the pieces of a table for a task."""
        return Pieces([self.download(_piece(name, other, task)) for other in range(work.tasks)], inside)


def _piece(name: str, staged_by: int, built_by: int) -> str:
    return f"pieces/{name}-{staged_by:03d}-{built_by:03d}.arrow"
