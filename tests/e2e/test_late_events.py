"""Late events, unchanged records and waiting rows: each row reaches an import once, and nothing is paid for twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from dag_runs import load_dag, states
from import_runs import ImportRuns
from shop import FULL_UNTIL, PRODUCTS, PROGRAM, Shop

from recsync.export.store import ExportStore, ReportStore
from recsync.imports.store import ImportStore
from recsync.program.intervals import Interval

Run = Callable[..., Any]
HOUR = timedelta(hours=1)
# The checks have tests of their own, and without them an export takes a quarter of the time.
QUICK = PROGRAM + "checks: {enabled: false}\n"
# Least rows of an import of interactions.
MINIMUM = 1000


@pytest.fixture
def imports(shop: Shop) -> Iterator[ImportRuns]:
    """Set up the datasets of the shop."""
    shop.write_files(QUICK)
    opened = ImportRuns(shop)
    opened.set_up()
    yield opened
    opened.tear_down()


def orders(shop: Shop, count: int, minutes: int, name: str) -> None:
    """Add orders of some minutes after the FULL training's end."""
    at = FULL_UNTIL + timedelta(minutes=minutes)
    shop.add_orders([(f"{name} {n}", f"p-{n % PRODUCTS}", at) for n in range(count)])


def spans(shop: Shop, own: Interval, **options: Any) -> list[dict[str, Any]]:
    """Choose what a run of the export exports."""
    from recsync.export import publish
    from recsync.imports.store import imported_until

    options = {"backfill": False, **options}
    return publish.spans(shop.name, own, imported_until=imported_until(shop.name), **options)


def export(shop: Shop, start: datetime) -> None:
    """Do what a run of the export does for the hour that begins at ``start``."""
    from recsync.context import StageContext
    from recsync.export.dataset import export_dataset
    from recsync.export.publish import interval_of, publish_spans, to_xcom
    from recsync.program.intervals import Interval

    context = StageContext.of(shop.name)
    found = spans(shop, Interval(start, start + HOUR))
    exported = {
        kind.value: [
            to_xcom(export_dataset(context, kind, span, context.keys.export(kind, span.key)))
            for span in map(interval_of, found)
        ]
        for kind in context.program.dataset_types
    }
    publish_spans(shop.name, found, exported)


@pytest.mark.timeout(600)
def test_the_dags_import_a_late_row_and_nothing_that_is_unchanged(shop: Shop, run: Run) -> None:
    for hours in (2, 1):
        export(shop, FULL_UNTIL - hours * HOUR)
    full = run(f"{shop.name}_train_full", run_conf={"until": FULL_UNTIL.isoformat()})
    assert full.state == "success", states(full)
    orders(shop, 400, -30, "late")
    orders(shop, 600, 10, "on time")
    # The data interval of a manual run is the one before its logical date.
    exported = run(f"{shop.name}_export", logical_date=FULL_UNTIL + HOUR)
    assert exported.state == "success", states(exported)
    assert {task for task in states(exported) if task.startswith("export_")} == {
        f"export_{dataset}[{number}]" for dataset in ("interactions", "items") for number in range(3)
    }, "its own hour and the two before it"
    update = run(f"{shop.name}_train_update")
    assert update.state == "success", states(update)
    assert states(update)["solution_version"] == "success"
    found = states(run(f"{shop.name}_train_update"))
    assert found.pop("hold") == "success"
    assert set(found.values()) == {"skipped"}

    personalize = shop.services.boto3("personalize")
    groups = personalize.list_dataset_groups()["datasetGroups"]
    group = next(g["datasetGroupArn"] for g in groups if g["name"] == shop.name)
    datasets = personalize.list_datasets(datasetGroupArn=group)["datasets"]
    imports = ImportRuns(
        shop, {dataset["datasetType"].upper(): dataset["datasetArn"] for dataset in datasets}
    )
    assert imports.held() == imports.warehouse(FULL_UNTIL + HOUR)
    assert len(imports.jobs("items")) == 1, "no item changed after the FULL"

    # Nothing changed at all: nothing is imported, and the training runs all the same.
    again = run(f"{shop.name}_train_full", run_conf={"until": FULL_UNTIL.isoformat()})
    assert (again.state, states(again)["solution_version"]) == ("success", "success")
    assert len(imports.jobs("items")) == 1


