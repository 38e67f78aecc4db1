"""What the checks of one export know before they begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from recsync.program import Checks, DatasetType
from recsync.program.avro import AvroSchema
from recsync.program.intervals import Interval
from recsync.storage.hashes import Hashes


@dataclass(frozen=True)
class CheckContext:
    """One export of one dataset.

    :param program: the program's name, for the report.
    :param full: whether it is a snapshot of everything before the interval's end.
    :param select_by: which time the query compares with the interval.
    :param settings: the program's thresholds.
    :param sql: the SQL file, for messages.
    :param work: an existing folder for the quarantine file and for what does not fit into memory.
    :param known: sorted hashes of the ids that the users and the items dataset hold; what is not known is left out,
        and so is its rule.
    :param known_items_before: sorted hashes of the items that are not new; None when nobody knows.
    :param kept_ids: datasets that the program lacks, whose ids are those that its interactions hold.
    :param history: JSON documents of earlier reports of this dataset, newest first.
    """

    program: str
    schema: AvroSchema
    dataset_type: DatasetType
    interval: Interval
    full: bool
    select_by: Literal["event_time", "ingestion_time"]
    settings: Checks
    sql: str
    work: Path
    known: Mapping[DatasetType, Hashes] = field(default_factory=dict)
    known_items_before: Hashes | None = None
    kept_ids: frozenset[DatasetType] = frozenset()
    history: Sequence[Mapping[str, Any]] = ()
