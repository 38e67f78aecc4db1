"""Several mails over one shop's data: one dataset group, one import, one training per solution, one erasure.

RECSYNC_LONG_TESTS=1 runs the whole way of four mails, some two minutes of CPU; its parts are tested in
tests/recsync/program/test_parse.py, tests/recsync/training/test_shared.py and below.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dag_runs import load_dag, states
from meters import booked, metered, used
from services import BUCKET
from shop import CUSTOMERS, FULL_UNTIL, LENIENT, PROGRAM, SQL, Shop
from test_forget import IDS, PERSON, USER, ask, unpacked
from test_retire import fill

from recsync.errors import FatalError
from recsync.evaluation.store import ChampionStore
from recsync.training.store import Holder, LockStore, blocked_by

Run = Callable[..., Any]
LAST_BOUGHT = """
    SELECT customer AS user_id, 'braze-' || customer AS external_id, product AS item_id
    FROM (SELECT *, row_number() OVER (PARTITION BY customer ORDER BY at DESC, product) AS n FROM shop.orders) AS o
    WHERE n <= 2 ORDER BY customer, n
"""
SOME = f"{SQL['audience']} WHERE product <> 'p-3'"
PROMOTED = "SELECT 'p-1' AS item_id UNION ALL SELECT 'p-2'"
SHARERS = {
    "winback": ("personalize: {model: %s, num_results: 20}\n", {"audience": SOME}),
    "similar": (f"personalize: {{recipe: aws-similar-items}}\n{LENIENT}", {"audience": LAST_BOUGHT}),
    "promo": (
        f"personalize: {{recipe: aws-item-affinity, num_results: 100}}\n{LENIENT}",
        {"segments": PROMOTED},
    ),
}


def write_sharer(shop: Shop, name: str, text: str, sql: dict[str, str] | None = None) -> Shop:
    shared = replace(shop, name=f"{shop.name}-{name}")
    lists = "recommendations: {length: 5, min_length: 1}\n"
    braze = f"braze: {{attribute: {name}_recs, payload: objects, item_fields: [title, price]}}\n"
    shared.write_files(f"data: {shop.name}\n{text}{lists}{braze}", sql)
    return shared


@pytest.fixture
def mails(shop: Shop) -> dict[str, Shop]:
    """Write the owner's file, and three programs over its data."""
    shop.write_files(PROGRAM)
    made = {"owner": shop}
    for name, (text, sql) in SHARERS.items():
        made[name] = write_sharer(shop, name, text % shop.name if "%s" in text else text, sql)
    return made