def test_late_rows_reach_the_next_import_once_and_later_ones_the_next_full(
    shop: Shop, imports: ImportRuns
) -> None:
    for hours in (3, 2, 1):
        export(shop, FULL_UNTIL - hours * HOUR)
    imports.full(FULL_UNTIL)
    assert imports.held() == imports.warehouse(FULL_UNTIL)
    now = FULL_UNTIL + HOUR
    assert "Nothing is pending" in imports.update(now), (
        "the exports before hold nothing that the FULL does not"
    )

    # Late for the last hours before the FULL's end (one within the overlap, one beyond it), and on time.
    orders(shop, 300, -30, "late")
    orders(shop, 2, -150, "later")
    orders(shop, 700, 10, "on time")
    export(shop, FULL_UNTIL)
    assert imports.update(now) == ""
    missing = imports.warehouse(now) - imports.held()
    assert sorted(row[0] for row in missing) == ["later 0", "later 1"]
    assert set(imports.held().values()) == {1}

    # Late for an hour that was imported by an increment; reruns, in whatever order, import nothing.
    orders(shop, MINIMUM, 20, "late again")
    for start in (FULL_UNTIL + HOUR, FULL_UNTIL, FULL_UNTIL + HOUR):
        export(shop, start)
    assert imports.update(now + HOUR) == ""
    assert "Nothing is pending" in imports.update(now + HOUR)
    last = imports.jobs("interactions")[-1]
    assert {row[0] for row in imports.rows(last)} == {f"late again {n}" for n in range(MINIMUM)}
    assert len(imports.rows(last)) == MINIMUM

    imports.full(now + HOUR)
    assert imports.held() == imports.warehouse(now + HOUR)
    assert "Nothing is pending" in imports.update(now + HOUR)
    assert len(imports.jobs("items")) == 1, "the snapshots are what the dataset holds"
    assert len(imports.jobs("interactions")) == 4


def test_after_an_increment_of_items_the_next_full_imports_them_too(shop: Shop, imports: ImportRuns) -> None:
    imports.full(FULL_UNTIL)
    shop.add_products([("new-item", 3.0, FULL_UNTIL + timedelta(minutes=5))])
    orders(shop, 5, 10, "on time")
    export(shop, FULL_UNTIL)
    assert imports.update(FULL_UNTIL + HOUR) == ""
    imports.full(FULL_UNTIL + HOUR)
    jobs = imports.jobs("items")
    assert [job["importMode"] for job in jobs] == ["FULL", "INCREMENTAL", "FULL"]
    assert [len(imports.rows(job)) for job in jobs] == [40, 1, 41]


def test_an_item_counts_as_new_once_be_it_late_or_moved_to_another_hour(
    shop: Shop, imports: ImportRuns
) -> None:
    shop.write_files(PROGRAM)  # the checks keep the ids
    export(shop, FULL_UNTIL - HOUR)
    imports.full(FULL_UNTIL)
    for name in ("late-1", "late-2"):
        shop.add_products([(name, 3.0, FULL_UNTIL - timedelta(minutes=30))])
        export(shop, FULL_UNTIL - HOUR)
        assert imports.update(FULL_UNTIL) == ""
        assert "0 new interactions and 1 new items are pending" in imports.plan["why"]
    # A changed row may leave its hour for another one: both hours change, and no item is new.
    shop.services.execute(
        f"UPDATE shop.products SET added_at = '{FULL_UNTIL.isoformat()}' WHERE product = 'late-1'"
    )
    export(shop, FULL_UNTIL)
    assert "0 new interactions and 0 new items are pending" in imports.update(FULL_UNTIL + HOUR)


def test_a_snapshot_is_imported_again_when_its_job_is_gone_with_the_dataset(
    shop: Shop, imports: ImportRuns
) -> None:
    from recsync.context import StageContext

    imports.full(FULL_UNTIL)
    state = StageContext.of(shop.name).store(ImportStore)
    document = state.bucket.get_json(state.keys.state("imports.json"))
    document["datasets"]["ITEMS"]["job"] = "a-job-of-a-dataset-that-was-deleted"
    state.bucket.put_json(state.keys.state("imports.json"), document)
    imports.full(FULL_UNTIL)
    assert [len(imports.jobs(dataset)) for dataset in ("interactions", "items")] == [1, 2]


