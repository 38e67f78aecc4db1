from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lift_samples import sample_report
from small_shop import SmallShop

from recsync.context import StageContext
from recsync.errors import FatalError, RetriableError
from recsync.experiments.assignment import format_buckets
from recsync.experiments.enrolment import assign_arms, check_layer, end_missing_experiments
from recsync.experiments.layer import Change, Layer, LayerExperiment
from recsync.experiments.store import (
    ENROLLED,
    Enrolment,
    EnrolmentStore,
    LayerStore,
    LiftStore,
    enrolment_tables,
    own_experiments,
    remove_experiment,
)
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

AUTUMN = LayerExperiment(
    "store",
    ("shop", "store"),
    shares={"a": 0.9, "b": 0.1},
    gets={"a": "champion", "b": "nothing"},
    buckets={"a": "0-8999", "b": "9000-9999"},
    since="2026-09-01T05:30:00+00:00",
)
STARTED = Change(
    "2026-09-01T05:30:00+00:00", "shop", "run1", "autumn", "started", after=AUTUMN.shares, moved=10_000
)


def test_a_layer_is_read_as_it_was_written(bucket: Bucket, keys: Keys) -> None:
    store = LayerStore(bucket, keys)
    layer = Layer({"autumn": AUTUMN, "summer": replace(AUTUMN, until="2026-08-01")}, (STARTED,))
    assert store.document("mail").get() == Layer()
    store.document("mail").update(lambda _: layer)
    found = store.document("mail").get()
    assert found == layer
    assert list(found.running) == ["autumn"]
    assert format_buckets(found.experiments["autumn"].allocation.claimed) == "0-9999"


def test_experiments_are_found_by_every_program_that_ran_them(bucket: Bucket, keys: Keys) -> None:
    store = LayerStore(bucket, keys)
    wine = replace(AUTUMN, program="wine", programs=("wine",))
    store.document("mail").update(lambda _: Layer({"autumn": AUTUMN, "winter": wine}))
    store.document("push").update(lambda _: Layer({"spring": AUTUMN}))
    assert store.names() == ["mail", "push"]
    assert list(store.of_programs(frozenset({"shop"}))) == [("mail", "autumn"), ("push", "spring")]
    assert list(store.of_programs(frozenset({"wine", "other"}))) == [("mail", "winter")]


def test_a_damaged_layer_is_never_taken_for_an_empty_one(bucket: Bucket, keys: Keys) -> None:
    bucket.put("_experiments/mail/layer.json", b'{"experiments": {"autumn": {}}}')
    with pytest.raises(FatalError, match="people would change their arms"):
        LayerStore(bucket, keys).document("mail").get()


