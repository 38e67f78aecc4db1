"""Turn a batch output into published lists: out of core, the same memory for any number of people.

Output and audience are split by user into partitions on the local disk; then one partition at a time is joined, ruled,
filled from the fallback and written as about one row group.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.errors import FatalError
from recsync.program import Recommendations
from recsync.recommend.lists.audience import AUDIENCE, check_unique
from recsync.recommend.lists.catalog import ItemCatalog, positions_in
from recsync.recommend.lists.history import PAST_LISTS, History, read_history
from recsync.recommend.lists.left_out import rules_in
from recsync.recommend.lists.list_partition import ListsReport, build_partition
from recsync.recommend.lists.output_mapping import MappingContext, OutputMapping, by_user
from recsync.recommend.lists.output_staging import (
    PEOPLE_PER_PARTITION,
    THREADS,
    Partitions,
    Source,
    StagedOutput,
    in_order,
    partitions_for,
)
from recsync.recommend.lists.rules import ListRules
from recsync.storage.duck import local_disk, modest_allocator, opened

log = logging.getLogger(__name__)

_NO_LISTS: Mapping[str, Sequence[Path]] = {}
# Memory limit of DuckDB, beside Arrow's few blocks; it spills the rest to disk.
_MEMORY_LIMIT = "200MB"
# Statistics of nested texts cost a third of the writing, and no reader uses them.
_DICTIONARY = ["items.list.element", "rules.list.element", "tier", "reason", "segment", "unanswered"]
_ROW_GROUP_ROWS = 131_072


def build_lists(
    outputs: Iterable[Source],
    audience: Path,
    catalog: ItemCatalog,
    policy: Recommendations,
    target: Path,
    folder: Path,
    *,
    moment: datetime,
    events: Path | None = None,
    past_lists: Mapping[str, Sequence[Path]] = _NO_LISTS,
    mapping: OutputMapping = by_user,
    with_scores: bool = False,
    people_per_partition: int = PEOPLE_PER_PARTITION,
    left_out: Path | None = None,
) -> ListsReport:
    """Write one row of ``list_partition.LISTS`` for every person of an audience.

    :param outputs: the objects of the batch output; read once, in order.
    :param audience: Parquet file of ``AUDIENCE``.
    :param target: Parquet file to write.
    :param folder: an existing, empty folder for staged data, about as large as the output's ids.
    :param moment: the time of the run, which the days of the policy count back from.
    :param events: Parquet file of ``EVENTS``; needed when ``policy.history_days`` is not 0.
    :param past_lists: by member of ``Rules``, Parquet files of ``history.PAST_LISTS`` with the items to leave out.
    :param mapping: how the output's lines become people's lists; by default each line is about one user.
    :param with_scores: whether to read the scores, which adds about half to the CPU time.
    :param people_per_partition: people per partition; two threads work on one partition each.
    :param left_out: Parquet file of ``LEFT_OUT`` to write; None: what the rules leave out is not recorded.
    :raises FatalError: when a Braze user is in the audience twice, when the fallback needs segments and the audience
        has none, or when the output holds two different lists of one person.
    :raises RetriableError: when the local disk is full.
    """
    with modest_allocator(), local_disk(folder), opened(folder, memory_limit=_MEMORY_LIMIT) as connection:
        # Splitting relies on the order of the rows.
        connection.execute(f"SET preserve_insertion_order = true; SET threads = {THREADS}")
        check_unique(connection, audience)
        # The former lists of a partition's people are in memory, too.
        per_partition = max(1, people_per_partition // (1 + sum(map(len, past_lists.values())) // 5))
        parts = partitions_for(pq.read_metadata(audience).num_rows, per_partition)
        people = _split_audience(connection, audience, folder, parts, policy)
        history = None
        if policy.history_days:
            if events is None:
                raise ValueError("this policy needs events")
            history = read_history(connection, events, audience, catalog, policy, moment, parts, folder)
        former = {
            rule: Partitions(connection, folder / rule, PAST_LISTS, parts).fill(files)
            for rule, files in past_lists.items()
        }
        staged = mapping(outputs, MappingContext(connection, catalog, people, parts, folder, with_scores))
    with modest_allocator(), local_disk(folder):
        report = _write(parts, people, staged, catalog, policy, history, former, target, left_out)
    report.unreadable = staged.unreadable
    if staged.questions:
        report.questions, report.answered = staged.questions
    if report.conflicts:
        raise FatalError(
            f"{report.conflicts} people have two different lists in the batch output, and nothing says which one "
            "counts. Give the output of one job only."
        )
    return report


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Without Arrow's own schema, readers see plain texts where dictionaries were written.
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=_DICTIONARY,
        write_statistics=["external_id"],
        store_schema=False,
    )


def _split_audience(
    connection: duckdb.DuckDBPyConnection, audience: Path, folder: Path, parts: int, policy: Recommendations
) -> Partitions:
    audience_rows = connection.read_parquet(str(audience))
    if "popular_in_segment" in policy.fallback and not len(
        audience_rows.filter("segment IS NOT NULL").limit(1)
    ):
        raise FatalError(
            "recommendations.fallback names popular_in_segment, but audience.sql returns no segment for anybody; "
            "return a column segment or leave the tier out."
        )
    return Partitions(connection, folder / "audience", AUDIENCE, parts).fill([audience])


def _write(
    parts: int,
    people: Partitions,
    staged: StagedOutput,
    catalog: ItemCatalog,
    policy: Recommendations,
    history: History | None,
    former: Mapping[str, Partitions],
    target: Path,
    left_out: Path | None,
) -> ListsReport:
    def build(part: int) -> tuple[pa.Table, NDArray[np.bool_], ListsReport, pa.Table | None]:
        purchases = history.purchases.read(part) if history else None
        asked = None if staged.asked is None else staged.asked.read(part)
        lines = staged.lines.read(part)
        lists = {rule: each.read(part) for rule, each in former.items()}
        return build_partition(
            people.read(part),
            lines,
            purchases,
            catalog,
            policy,
            history,
            asked,
            lists,
            explained=bool(left_out),
        )

    report, used = ListsReport(), np.zeros(len(catalog), np.bool_)
    with ExitStack() as files, ThreadPoolExecutor(THREADS) as threads:
        writers: dict[Path, pq.ParquetWriter] = {}
        for lists, used_here, figures, why_not in in_order(threads, build, range(parts), ahead=THREADS):
            for path, table in ((target, lists), (left_out, why_not)):
                if path is not None and table is not None:
                    if path not in writers:
                        writers[path] = files.enter_context(_writer(path, table.schema))
                    writers[path].write_table(table, row_group_size=_ROW_GROUP_ROWS)
            report += figures
            used |= used_here
        for writer in writers.values():
            writer.add_key_value_metadata(positions_in(catalog.table))
        if left_out in writers:
            writers[left_out].add_key_value_metadata(rules_in(list(ListRules(policy.rules, catalog).numbers)))
    report.items = int(np.count_nonzero(used))
    return report