def test_few_interactions_wait_for_more_however_old_and_items_go_without_them(
    shop: Shop, imports: ImportRuns
) -> None:
    # Less than the service's minimum counts as the minimum.
    shop.write_files(QUICK + "train_update: {min_new_interactions: 5, max_wait_hours: 1}\n")
    imports.full(FULL_UNTIL)
    orders(shop, MINIMUM - 1, 10, "first")
    export(shop, FULL_UNTIL)
    assert "999 new interactions and 0 new items are pending" in imports.update(FULL_UNTIL + 5000 * HOUR)
    shop.add_products([("new-item", 3.0, FULL_UNTIL + timedelta(minutes=30))])
    export(shop, FULL_UNTIL)
    assert imports.update(FULL_UNTIL + HOUR) == ""
    assert [len(imports.jobs(dataset)) for dataset in ("interactions", "items")] == [1, 2]
    assert "999 new interactions and 0 new items are pending" in imports.update(FULL_UNTIL + HOUR)
    orders(shop, 1, 70, "second")
    export(shop, FULL_UNTIL + HOUR)
    assert imports.update(FULL_UNTIL + 2 * HOUR) == "", "1,000 go at once"
    assert imports.held() == imports.warehouse(FULL_UNTIL + 2 * HOUR)


def test_rows_of_an_import_that_nobody_noted_are_not_imported_again(shop: Shop, imports: ImportRuns) -> None:
    from recsync.errors import FatalError
    from recsync.training import train

    imports.full(FULL_UNTIL)
    orders(shop, MINIMUM, 10, "on time")
    export(shop, FULL_UNTIL)
    assert imports.update(FULL_UNTIL + HOUR, noted=False) == ""
    assert "Nothing is pending" in imports.update(FULL_UNTIL + HOUR)
    train.record_imports(shop.name, imports.plan)  # the run is cleared: it was noted for it
    imports.plan["taken"]["INTERACTIONS"][0]["digest"] = "of rows that nobody imported"
    with pytest.raises(FatalError, match="Clear this run from its task plan"):
        train.record_imports(shop.name, imports.plan)
    orders(shop, MINIMUM, 70, "next")
    export(shop, FULL_UNTIL + HOUR)
    assert imports.update(FULL_UNTIL + 2 * HOUR) == ""
    assert imports.held() == imports.warehouse(FULL_UNTIL + 2 * HOUR)


def test_runs_that_are_cleared_late_import_what_is_missing_and_nothing_twice(
    shop: Shop, imports: ImportRuns
) -> None:
    from recsync.errors import FatalError
    from recsync.training import train

    imports.full(FULL_UNTIL)
    orders(shop, MINIMUM, 10, "on time")
    export(shop, FULL_UNTIL)
    now = FULL_UNTIL + HOUR
    assert imports.update(now) == ""
    planned = imports.plan
    assert train.import_jobs(shop.name, planned, imports.arns) == [], "its rows are in"
    train.record_imports(shop.name, planned)

    imports.runs = 0  # the FULL run is cleared: what the update brought is replaced, and missing again
    imports.full(FULL_UNTIL)
    assert imports.held() == imports.warehouse(FULL_UNTIL)
    with pytest.raises(FatalError, match="Other rows were imported since"):
        train.import_jobs(shop.name, planned, imports.arns)
    assert imports.update(now) == "", "the update is cleared from its plan on"
    assert imports.plan["run"] == planned["run"]
    assert imports.held() == imports.warehouse(now)


