"""Bring the tables of a program up to date with its recommend runs, deliveries, evaluations and costs.

Every function may be interrupted and repeated: an object is replaced by an equal one, and a delivery's row in
``deliveries`` is written after its accounts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from recsync.context import StageContext
from recsync.costs.estimate import prices
from recsync.costs.ledger import CostLedger, Month, month_of
from recsync.costs.prices import PriceList
from recsync.errors import FATAL
from recsync.evaluation.store import Champion, ChampionStore
from recsync.experiments.store import EnrolmentStore, LayerStore
from recsync.lift.outcomes import IDS, OPTIONAL, REQUIRED, write_outcomes
from recsync.program.intervals import Interval
from recsync.push.store import Deliveries, PlanManifest
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore
from recsync.storage import duck
from recsync.storage.duck import modest_allocator, work_folder
from recsync.suppression.store import read_suppression
from recsync.tables import build
from recsync.tables.build import PeopleFiles
from recsync.tables.schema import (
    ACCOUNTS,
    COSTS,
    DELIVERIES,
    EXPERIMENTS,
    LISTS,
    OUTCOMES,
    VERSIONS,
    TableSchema,
)
from recsync.tables.store import TableStore
from recsync.warehouse.program_sql import read_query

log = logging.getLogger(__name__)

_MANIFEST = "/manifest.json"
_LONGEST_RECOMMEND = timedelta(days=2)
_DAY = timedelta(days=1)
_OF_REPORT = (
    "audience", "left_audience", "left_audience_kept", "data_points", "catalog_items", "catalog_retired", "resent",
    "tries", "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class TableWriter:
    """Writes the tables of one program.

    :param now: time of the run; partitions that ``maintain`` would remove are not written.
    """

    context: StageContext
    now: datetime

    @classmethod
    def of(cls, program: str, now: datetime) -> TableWriter:
        """Read the program file."""
        return cls(StageContext.of(program), now)

    @cached_property
    def store(self) -> TableStore:
        """Return the store of the tables."""
        return self.context.store(TableStore)

    @property
    def program(self) -> str:
        """Return the name of the program."""
        return self.context.program.name

    @property
    def first_day(self) -> date:
        """Return the oldest day that is kept."""
        return (self.now - timedelta(days=self.context.program.retention.table_days - 1)).date()

    def lists(self) -> dict[str, int]:
        """Write the lists of published runs that are missing, or were published again since.

        :returns: ``objects`` and ``rows`` written, and ``left``: number of unreadable runs, each with a warning.
        """
        written = {each.name: each.modified for each in self.store.objects(LISTS)}
        keys, counts = self.context.keys, {"objects": 0, "rows": 0, "left": 0}
        published = {
            entry["Key"].removesuffix(_MANIFEST).rsplit("/", 1)[-1]: entry["LastModified"]
            for entry in self.context.bucket.listed(keys.all_recommendations)
            if entry["Key"].endswith(_MANIFEST)
        }
        recommendations = self.context.store(RecommendationsStore)
        for run, modified in sorted(published.items()):
            if run in written and written[run] > modified:
                continue
            manifest = recommendations.manifest(run)
            if manifest.users == 0 or _moment(manifest.created_at).date() < self.first_day:
                continue
            try:
                counts["rows"] += self._write_lists(manifest)
                counts["objects"] += 1
            except FATAL as error:
                counts["left"] += 1
                log.warning("The lists of %s were not written to the tables: %s", run, error)
        return counts

    def _write_lists(self, manifest: RecommendationsManifest) -> int:
        created = _moment(manifest.created_at)
        recommendations = self.context.store(RecommendationsStore)
        with work_folder() as work, modest_allocator(), duck.opened(work) as database:
            catalog = recommendations.download(manifest.run, work / "lists.parquet")
            rows = build.write_lists(
                database,
                catalog,
                self._people(manifest.run, work, lists=work / "lists.parquet"),
                work / "table.parquet",
                program=self.program,
                run=manifest.run,
                created_at=created,
                solution_version=manifest.solution_version_arn,
                by_arm=_versions_by_arm(manifest),
            )
            self.store.put(LISTS, created.date(), manifest.run, work / "table.parquet")
        return rows

    def _people(self, run: str, work: Path, *, lists: Path | None) -> PeopleFiles:
        audience = self.context.store(RecommendationsStore).download_audience(run, work / "audience.parquet")
        # Erasures wait for earlier runs, and later runs read the suppression list: docs/forget.md.
        return PeopleFiles(lists, audience, read_suppression(self.context))

    def deliveries(self) -> dict[str, int]:
        """Write the accounts and the row of complete deliveries that are missing.

        :returns: ``objects`` and ``rows`` of accounts written.
        """
        written = {each.name for each in self.store.objects(DELIVERIES)}
        deliveries, counts = self.context.store(Deliveries), {"objects": 0, "rows": 0}
        for name in deliveries.names():
            if name in written or _planned(name).date() < self.first_day:
                continue
            report = deliveries.report(name, "report")
            if report is None:  # a dry run, under way, or replaced by a newer one
                continue
            counts["rows"] += self._write_delivery(deliveries.plan(name), report)
            counts["objects"] += 1
        return counts

    def _write_delivery(self, plan: PlanManifest, report: Mapping[str, Any]) -> int:
        planned = _planned(plan.delivery)
        recommendations = self.context.store(RecommendationsStore)
        with work_folder() as work, modest_allocator(), duck.opened(work) as database:
            lists = recommendations.download_rows(plan.recommendations, work / "lists.parquet")
            self.context.store(Deliveries).download_accounts(plan.delivery, work / "accounts.parquet")
            rows = build.write_accounts(
                database,
                work / "accounts.parquet",
                self._people(plan.recommendations, work, lists=lists),
                work / "table.parquet",
                program=self.program,
                delivery=plan.delivery,
                run=plan.recommendations,
                planned_at=planned,
            )
            self.store.put(ACCOUNTS, planned.date(), plan.delivery, work / "table.parquet")
            manifest = recommendations.manifest(plan.recommendations) if lists else None
            build.write_rows(DELIVERIES, [self._delivery(plan, report, manifest)], work / "delivery.parquet")
            self.store.put(DELIVERIES, planned.date(), plan.delivery, work / "delivery.parquet")
        return rows

    def _delivery(
        self, plan: PlanManifest, report: Mapping[str, Any], manifest: RecommendationsManifest | None
    ) -> dict[str, Any]:
        return {
            "program": self.program,
            "delivery": plan.delivery,
            "run": plan.recommendations,
            "planned_at": _planned(plan.delivery),
            "generated_at": _moment(manifest.created_at) if manifest else None,
            "solution_version": (manifest.solution_version_arn or None) if manifest else None,
            "replay_of": plan.replay_of or None,
            "is_resync": plan.resync,
            **report["outcomes"],
            **{name: report[name] for name in _OF_REPORT},
        }

    def versions(self) -> dict[str, int]:
        """Write missing days of evaluations, and the newest day again, as it may have more by now."""
        judged = sorted(
            self.context.store(ChampionStore).evaluated(), key=lambda each: _moment(each.promoted_at)
        )
        days = {
            day: list(found) for day, found in groupby(judged, lambda each: _moment(each.promoted_at).date())
        }
        written = {each.day for each in self.store.objects(VERSIONS)}
        newest = max(written, default=date.min)
        return self._write_days(
            VERSIONS,
            {
                day: [row for each in found for row in self._version(each)]
                for day, found in days.items()
                if day not in written or day >= newest
            },
        )

    def _version(self, judged: Champion) -> Iterator[dict[str, Any]]:
        baseline = judged.baseline_metrics or {}
        metrics: list[str | None] = [*sorted({*judged.metrics, *baseline})]
        for metric in metrics or [None]:
            yield {
                "program": self.program,
                "solution_version": judged.solution_version_arn,
                "segment_version": judged.segment_version_arn or None,
                "training_mode": judged.training_mode,
                "evaluated_at": _moment(judged.promoted_at),
                "dag_run": judged.run_id,
                "outcome": judged.outcome.value,
                "is_champion": judged.makes_champion,
                "reason": judged.reason or None,
                "metric": metric,
                "metric_value": judged.metrics.get(metric) if metric else None,
                "baseline_value": baseline.get(metric) if metric else None,
            }

    def costs(self) -> dict[str, int]:
        """Write missing months of the ledger, and this month and the last one again."""
        written = {each.name for each in self.store.objects(COSTS)}
        ledger, found = self.context.store(CostLedger), prices()
        growing = {month_of(self.now), month_of(self.now.replace(day=1) - timedelta(days=1))}
        counts = {"objects": 0, "rows": 0}
        for month in ledger.months():
            if month in written - growing:
                continue
            rows = list(self._uses(month, ledger.read(month).recorded(), found.of(month), found.currency))
            counts = _sum(
                counts, self._write_days(COSTS, {date.fromisoformat(f"{month}-01"): rows}, name=month)
            )
        return counts

    def _uses(
        self, month: str, recorded: Month, listed: PriceList, currency: str
    ) -> Iterator[dict[str, Any]]:
        used = recorded.used()
        for key, entry in recorded.entries.items():
            total = used[entry.kind]
            cost = listed.cost_of(entry.kind, total) * entry.quantity / total if total else 0.0
            yield {
                "program": self.program,
                "month": month,
                "entry": key,
                "step": entry.kind.value,
                "used_at": _moment(entry.at),
                "job": entry.name or None,
                "belongs_to": entry.of or None,
                "recipe": entry.recipe or None,
                "mode": entry.mode or None,
                "interactions": entry.rows,
                "quantity": float(entry.quantity),
                "cost": cost if listed.is_known(entry.kind) else None,
                "currency": currency,
            }

    def experiments(self) -> dict[str, int]:
        """Write days of enrolments that are missing or changed since: a person got another arm."""
        written = {(each.name, each.day): each.modified for each in self.store.objects(EXPERIMENTS)}
        counts = {"objects": 0, "rows": 0}
        found = self.context.store(LayerStore).of_programs(frozenset({self.program}))
        for layer, name in sorted(key for key, each in found.items() if each.program == self.program):
            enrolment, _ = self.context.store(EnrolmentStore).read(layer, name)
            with work_folder() as work, modest_allocator(), duck.opened(work) as database:
                table = self.context.store(EnrolmentStore).download(enrolment, work / "enrolled.parquet")
                if table is None:
                    continue
                days = build.enrolled_days(database, table, read_suppression(self.context))
                for day, changed in days.items():
                    part = f"{layer}-{name}"
                    before = written.get((part, day))
                    # A run writes its changes after the time that it records for them.
                    if day < self.first_day or (before and before - _LONGEST_RECOMMEND > changed):
                        continue
                    counts["rows"] += build.write_enrolled(
                        database,
                        day,
                        work / "table.parquet",
                        program=self.program,
                        experiment=name,
                        layer=layer,
                    )
                    counts["objects"] += 1
                    self.store.put(EXPERIMENTS, day, part, work / "table.parquet")
        return counts

    def outcomes(self) -> dict[str, int]:
        """Write missing whole days of ``outcomes.sql``, and days for which rows may still arrive.

        The first run begins ``experiment.pre_days`` back. A program without an experiment has no such query.
        """
        program = self.context.program
        experiment, settings = program.experiment, program.tables
        if experiment is None or settings is None:
            return {"objects": 0, "rows": 0}
        today, late = self.now.astimezone(UTC).date(), settings.outcome_days
        newest = max((each.day for each in self.store.objects(OUTCOMES)), default=None)
        first = newest + _DAY if newest else today - timedelta(days=max(late, experiment.pre_days))
        first = max(min(first, today - timedelta(days=late)), self.first_day)
        days = [first + timedelta(days=number) for number in range((today - first).days)]
        counts = {"objects": 0, "rows": 0}
        with work_folder() as work, modest_allocator(), duck.opened(work) as database:
            self._read_outcomes(Interval(_midnight(first), _midnight(today)), work / "outcomes.parquet")
            build.open_outcomes(database, work / "outcomes.parquet", read_suppression(self.context))
            for day in days:
                counts["rows"] += build.write_outcomes(
                    database, day, work / "table.parquet", program=self.program
                )
                counts["objects"] += 1
                self.store.put(OUTCOMES, day, day.isoformat(), work / "table.parquet")
        return counts

    def _read_outcomes(self, interval: Interval, target: Path) -> None:
        """Write the usable rows of ``outcomes.sql`` to a local file; there may be none."""
        hook = self.context.warehouse()
        name, query = read_query(self.context.program, "outcomes", interval, hook)
        returned = {column.name.casefold() for column in hook.columns(query, name=name)}
        columns = [*REQUIRED, *(column for column in OPTIONAL if column in returned)]
        with hook.read(query, columns, name=name, ids=[each for each in IDS if each in columns]) as rows:
            found = write_outcomes(rows.batches, target, interval, name=name)
        log.info("Outcomes of %s, and rows that were left out: %s", name, dict(found))

    def _write_days(
        self, table: TableSchema, days: Mapping[date, list[dict[str, Any]]], name: str = ""
    ) -> dict[str, int]:
        """Write small partitions, given as rows by day.

        :param name: of the objects; default: the day.
        """
        counts = {"objects": 0, "rows": 0}
        with work_folder() as work:
            for day, rows in days.items():
                if day < self.first_day:
                    continue
                counts["rows"] += build.write_rows(table, rows, work / "table.parquet")
                counts["objects"] += 1
                self.store.put(table, day, name or day.isoformat(), work / "table.parquet")
        return counts


STEPS: Mapping[str, Callable[[TableWriter], dict[str, int]]] = {
    # In this order: a delivery's row promises that its lists are written.
    LISTS.name: TableWriter.lists,
    DELIVERIES.name: TableWriter.deliveries,
    VERSIONS.name: TableWriter.versions,
    COSTS.name: TableWriter.costs,
    EXPERIMENTS.name: TableWriter.experiments,
    OUTCOMES.name: TableWriter.outcomes,
}
"""The steps of a run, by table."""


def write_table(program: str, table: str, now: datetime) -> dict[str, int]:
    """Bring one table of a program up to date.

    :param table: a key of ``STEPS``.
    :returns: ``objects`` and ``rows`` written.
    """
    return STEPS[table](TableWriter.of(program, now))


def _sum(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {name: left[name] + right[name] for name in left}


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _moment(text: str) -> datetime:
    """Read a time; without an offset it is UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _planned(delivery: str) -> datetime:
    """Return when a delivery was planned, from its name."""
    return datetime.strptime(delivery.partition("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)


def _versions_by_arm(manifest: RecommendationsManifest) -> Mapping[str, str]:
    """Return the solution version by arm; empty without an experiment."""
    return manifest.versions if manifest.experiment else {}