def stored(shop: Shop) -> Iterator[tuple[str, bytes]]:
    """Read every object of the owner and of the programs over its data, whose names begin with the owner's."""
    s3 = shop.services.boto3("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=shop.name):
        for entry in page.get("Contents", []):
            body = s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
            yield entry["Key"], unpacked(entry["Key"], body)


def naming(shop: Shop) -> set[str]:
    """Name the programs with an object that names the person."""
    return {key.split("/")[0] for key, body in stored(shop) if any(one in body for one in IDS)}


def jobs_and_versions(shop: Shop) -> tuple[list[int], dict[str, int]]:
    """Count the import jobs of each dataset, and the versions of each solution, of the only dataset group."""
    client = shop.services.boto3("personalize")
    listed = client.list_dataset_groups(maxResults=100)["datasetGroups"]
    (group,) = [each for each in listed if each["name"].startswith(shop.name)]
    assert group["name"] == shop.name
    of_group = {"datasetGroupArn": group["datasetGroupArn"]}
    imports = [
        len(client.list_dataset_import_jobs(datasetArn=each["datasetArn"])["datasetImportJobs"])
        for each in client.list_datasets(**of_group)["datasets"]
    ]
    versions = {
        each["name"]: len(client.list_solution_versions(solutionArn=each["solutionArn"])["solutionVersions"])
        for each in client.list_solutions(**of_group)["solutions"]
    }
    return imports, versions


def succeed(run: Run, shop: Shop, *stages: str, **kwargs: Any) -> None:
    for stage in stages:
        done = run(f"{shop.name}_{stage}", **kwargs)
        assert done.state == "success", states(done)


def starts(dag_id: str) -> set[str]:
    """Name the assets that start a DAG."""
    return {asset.name for asset in load_dag(dag_id).timetable.asset_condition.objects}


@pytest.mark.skipif("RECSYNC_LONG_TESTS" not in os.environ, reason="takes long: RECSYNC_LONG_TESTS=1 runs it")
@pytest.mark.timeout(3000)
def test_four_mails_share_one_set_of_data(mails: dict[str, Shop], run: Run) -> None:
    from recsync.context import StageContext
    from recsync.forget.request import request_erasure
    from recsync.maintain.reconcile_costs import reconcile

    shop = mails["owner"]
    before = metered(shop.services)
    shop.add_orders([(USER, f"p-{n}", FULL_UNTIL - timedelta(hours=n + 1)) for n in range(8)])
    until = {"run_conf": {"until": FULL_UNTIL.isoformat()}}
    early = run(f"{mails['similar'].name}_train_full")
    assert states(early)["plan"] == "skipped", "the owner has imported nothing yet"
    succeed(run, shop, "train_full", **until)
    for name in ("similar", "promo"):
        assert starts(f"{mails[name].name}_train_full") == {f"{shop.name}_full_import"}
        succeed(run, mails[name], "train_full")
    assert f"{shop.name}_champion" in starts(f"{mails['winback'].name}_recommend")
    for each in mails.values():
        succeed(run, each, "recommend", "push")

    assert jobs_and_versions(shop) == (
        [1, 1],
        {
            f"{shop.name}-user-personalization": 1,
            f"{shop.name}-similar-items": 1,
            f"{shop.name}-item-affinity": 1,
        },
    )
    profiles = shop.services.profiles()
    attributes = {"recs", "winback_recs", "similar_recs", "promo_recs"}
    assert attributes <= set(profiles[PERSON])
    assert naming(shop) == {each.name for each in mails.values()}

    # Every program books what it used, and nothing is booked twice.
    sums: dict[str, float] = {}
    for each in mails.values():
        for kind, quantity in booked(each).items():
            sums[kind] = sums.get(kind, 0.0) + quantity
    assert sums == used(before, metered(shop.services))
    assert [reconcile(StageContext.of(each.name)) for each in mails.values()] == [0, 0, 0, 0]

    # The same settings and data: the owner's training is found, and not paid again.
    twin = write_sharer(shop, "twin", LENIENT)
    succeed(run, twin, "train_full")
    assert jobs_and_versions(shop)[1][f"{shop.name}-user-personalization"] == 1
    champion = StageContext.of(twin.name).store(ChampionStore).read()
    assert champion is not None
    assert champion.solution_version_arn == _champion(shop)
    assert booked(twin) == {}
    again = run(f"{twin.name}_train_full")
    assert states(again)["plan"] == "skipped", "nothing came since"

    # One erasure covers all; it is the owner's.
    with pytest.raises(FatalError, match=f"make forget PROGRAM={shop.name}"):
        request_erasure(mails["promo"].name, USER)
    forgotten = run(f"{shop.name}_forget", run_conf={"request": ask(shop)})
    assert set(states(forgotten).values()) == {"success"}, states(forgotten)
    assert naming(shop) == set()
    assert PERSON not in shop.services.profiles()
    # Not the promotion: a segment job of an old model may still return the id.
    for name in ("owner", "winback"):
        succeed(run, mails[name], "recommend", "push")
    assert naming(shop) == set()
    assert PERSON not in shop.services.profiles()


def _champion(shop: Shop) -> str:
    from recsync.context import StageContext

    champion = StageContext.of(shop.name).store(ChampionStore).read()
    assert champion is not None
    return champion.solution_version_arn


def _removed(context: Any) -> set[str]:
    """Name what a maintain run in a year would remove."""
    from airflow_personalize.hooks.personalize import PersonalizeHook
    from recsync.maintain.resources import PersonalizeAccount, survey

    account = PersonalizeAccount(context.program, PersonalizeHook(aws_conn_id="aws_default"))
    decisions = survey(context, account, datetime.now(UTC) + timedelta(days=365))
    return {each.subject.name for found in decisions.values() for each in found if not each.keep}


@pytest.mark.timeout(1500)
def test_what_another_program_needs_stays_and_the_owner_goes_last(
    mails: dict[str, Shop], run: Run, tmp_path: Path
) -> None:
    from recsync import retire
    from recsync.context import StageContext

    owner, sharer = mails["owner"], mails["similar"]
    for each in (owner, sharer):
        fill(run, each, tmp_path)
    solutions = {f"{owner.name}-user-personalization", f"{owner.name}-similar-items"}
    assert set(jobs_and_versions(owner)[1]) == solutions
    assert _removed(StageContext.of(owner.name)) == set(), "both files ask for their solutions"
    broken = owner.include / "programs" / f"{owner.name}-broken.yaml"
    broken.write_text(f"data: {owner.name}\n")
    with pytest.raises(FatalError, match=f"program file of {owner.name}-broken, which uses the data"):
        _removed(StageContext.of(owner.name))
    broken.unlink()

    # Other test files of the process may have mailed people too.
    mailed = {person for person, values in owner.services.profiles().items() if "recs" in values}
    assert len(mailed) >= CUSTOMERS

    told = rf"{owner.name} cannot be retired while {owner.name}-promo, .*-winback use its data"
    with pytest.raises(FatalError, match=told):
        retire.survey(owner.name)
    (mails["promo"].include / "programs" / f"{mails['promo'].name}.yaml").unlink()
    (mails["winback"].include / "programs" / f"{mails['winback'].name}.yaml").unlink()
    succeed(run, sharer, "retire", run_conf={"dry_run": False, "confirm": sharer.name})
    assert set(jobs_and_versions(owner)[1]) == {f"{owner.name}-user-personalization"}
    left = owner.services.profiles()
    assert not any("similar_recs" in values for values in left.values())
    assert {person for person, values in left.items() if "recs" in values} == mailed
    assert not [key for key, _ in stored(owner) if key.startswith(f"{sharer.name}/") and "/money/" not in key]


@pytest.mark.timeout(600)
def test_a_sharer_waits_for_the_owners_training_and_a_killed_one_holds_nothing(
    mails: dict[str, Shop], run: Run
) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType

    from recsync.context import StageContext

    owner, sharer = mails["owner"], mails["similar"]
    holder = Holder(f"{owner.name}_train_full", "training")
    with create_session() as session:
        session.add(
            DagRun(
                dag_id=holder.dag_id,
                run_id=holder.run_id,
                run_type=DagRunType.MANUAL,
                state=DagRunState.RUNNING,
                run_after=datetime.now(UTC),
            )
        )
    assert StageContext.of(owner.name).store(LockStore).acquire(holder, lambda _: True) is None
    context = StageContext.of(sharer.name)
    other = Holder(f"{sharer.name}_train_full", "waits")
    assert str(holder.run_id) in str(blocked_by(context, other, lambda _: True, None))
    ended: list[float] = []

    def kill() -> None:
        time.sleep(5)
        with create_session() as session:
            found = session.query(DagRun).filter_by(dag_id=holder.dag_id, run_id=holder.run_id).one()
            found.state = DagRunState.FAILED
        ended.append(time.monotonic())

    killer = threading.Thread(target=kill)
    killer.start()
    done = run(f"{sharer.name}_train_full")
    got_it = time.monotonic()
    killer.join()
    assert states(done)["hold"] == "success"
    assert got_it > ended[0]
    now = StageContext.of(owner.name).store(LockStore).read()
    assert now is not None
    assert now.dag_id == f"{sharer.name}_train_full", "one lock for the dataset group"
