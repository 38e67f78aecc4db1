"""Turn a batch output into published lists: out of core, the same memory for any number of people.

Output and audience are split by user into partitions on the local disk; then one partition at a time is joined, ruled,
filled from the fallback and written as about one row group. Many people are several files, each of some partitions, so
that several tasks can build them; the files are the same whoever builds them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.errors import FatalError
from recsync.program import Recommendations
from recsync.recommend.lists.arms import CHAMPION, Arms
from recsync.recommend.lists.audience import AUDIENCE, check_unique
from recsync.recommend.lists.catalog import ItemCatalog, positions_in
from recsync.recommend.lists.history import PAST_LISTS, PURCHASES, History, summarise
from recsync.recommend.lists.left_out import rules_in
from recsync.recommend.lists.list_partition import BuiltPartition, ListsReport, build_partition
from recsync.recommend.lists.output_mapping import MappingContext, OutputMapping, by_user
from recsync.recommend.lists.output_staging import Source, StagedOutput, in_order
from recsync.recommend.lists.partitions import (
    PEOPLE_PER_PARTITION,
    PartitionPlan,
    Partitions,
    Parts,
    rows_of,
)
from recsync.recommend.lists.rules import ListRules
from recsync.storage import machine
from recsync.storage.duck import local_disk, modest_allocator, opened
from recsync.storage.list_files import file_of, list_writer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArmOutput:
    """The output of the job of one arm.

    :param mapping: how its lines become people's lists.
    """

    outputs: Iterable[Source]
    mapping: OutputMapping


_NO_LISTS: Mapping[str, Sequence[Path]] = {}
_NO_OUTPUTS: Mapping[str, ArmOutput] = {}
# Memory that a thread needs for a partition of people, their lines, purchases and lists.
_THREAD_BYTES = 300_000_000
_ROW_GROUP_ROWS = 131_072


@dataclass(frozen=True)
class ListBuilder:
    """Builds the lists of single partitions; all rows are split in the same way.

    :param answers: by job, its staged output; the champion's is ``arms.CHAMPION``.
    :param history: None when the policy looks at no purchases.
    :param past_lists: by member of ``Rules``.
    :param explained: whether to record what the rules leave out.
    """

    people: Parts
    answers: Mapping[str, StagedOutput]
    catalog: ItemCatalog
    policy: Recommendations
    history: History | None
    purchases: Parts | None
    past_lists: Mapping[str, Parts]
    arms: Arms | None = None
    explained: bool = False

    def build(self, part: int) -> BuiltPartition:
        """Build the lists of one partition."""
        purchases = self.purchases.read(part) if self.purchases else None
        lists = {rule: each.read(part) for rule, each in self.past_lists.items()}
        rows, answers = self.people.read(part), {name: each.read(part) for name, each in self.answers.items()}
        if self.arms is None:
            lines, asked = answers[CHAMPION]
            return build_partition(
                rows, lines, purchases, self.catalog, self.policy, self.history, asked, lists,
                explained=self.explained,
            )  # fmt: skip
        return self.arms.build_partition(
            rows, answers, purchases, self.catalog, self.policy, self.history, lists, explained=self.explained
        )

    def write(
        self, plan: PartitionPlan, files: range, target: Path, left_out: Path | None
    ) -> tuple[ListsReport, NDArray[np.bool_]]:
        """Build the lists of some files, in as many threads as the process may use.

        :param target: where to write them, as :func:`file_of` names them; ``left_out``: what the rules left out.
        :returns: their figures, and which items of the catalog they hold.
        """
        report, used = ListsReport(), np.zeros(len(self.catalog), np.bool_)
        parts = plan.inside(files)
        count = max(1, min(machine.cpus(), machine.memory_bytes() // _THREAD_BYTES))
        with ThreadPoolExecutor(count) as threads:
            built = in_order(threads, self.build, parts, ahead=count)
            for number in files:
                paths = (
                    file_of(target, number, plan.files),
                    left_out and file_of(left_out, number, plan.files),
                )
                with ExitStack() as opened_files:
                    writers: dict[Path, pq.ParquetWriter] = {}
                    for _ in plan.inside(range(number, number + 1)):
                        lists, used_here, figures, why_not = next(built)
                        for path, table in zip(paths, (lists, why_not), strict=True):
                            if path is not None and table is not None:
                                if path not in writers:
                                    writers[path] = opened_files.enter_context(
                                        list_writer(path, table.schema)
                                    )
                                writers[path].write_table(table, row_group_size=_ROW_GROUP_ROWS)
                        report += figures
                        used |= used_here
                    for writer in writers.values():
                        writer.add_key_value_metadata(positions_in(self.catalog.table))
                    if paths[1] in writers:
                        rules = list(ListRules(self.policy.rules, self.catalog).numbers)
                        writers[paths[1]].add_key_value_metadata(rules_in(rules))
        return report, used


def check_conflicts(report: ListsReport) -> None:
    """Raise FatalError when the output holds two different lists of one person."""
    if report.conflicts:
        raise FatalError(
            f"{report.conflicts} people have two different lists in the batch output, and nothing says which one "
            "counts. Give the output of one job only."
        )


def build_lists(
    outputs: Iterable[Source],
    audience: Path,
    catalog: ItemCatalog,
    policy: Recommendations,
    target: Path,
    folder: Path,
    *,
    moment: datetime,
    purchases: Path | None = None,
    past_lists: Mapping[str, Sequence[Path]] = _NO_LISTS,
    mapping: OutputMapping = by_user,
    with_scores: bool = False,
    people_per_partition: int = PEOPLE_PER_PARTITION,
    people_per_file: int = sys.maxsize,
    left_out: Path | None = None,
    arms: Arms | None = None,
    arm_outputs: Mapping[str, ArmOutput] = _NO_OUTPUTS,
) -> ListsReport:
    """Write one row of ``list_partition.LISTS`` for every person of an audience.

    :param outputs: the objects of the batch output; read once, in order. With an experiment, those of the champion.
    :param audience: Parquet file of ``AUDIENCE``.
    :param target: Parquet file to write; of many people several ones, as :func:`file_of` names them.
    :param folder: an existing, empty folder for staged data, about as large as the output's ids.
    :param moment: the time of the run, which the days of the policy count back from.
    :param purchases: Parquet file of ``PURCHASES``; needed when ``policy.history_days`` is not 0.
    :param past_lists: by member of ``Rules``, Parquet files of ``history.PAST_LISTS`` with the items to leave out.
    :param mapping: how the output's lines become people's lists; by default each line is about one user.
    :param with_scores: whether to read the scores, which adds about half to the CPU time.
    :param people_per_partition: people per partition; each thread works on one partition.
    :param people_per_file: people per file. Default: one file.
    :param left_out: Parquet file of ``LEFT_OUT`` to write; None: what the rules leave out is not recorded.
    :param arms: the arms of the program's experiment; None: it has none.
    :param arm_outputs: by arm with another model, the output of its job.
    :raises FatalError: when a Braze user is in the audience twice, when the fallback needs segments and the audience
        has none, or when the output holds two different lists of one person.
    :raises RetriableError: when the local disk is full.
    """
    needed = arms.needed(policy) if arms else policy
    plan = PartitionPlan.of(
        pq.read_metadata(audience).num_rows,
        sum(map(len, past_lists.values())),
        people_per_partition=people_per_partition,
        people_per_file=people_per_file,
    )
    with modest_allocator(), local_disk(folder):
        with opened(folder, memory_limit=machine.duckdb_memory()) as connection:
            check_unique(connection, audience)
            check_segments(connection, audience, policy)
            history = summary_of(connection, purchases, audience, catalog, needed, moment)
        people = Partitions(folder / "audience", AUDIENCE, plan.parts).fill(rows_of([audience]))
        bought = None
        if history and purchases:
            bought = Partitions(folder / "purchases", PURCHASES, plan.parts).fill(rows_of([purchases]))
        former = {
            rule: Partitions(folder / rule, PAST_LISTS, plan.parts).fill(rows_of(files))
            for rule, files in past_lists.items()
        }
        # Measured: between the steps, malloc keeps 40 to 60 MB that they have freed.
        pa.system_memory_pool().release_unused()
        where = MappingContext(catalog, people, plan.parts, folder, with_scores)
        answers = {CHAMPION: mapping(outputs, where)}
        for name, each in arm_outputs.items():
            answers[name] = each.mapping(each.outputs, replace(where, folder=folder / f"arm-{name}"))
        pa.system_memory_pool().release_unused()
        builder = ListBuilder(
            people, answers, catalog, policy, history, bought, former, arms, explained=bool(left_out)
        )
        report, used = builder.write(plan, range(plan.files), target, left_out)
    report.files, report.items = plan.files, int(np.count_nonzero(used))
    report.unreadable = sum(each.unreadable for each in answers.values())
    if questions := answers[CHAMPION].questions:
        report.questions, report.answered = questions
    check_conflicts(report)
    return report


def summary_of(
    connection: duckdb.DuckDBPyConnection,
    purchases: Path | None,
    audience: Path,
    catalog: ItemCatalog,
    policy: Recommendations,
    moment: datetime,
) -> History | None:
    """Summarise the purchases as :func:`history.summarise` does, where the policy looks at any."""
    if not policy.history_days:
        return None
    if purchases is None:
        raise ValueError("this policy needs purchases")
    return summarise(connection, purchases, audience, catalog, policy, moment)


def check_segments(connection: duckdb.DuckDBPyConnection, audience: Path, policy: Recommendations) -> None:
    """Raise FatalError when the fallback needs segments and no row of the audience has one."""
    people = connection.read_parquet(str(audience))
    if "popular_in_segment" in policy.fallback and not len(people.filter("segment IS NOT NULL").limit(1)):
        raise FatalError(
            "recommendations.fallback names popular_in_segment, but audience.sql returns no segment for anybody; "
            "return a column segment or leave the tier out."
        )
