"""Turn a batch output into published lists: out of core, the same memory for any number of people.

Output and audience are split by user into partitions on the local disk; then one partition at a time is joined, ruled,
filled from the fallback and written as about one row group.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq

from recsync.errors import FatalError
from recsync.program import Recommendations
from recsync.recommend.lists.audience import AUDIENCE, check_unique
from recsync.recommend.lists.catalogue import Catalogue
from recsync.recommend.lists.history import History, read_history
from recsync.recommend.lists.list_partition import Partition, build_partition
from recsync.recommend.lists.output_mapping import Join, Joining, by_user
from recsync.recommend.lists.output_staging import THREADS, Source, Spool, in_order
from recsync.recommend.lists.partitions import PEOPLE_PER_PARTITION, Partitions, partitions_for
from recsync.storage.arrow_memory import modest_allocator
from recsync.storage.duck import opened
from recsync.storage.local_disk import local_disk

log = logging.getLogger(__name__)

# What DuckDB may hold beside Arrow's few blocks; it spills what is more.
_MEMORY_LIMIT = "200MB"
_AUDIENCE_BATCH_ROWS = 65_536
# Statistics of nested texts cost a third of the writing, and no reader asks for them.
_DICTIONARY = ["item_ids.list.element", "tier", "reason", "segment", "unanswered"]
_ROW_GROUP_ROWS = 131_072


@dataclass
class ListsReport:
    """What became of an audience and of a batch output.

    :param users: people in the audience; each has one row.
    :param lists: of them with a list.
    :param suppressed: reason -> people without a list.
    :param tiers: furthest tier used -> people with a list.
    :param unanswered: reason -> people for whom the output should have an answer and has none.
    :param dropped: rule -> entries of the output's lists that it dropped.
    :param items: different items in all lists.
    :param questions: how many answers the output should hold: one for each person of the audience whom the job was
        asked about; of a segment job, one for each query.
    :param answered: how many of them it holds.
    :param matched: people for whom the output has a line, even one with an error.
    :param strangers: lines of users who are not in the audience.
    :param repeated: further answers of a user, equal to the first one.
    :param unreadable: lines in which nobody was found.
    """

    users: int = 0
    lists: int = 0
    suppressed: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    items: int = 0
    questions: int = 0
    answered: int = 0
    matched: int = 0
    strangers: int = 0
    repeated: int = 0
    conflicts: int = 0
    unreadable: int = 0

    def add(self, part: Partition) -> None:
        """Count one partition."""
        self.users += part.lists.num_rows
        self.lists += part.tiers.total()
        self.suppressed += part.suppressed
        self.tiers += part.tiers
        self.unanswered += part.unanswered
        self.dropped += part.dropped
        self.questions += part.asked
        self.answered += part.asked - part.unanswered.total()
        self.conflicts += part.conflicts
        self.matched += part.matched
        self.strangers += part.strangers
        self.repeated += part.repeated


def build_lists(
    outputs: Iterable[Source],
    audience: Path,
    catalogue: Catalogue,
    policy: Recommendations,
    target: Path,
    folder: Path,
    *,
    moment: datetime,
    events: Path | None = None,
    join: Join = by_user,
    people_per_partition: int = PEOPLE_PER_PARTITION,
) -> ListsReport:
    """Write one row of ``list_partition.LISTS`` for every person of an audience.

    :param outputs: the objects of the batch output; read once, in order.
    :param audience: Parquet file of ``AUDIENCE``.
    :param target: Parquet file to write.
    :param folder: an existing, empty folder for what does not fit into memory; about the size of the output's ids.
    :param moment: the time of the run, which the days of the policy count back from.
    :param events: Parquet file of ``EVENTS``; needed when ``policy.history_days`` is not 0.
    :param join: how the output's lines become people's lists; by default each is about a user.
    :param people_per_partition: how many people are worked on at a time, for each of two threads.
    :raises FatalError: when the audience holds a Braze user twice, when the fallback asks for segments and it has none,
        or when the output holds two different lists of one person.
    :raises RetriableError: when the local disk is full.
    """
    with modest_allocator(), local_disk(folder), opened(folder, memory_limit=_MEMORY_LIMIT) as connection:
        # The rows of a split are told apart by their places.
        connection.execute(f"SET preserve_insertion_order = true; SET threads = {THREADS}")
        check_unique(connection, audience)
        parts = partitions_for(pq.read_metadata(audience).num_rows, people_per_partition)
        people = _split_audience(connection, audience, folder, parts, policy)
        history = None
        if policy.history_days:
            if events is None:
                raise ValueError("this policy needs events")
            history = read_history(connection, events, audience, catalogue, policy, moment, parts, folder)
        spool = join(outputs, Joining(connection, catalogue, people, parts, folder))
    with modest_allocator(), local_disk(folder):
        report = _write(parts, people, spool, catalogue, policy, history, target)
    report.unreadable = spool.unreadable
    if spool.questions:
        report.questions, report.answered = spool.questions
    if report.conflicts:
        raise FatalError(
            f"{report.conflicts} people have two different lists in the batch output, and nothing says which one "
            "counts. Give the output of one job only."
        )
    return report


def _split_audience(
    connection: duckdb.DuckDBPyConnection, audience: Path, folder: Path, parts: int, policy: Recommendations
) -> Partitions:
    segmented = False
    with Partitions(connection, folder / "audience", AUDIENCE, parts) as people:
        for batch in pq.ParquetFile(audience).iter_batches(_AUDIENCE_BATCH_ROWS):
            segmented = segmented or batch["segment"].null_count < batch.num_rows
            people.add(batch.select(AUDIENCE.names).cast(AUDIENCE))
    if "popular_in_segment" in policy.fallback and not segmented:
        raise FatalError(
            "recommendations.fallback names popular_in_segment, but audience.sql returns no segment for anybody; "
            "return a column segment or leave the tier out."
        )
    return people


def _write(
    parts: int,
    people: Partitions,
    spool: Spool,
    catalogue: Catalogue,
    policy: Recommendations,
    history: History | None,
    target: Path,
) -> ListsReport:
    def build(part: int) -> Partition:
        purchases = history.purchases.read(part) if history else None
        lines = spool.lines.read(part)
        asked = None if spool.asked is None else spool.asked.read(part)
        return build_partition(people.read(part), lines, purchases, catalogue, policy, history, asked)

    report, used, writer = ListsReport(), np.zeros(len(catalogue), np.bool_), None
    try:
        with ThreadPoolExecutor(THREADS) as threads:
            for made in in_order(threads, build, range(parts), ahead=THREADS):
                # Without Arrow's own schema, readers see plain texts where dictionaries were written.
                writer = writer or pq.ParquetWriter(
                    target,
                    made.lists.schema,
                    compression="zstd",
                    use_dictionary=_DICTIONARY,
                    write_statistics=["external_id"],
                    store_schema=False,
                )
                writer.write_table(made.lists, row_group_size=_ROW_GROUP_ROWS)
                report.add(made)
                used |= made.used
    finally:
        if writer:
            writer.close()
    report.items = int(np.count_nonzero(used))
    return report