def test_an_import_that_another_run_gave_up_is_not_begun(shop: Shop, imports: ImportRuns) -> None:
    from recsync.context import StageContext
    from recsync.errors import FatalError
    from recsync.imports.store import check_registered, reconcile
    from recsync.training import train
    from recsync.training.update_plan import plan_update

    imports.full(FULL_UNTIL)
    orders(shop, MINIMUM, 10, "on time")
    export(shop, FULL_UNTIL)
    plan = plan_update(shop.name, "killed", FULL_UNTIL + HOUR)
    (job,) = train.import_jobs(shop.name, plan, imports.arns)
    context = StageContext.of(shop.name)
    check_registered(context, job["dataset_arn"], job["job_name"])
    assert reconcile(context) == []
    with pytest.raises(FatalError, match="Clear this run from its task plan on"):
        check_registered(context, job["dataset_arn"], job["job_name"])
    assert imports.update(FULL_UNTIL + HOUR) == "", "the next run takes its rows"
    assert imports.held() == imports.warehouse(FULL_UNTIL + HOUR)
    (done,) = imports.jobs("interactions")[1:]
    check_registered(context, job["dataset_arn"], done["jobName"])


def test_an_update_lets_a_full_training_go_first_unless_that_waits_for_it(
    shop: Shop, imports: ImportRuns
) -> None:
    from recsync.context import StageContext
    from recsync.training.store import Holder, LockStore, blocked_by

    context = StageContext.of(shop.name)
    update, full, running = Holder("update", "run-1"), Holder("full", "run-2"), lambda _: True
    assert blocked_by(context, update, running, "a run of full") == "a run of full, which goes first"
    assert context.store(LockStore).acquire(update, running) is None
    waiting = blocked_by(context, full, running, None)
    assert waiting is not None
    assert "run run-1 of update" in waiting
    assert blocked_by(context, update, running, "a run of full") is None
    assert blocked_by(context, full, lambda _: False, None) is None
    assert blocked_by(context, update, running, "a run of full") is not None


def test_late_rows_wait_for_the_next_full_when_its_snapshot_was_written_over(
    shop: Shop, imports: ImportRuns
) -> None:
    from recsync.context import StageContext

    imports.full(FULL_UNTIL)
    context = StageContext.of(shop.name)
    context.bucket.put(str(context.store(ImportStore).read().snapshot), b"another try\n")
    orders(shop, 6, -10, "late")
    orders(shop, MINIMUM, 10, "on time")
    for start in (FULL_UNTIL - HOUR, FULL_UNTIL):
        export(shop, start)
    assert imports.update(FULL_UNTIL + HOUR) == ""
    assert {row[0][:7] for row in imports.rows(imports.jobs("interactions")[-1])} == {"on time"}


def test_a_full_import_takes_all_intervals_and_names_a_gap(shop: Shop, imports: ImportRuns) -> None:
    from recsync.context import StageContext
    from recsync.errors import FatalError
    from recsync.export.publish import export_past

    hours = 24
    assert export_past(shop.name, FULL_UNTIL - hours * HOUR, FULL_UNTIL) == hours
    shop.write_files(QUICK + "train_full: {import_from: intervals}\n")
    assert "export_interactions" not in load_dag(f"{shop.name}_train_full").task_ids
    with pytest.raises(FatalError, match="at least 1000"):
        imports.full(FULL_UNTIL)
    orders(shop, MINIMUM, -10 * 60, "many")
    assert export_past(shop.name, FULL_UNTIL - 10 * HOUR, FULL_UNTIL - 9 * HOUR) == 1
    imports.full(FULL_UNTIL + 2 * HOUR)
    taken = imports.warehouse(FULL_UNTIL) - imports.warehouse(FULL_UNTIL - hours * HOUR)
    assert imports.held() == taken, "up to the newest published interval"
    assert len(imports.jobs("interactions")) == 1

    orders(shop, MINIMUM, -30, "late")
    export(shop, FULL_UNTIL)
    assert imports.update(FULL_UNTIL + HOUR) == ""
    late = imports.rows(imports.jobs("interactions")[-1])
    assert sorted(row[0] for row in late) == sorted(f"late {n}" for n in range(MINIMUM))

    context = StageContext.of(shop.name)
    gap = FULL_UNTIL - 5 * HOUR
    context.bucket.delete(context.keys.export_manifest(f"{gap:%Y-%m-%dT%H%M}Z"))
    with pytest.raises(FatalError, match=f"1 gap.*{gap:%Y-%m-%dT%H}:00:00"):
        imports.full(FULL_UNTIL)