def table(tmp_path: Path, people: int) -> Path:
    rows = {"user_id": [f"{n}" for n in range(people)], "arm": ["a"] * people, "since": np.zeros(people)}
    columns = [pa.array(rows.get(field.name, [None] * people)).cast(field.type) for field in ENROLLED]
    pq.write_table(pa.table(columns, schema=ENROLLED), tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


def test_tables_are_published_by_the_document_that_names_them(
    bucket: Bucket, keys: Keys, tmp_path: Path
) -> None:
    store, target = EnrolmentStore(bucket, keys), tmp_path / "found.parquet"
    enrolment, etag = store.read("mail", "autumn")
    assert (enrolment, etag, store.download(enrolment, target)) == (Enrolment(), None, None)
    for run in range(4):
        enrolment, etag = store.read("mail", "autumn")
        written = replace(enrolment, run=f"run{run}", revision=1, people={"a": run})
        store.publish("mail", "autumn", written, table(tmp_path, run), etag)
    enrolment, etag = store.read("mail", "autumn")
    assert enrolment.generation == 4
    assert enrolment.people == {"a": 3}
    assert pq.read_metadata(store.download(enrolment, target)).num_rows == 3
    # The present table, and the one before it.
    assert bucket.keys("_experiments/mail/autumn/") == [
        "_experiments/mail/autumn/enrolled.json",
        "_experiments/mail/autumn/enrolled/00000003-run2.parquet",
        "_experiments/mail/autumn/enrolled/00000004-run3.parquet",
    ]
    assert store.publish("mail", "autumn", replace(enrolment, revision=2), None, etag).generation == 4


def test_a_run_that_lost_the_race_changes_nothing(bucket: Bucket, keys: Keys, tmp_path: Path) -> None:
    store = EnrolmentStore(bucket, keys)
    first, etag = store.read("mail", "autumn")
    store.publish("mail", "autumn", replace(first, run="winner"), table(tmp_path, 2), etag)
    with pytest.raises(RetriableError, match="Another run changed"):
        store.publish("mail", "autumn", replace(first, run="loser"), table(tmp_path, 3), etag)
    assert store.read("mail", "autumn")[0].run == "winner"


def test_the_newest_reports_come_first_and_can_be_of_one_experiment(bucket: Bucket, keys: Keys) -> None:
    store = LiftStore(bucket, keys)
    assert store.latest() is None
    reports = [replace(sample_report(), run=f"2026100{day}T000000-x") for day in range(1, 4)]
    reports.append(replace(sample_report(), run="20261004T000000-x", experiment="other"))
    for report in reports:
        store.write(report)
    store.write(reports[0])
    assert store.newest(2) == [reports[3], reports[2]]
    assert store.newest(9) == reports[::-1]
    assert store.latest("autumn") == reports[2]
    assert store.read(reports[1].run) == reports[1]
    assert store.read("20990101T000000-x") is None


NOW = datetime(2026, 9, 1, 5, 30, tzinfo=UTC)
ARMS = {"mailed": {"share": 0.4, "gets": "champion"}, "holdout": {"share": 0.1, "gets": "nothing"}}


def experiment(name: str, layer: str = "mail") -> dict[str, object]:
    return {"name": name, "layer": layer, "arms": ARMS}


def recommend(shop: SmallShop, folder: Path, name: str, moment: datetime = NOW) -> None:
    shop.write_sql("outcomes", "SELECT 1")
    shop.write_program(experiment=experiment(name))
    work = folder / name
    work.mkdir()
    people = [f"u{n}" for n in range(20)]
    pq.write_table(pa.table({"user_id": people, "external_id": people}), work / "audience.parquet")
    assign_arms(shop.context, f"run-{name}", moment, work / "audience.parquet", work)


@pytest.fixture
def two(small_shop: SmallShop, tmp_path: Path) -> SmallShop:
    """A program that ran the experiment autumn, and runs winter in the same layer."""
    recommend(small_shop, tmp_path, "autumn")
    recommend(small_shop, tmp_path, "winter", NOW + timedelta(days=30))
    return small_shop


def test_a_program_has_the_experiments_that_it_ran(two: SmallShop) -> None:
    autumn, winter = own_experiments(two.context)
    assert (autumn.label, winter.label) == ("mail/autumn", "mail/winter")
    assert autumn.kept_until(7) == NOW + timedelta(days=37)
    assert winter.kept_until(7) is None
    tables = enrolment_tables(two.context, ["shop"])
    assert tables == [
        "_experiments/mail/autumn/enrolled/00000001-run-autumn.parquet",
        "_experiments/mail/winter/enrolled/00000001-run-winter.parquet",
    ]
    assert enrolment_tables(two.context, ["other"]) == []


def test_a_removed_experiment_leaves_only_its_record(two: SmallShop) -> None:
    context = two.context
    autumn, winter = own_experiments(context)
    assert remove_experiment(context, autumn) == 2
    assert [own.name for own in own_experiments(context)] == ["winter"]
    changes = context.store(LayerStore).document("mail").get().changes
    assert [(each.experiment, each.what) for each in changes] == [
        ("autumn", "started"),
        ("autumn", "ended"),
        ("winter", "started"),
    ]
    assert remove_experiment(context, winter) == 2
    assert context.bucket.keys("_experiments/") == []
    assert remove_experiment(context, winter) == 0, "a retry"


def test_an_experiment_that_another_program_took_over_is_not_removed_with_the_former(two: SmallShop) -> None:
    (two.include / "programs" / "shop.yaml").unlink()
    two.write_program("store", experiment=experiment("winter"))
    store = StageContext.of("store")
    end_missing_experiments(store, "run", (NOW + timedelta(days=31)).isoformat())
    check_layer(store, NOW + timedelta(days=31))
    assert own_experiments(store) == [], "until its first run"
    people = two.include / "audience.parquet"
    pq.write_table(pa.table({"user_id": ["u1"], "external_id": ["u1"]}), people)
    assign_arms(store, "run-store", NOW + timedelta(days=31), people, two.include)
    assert [own.name for own in own_experiments(store)] == ["winter"]
    two.write_program()
    assert [own.name for own in own_experiments(two.context)] == ["autumn"]
    # An erasure covers what both ever ran.
    assert len(enrolment_tables(store, ["store"])) == 1
    assert len(enrolment_tables(two.context, ["shop"])) == 2