def test_a_backfill_exports_its_own_intervals_only(shop: Shop) -> None:
    from airflow.utils.types import DagRunType

    from recsync.program.intervals import Interval

    for hours in (4, 2):
        export(shop, FULL_UNTIL - hours * HOUR)
    own = Interval(FULL_UNTIL - HOUR, FULL_UNTIL)
    starts = [span["start"] for span in spans(shop, own)]
    assert starts == [own.start.isoformat(), (own.start - HOUR).isoformat()], (
        "hour 3 before was never published"
    )
    assert [span["start"] for span in spans(shop, own, backfill=True)] == [own.start.isoformat()]
    assert DagRunType.BACKFILL_JOB.value == "backfill", "what the DAG compares a run's type with"


def published(shop: Shop) -> dict[datetime, int]:
    """Give the published intervals since the FULL, with their interactions."""
    from recsync.context import StageContext
    from recsync.program import DatasetType

    found = StageContext.of(shop.name).store(ExportStore).intervals_since(FULL_UNTIL)
    return {manifest.interval.start: manifest.objects[DatasetType.INTERACTIONS].rows for manifest in found}


@pytest.mark.timeout(600)
def test_an_interval_whose_export_failed_is_exported_by_a_later_run(
    shop: Shop, imports: ImportRuns, run: Run
) -> None:
    from recsync.context import StageContext
    from recsync.program import DatasetType

    imports.full(FULL_UNTIL)
    shop.write_files(PROGRAM + "checks: {tolerated_rows: 0}\n")
    orders(shop, 4, 10, "of the lost hour")
    shop.add_orders([("bad", "x" * 300, FULL_UNTIL + timedelta(minutes=20))])
    orders(shop, 5, 70, "of the next hour")
    # A run whose own hour is the second: that of the first would fail, as this one's try at it does.
    second = run(f"{shop.name}_export", logical_date=FULL_UNTIL + 2 * HOUR)
    assert second.state == "success", "an hour that is still bad does not stop the others"
    assert published(shop) == {FULL_UNTIL + HOUR: 5}

    shop.services.execute("DELETE FROM shop.orders WHERE customer = 'bad'")
    orders(shop, 6, 130, "of the last hour")
    assert run(f"{shop.name}_export", logical_date=FULL_UNTIL + 3 * HOUR).state == "success"
    assert published(shop) == {FULL_UNTIL: 4, FULL_UNTIL + HOUR: 5, FULL_UNTIL + 2 * HOUR: 6}
    context = StageContext.of(shop.name)
    exported = context.keys.export(DatasetType.INTERACTIONS, f"{FULL_UNTIL:%Y-%m-%dT%H%M}Z")
    found = context.store(ReportStore).get(context.store(ReportStore).path_of(exported))
    assert found is not None
    assert "late_export" in {finding["rule"] for finding in found["findings"]}


def test_what_nobody_exported_is_read_oldest_first_up_to_a_bound(shop: Shop, imports: ImportRuns) -> None:
    from recsync.program.intervals import Interval

    def starts(own_hour: float, **options: Any) -> list[datetime]:
        own = Interval(FULL_UNTIL + own_hour * HOUR, FULL_UNTIL + (own_hour + 0.5) * HOUR)
        found = spans(shop, own, **options)
        assert found[0]["start"] == own.start.isoformat()
        assert not found[0]["optional"]
        return [datetime.fromisoformat(span["start"]) for span in found[1:]]

    assert starts(3) == [], "before the first FULL import everything is left to it"
    imports.full(FULL_UNTIL)
    export(shop, FULL_UNTIL + HOUR)
    first, second = FULL_UNTIL, FULL_UNTIL + HOUR
    assert published(shop).keys() == {first, second}
    # The schedule changes to half hours: those of published hours are not exported again under other names.
    shop.write_files(QUICK + "schedules: {export: '*/30 * * * *'}\nexports: {overlap_intervals: 0}\n")
    missing = [FULL_UNTIL + 2 * HOUR, FULL_UNTIL + 2.5 * HOUR]
    assert starts(3) == missing
    assert starts(3, is_exporting=lambda start: start == missing[0]) == missing[1:], (
        "its own run is still at it"
    )
    assert starts(3, backfill=True) == []
    shop.write_files(
        QUICK + "schedules: {export: '*/30 * * * *'}\nexports: {overlap_intervals: 0, missing_intervals: 1}\n"
    )
    assert starts(3) == missing[:1]
