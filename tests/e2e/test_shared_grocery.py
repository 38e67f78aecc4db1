"""Four mails over the grocery sample under a real scheduler: each training once, one erasure, one lock.

RECSYNC_LONG_TESTS=1 runs this file: a stack of its own with the files of include/ and examples/shared, some twenty-five
minutes. test_shared_data.py runs the same on a tiny shop, in process.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import psycopg
import pyarrow.parquet as pq
import pytest
from meters import booked, metered, used
from services import REPO
from shop import Shop
from stacks import STACK_TIMEOUT_SECONDS, Stack, pause_when_idle, wait_until_settled
from test_forget import IDS, USER, kept_by, unpacked

from recsync.context import StageContext
from recsync.evaluation.store import ChampionStore
from recsync.recommend.store import RecommendationsStore
from recsync.training.store import Holder, LockStore
from stack.airflow_api import FINISHED, wait_for

OWNER = "grocery"
SHARERS = ("winback", "because", "promotion")
TRAINING = ("because", "promotion")
PROGRAMS = (OWNER, *SHARERS)
NEW_HOURS = timedelta(hours=12)  # as in the demo
WAIT_SECONDS = 1200
RECIPES = ("user-personalization", "popularity-count", "similar-items", "item-affinity")
ONCE_EACH = Counter({(f"{OWNER}-{recipe}", "FULL"): 1 for recipe in RECIPES})
# Somebody with the purchases of a regular of the promoted brand, none of them of the last two weeks.
ADD_PERSON = """
    CREATE TEMP TABLE regular AS
        SELECT household_id FROM journey.transactions JOIN journey.products USING (product_id)
        JOIN journey.mailing_list USING (household_id)
        WHERE brand = 'Private' GROUP BY household_id ORDER BY count(*) DESC, household_id LIMIT 1;
    INSERT INTO journey_raw.transactions
        SELECT %(user)s, store_id, basket_id || '0', product_id, quantity, sales_value, retail_disc, coupon_disc,
            coupon_match_disc, week, transaction_timestamp
        FROM journey.transactions JOIN regular USING (household_id)
        WHERE transaction_timestamp < now() - interval '16 days';
    INSERT INTO journey_raw.households (household_id) VALUES (%(user)s);
    INSERT INTO journey_raw.campaigns SELECT min(campaign_id), %(user)s FROM journey_raw.campaigns;
"""
MORE_PURCHASES = """
    UPDATE journey_raw.transactions SET transaction_timestamp = date_trunc('hour', now()) - interval '2 hours'
    WHERE ctid IN (
        SELECT ctid FROM journey_raw.transactions WHERE transaction_timestamp > now()
        ORDER BY transaction_timestamp LIMIT 500
    )
"""
pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(3 * STACK_TIMEOUT_SECONDS),
    pytest.mark.skipif(
        "RECSYNC_LONG_TESTS" not in os.environ, reason="takes long: RECSYNC_LONG_TESTS=1 runs it"
    ),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("grocery"))
    running.environ["STACK_SAMPLE"] = "1"
    for source in (REPO / "include", REPO / "examples" / "shared"):
        shutil.copytree(source, running.include, dirs_exist_ok=True)
    try:
        running.command("up")
        running.connect()
        with psycopg.connect(running.services.dsn) as connection:
            for statement in ADD_PERSON.split(";")[:-1]:
                connection.execute(statement, {"user": USER} if "%(user)s" in statement else None)
        with pytest.MonkeyPatch.context() as environment:
            for name, value in running.plan.airflow_environ().items():
                if name.startswith(("AIRFLOW_CONN_", "AIRFLOW__RECSYNC__")):
                    environment.setenv(name, value)
            yield running
    finally:
        running.command("down")


def versions(stack: Stack) -> Counter[tuple[str, str]]:
    """Count the solution versions by solution and training mode."""
    client = stack.services.boto3("personalize")
    return Counter(
        (solution["name"], version["trainingMode"])
        for solution in client.list_solutions()["solutions"]
        for version in client.list_solution_versions(solutionArn=solution["solutionArn"])["solutionVersions"]
    )


def imports(stack: Stack) -> Counter[tuple[str, str]]:
    """Count the import jobs of the only dataset group by dataset and import mode."""
    client = stack.services.boto3("personalize")
    (group,) = client.list_dataset_groups()["datasetGroups"]
    assert group["name"] == OWNER
    return Counter(
        (dataset["name"], job["importMode"])
        for dataset in client.list_datasets(datasetGroupArn=group["datasetGroupArn"])["datasets"]
        for job in client.list_dataset_import_jobs(datasetArn=dataset["datasetArn"])["datasetImportJobs"]
    )


def holders(stack: Stack) -> dict[str, set[str]]:
    """Name the people who have a list in Braze, by program."""
    profiles = stack.services.profiles()
    return {
        name: {who for who, attributes in profiles.items() if attributes.get(f"recs_{name}")}
        for name in PROGRAMS
    }


def audience(stack: Stack, name: str) -> set[str]:
    """Name the people of a program's audience.sql, of now."""
    query = (stack.include / "sql" / name / "audience.sql").read_text()
    now = datetime.now(UTC).isoformat()
    return {str(row[0]) for row in stack.services.query(query.replace("{{ data_interval_end }}", now))}


def held_out() -> set[str]:
    """Name the people whom the experiment of the owner holds out."""
    store = StageContext.of(OWNER).store(RecommendationsStore)
    run = str(store.latest_run())
    with TemporaryDirectory() as folder:
        store.download(run, Path(folder) / "lists.parquet")
        rows = pq.read_table(Path(folder) / "lists.parquet", columns=["external_id", "arm"]).to_pylist()
    return {row["external_id"] for row in rows if row["arm"] in store.manifest(run).held_out}


def naming(stack: Stack) -> Counter[str]:
    """Count, by program, the S3 objects that name the person."""
    bucket, found = stack.plan.settings.bucket, Counter[str]()
    for page in stack.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            body = unpacked(entry["Key"], stack.s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
            found[entry["Key"].split("/")[0]] += any(one in body for one in IDS)
    return +found


def champion(name: str) -> str:
    found = StageContext.of(name).store(ChampionStore).read()
    assert found is not None
    return found.solution_version_arn


def lock() -> Holder:
    found = StageContext.of(OWNER).store(LockStore).read()
    assert found is not None
    return found


def run_ids(stack: Stack, dag_id: str) -> set[str]:
    return {run["dag_run_id"] for run in stack.api.dag_runs(dag_id)}


def task(stack: Stack, dag_id: str, run_id: str, name: str) -> dict[str, Any]:
    return next(each for each in stack.api.task_instances(dag_id, run_id) if each["task_id"] == name)


def awaited(what: str, probe: Callable[[], Any], poll_seconds: float = 1.0) -> Any:
    return wait_for(probe, what, timeout_seconds=WAIT_SECONDS, poll_seconds=poll_seconds)


@pytest.mark.parametrize(
    ("name", "advice"), [("winback", "run grocery_train_full first"), ("because", "make run PROGRAM=grocery")]
)
def test_a_sharer_says_that_the_owner_goes_first(stack: Stack, name: str, advice: str) -> None:
    with pytest.raises(AssertionError, match=advice):
        stack.command("run", name)


def test_each_program_pushes_its_own_attribute_and_each_solution_is_trained_once(stack: Stack) -> None:
    began = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - NEW_HOURS
    for name in PROGRAMS:
        printed = stack.command("run", name, *(["--until", began.isoformat()] if name == OWNER else []))
        print(printed[printed.index("Done in") :])

    assert versions(stack) == ONCE_EACH
    assert imports(stack) == {(f"{OWNER}-{kind}", "FULL"): 1 for kind in ("interactions", "users", "items")}
    found, mailed = holders(stack), audience(stack, OWNER)
    print(
        {name: len(people) for name, people in found.items()}, "objects that name the person", naming(stack)
    )
    out = held_out()
    assert 0.07 * len(mailed) < len(out) < 0.13 * len(mailed)
    assert found[OWNER] == mailed - out
    assert found["winback"] <= mailed
    assert len(found["winback"] ^ audience(stack, "winback")) < 10, "but for the purchases of these minutes"
    assert found["because"] <= mailed
    assert 0 < len(found["promotion"]) < len(mailed)
    # The owner's experiment holds the person out; the other programs have none.
    assert USER in out
    assert all(USER in people for name, people in found.items() if name != OWNER)

    # What the four ledgers hold together is what the meters say.
    sums = Counter[str]()
    for name in PROGRAMS:
        sums.update(booked(Shop(stack.services, stack.include, name)))
    meters = metered(stack.services)
    print(meters)
    assert dict(sums) == used(dict.fromkeys(meters, 0.0), meters)


def test_an_import_of_the_owners_update_starts_the_sharers(stack: Stack) -> None:
    before, update = versions(stack), f"{TRAINING[1]}_train_update"
    stack.command("run", OWNER)

    def followed() -> Any:
        runs = stack.api.dag_runs(update, run_type="asset_triggered", state="success")
        return next((run for run in runs if stack.api.xcom(update, run["dag_run_id"], "promote")), None)

    awaited("the sharer's update", followed)
    pause_when_idle(stack, f"{OWNER}_export")
    wait_until_settled(stack, f"{OWNER}_train_update", update)
    updates = [
        run
        for run in stack.api.dag_runs(f"{OWNER}_train_update", state="success")
        if stack.api.xcom(f"{OWNER}_train_update", run["dag_run_id"], "promote")
    ]
    assert versions(stack) - before == {(f"{OWNER}-user-personalization", "UPDATE"): len(updates)}
    # Of the interactions none, if the hours since the FULL import have fewer rows than an import takes.
    incremental = [count for (_, mode), count in imports(stack).items() if mode == "INCREMENTAL"]
    assert incremental
    assert max(incremental) <= len(updates)
    newest = champion(OWNER)
    assert champion("promotion") == newest

    def delivered() -> bool:
        runs = stack.api.dag_runs("promotion_recommend", run_type="asset_triggered", state="success")
        prepared = [
            stack.api.xcom("promotion_recommend", run["dag_run_id"], "prepare", "plan") or {} for run in runs
        ]
        return any(each.get("solution_version_arn") == newest for each in prepared)

    awaited("the sharer's recommend", delivered)


def test_one_erasure_removes_a_person_from_all_four(stack: Stack, tmp_path: Path) -> None:
    people = tmp_path / "people.txt"
    people.write_text(f"{USER}\n")
    # The experiment's table of people belongs to no program.
    assert naming(stack).keys() == {*PROGRAMS, "_experiments"}
    with pytest.raises(AssertionError, match=f"make forget PROGRAM={OWNER}"):
        stack.command("forget", SHARERS[0], "--users", str(people))
    printed = stack.command("forget", "--users", str(people))
    print(printed)
    assert all(name in printed for name in PROGRAMS), "the certificate names the programs"

    assert naming(stack) == {}
    assert USER not in stack.services.profiles()
    home = stack.plan.settings.home
    assert (
        kept_by(home / "personalize") == kept_by(home / "braze") == kept_by(home / "airflow" / "logs") == []
    )
    stack.command("run", "winback")
    assert naming(stack) == {}
    assert USER not in stack.services.profiles()


def kill_a_task(stack: Stack, dag_id: str, run_id: str) -> str:
    """Kill the process of whichever task of a run works next, with no chance to clean up; return the task's name."""

    def killed() -> str | None:
        assert stack.api.dag_run(dag_id, run_id)["state"] not in FINISHED, "the run was faster than the test"
        for each in stack.api.task_instances(dag_id, run_id):
            if each["state"] != "running" or not each["pid"]:
                continue
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(each["pid"])
                for one in (*process.children(recursive=True), process):
                    one.send_signal(signal.SIGKILL)
            if _ended_as(stack, dag_id, run_id, each["task_id"]) == "up_for_retry":
                return str(each["task_id"])
        return None

    return str(awaited("a task to kill", killed, poll_seconds=0.05))


def _ended_as(stack: Stack, dag_id: str, run_id: str, name: str) -> str:
    def state() -> str | None:
        found = str(task(stack, dag_id, run_id, name)["state"])
        return None if found == "running" else found

    return str(awaited(f"the end of {name}", state))


def train_all_at_once(stack: Stack) -> dict[str, str]:
    """Start a FULL training of the owner, whose import starts those of the others, and wait until these wait for it.

    :returns: the run of each program's ``train_full``.
    """
    dag_ids = {name: f"{name}_train_full" for name in (OWNER, *TRAINING)}
    wait_until_settled(stack, *dag_ids.values())
    seen = {name: run_ids(stack, dag_id) for name, dag_id in dag_ids.items()}
    stack.api.trigger(dag_ids[OWNER])
    runs = {}
    for name, dag_id in dag_ids.items():
        (runs[name],) = awaited(f"a run of {dag_id}", lambda n=name, d=dag_id: run_ids(stack, d) - seen[n])
    for name in TRAINING:
        awaited(
            f"{name} to wait for the lock",
            lambda n=name: (
                task(stack, dag_ids[n], runs[n], "hold")["state"] in ("running", "up_for_reschedule")
            ),
        )
    assert lock() == Holder(dag_ids[OWNER], runs[OWNER], lock().since)
    return runs


def check_one_after_the_other(
    stack: Stack, runs: dict[str, str], before: tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]
) -> None:
    """Wait for the trainings: all succeed, none while another one holds the lock, each solution and import once."""
    held = []
    for name, run_id in runs.items():
        dag_id = f"{name}_train_full"
        ended = stack.api.wait_for_run(dag_id, run_id, timeout_seconds=WAIT_SECONDS)
        assert ended["state"] == "success", dag_id
        held.append((task(stack, dag_id, run_id, "hold")["end_date"], ended["end_date"], name))
    print(sorted(held))
    # A rerun announces its import once more; the others then find nothing new.
    wait_until_settled(stack, *(f"{name}_train_full" for name in runs))
    moments = [(datetime.fromisoformat(took), datetime.fromisoformat(end)) for took, end, _ in held]
    assert all(end <= took for (_, end), (took, _) in pairwise(sorted(moments)))
    assert versions(stack) - before[0] == ONCE_EACH
    assert set((imports(stack) - before[1]).values()) == {1}
    holder = lock()
    assert stack.api.dag_run(holder.dag_id, holder.run_id)["state"] in FINISHED, "no lock is left"


def test_a_killed_task_keeps_the_lock_for_its_retry_and_the_others_wait(stack: Stack) -> None:
    pause_when_idle(stack, f"{OWNER}_export")
    before = versions(stack), imports(stack)
    runs = train_all_at_once(stack)
    killed = kill_a_task(stack, f"{OWNER}_train_full", runs[OWNER])
    print("killed", killed)
    check_one_after_the_other(stack, runs, before)
    assert task(stack, f"{OWNER}_train_full", runs[OWNER], killed)["try_number"] > 1


def test_a_killed_run_leaves_the_lock_to_the_others_and_its_rerun_pays_for_nothing_twice(
    stack: Stack,
) -> None:
    stack.services.execute(MORE_PURCHASES)
    before, full = (versions(stack), imports(stack)), f"{OWNER}_train_full"
    runs = train_all_at_once(stack)
    print("killed", kill_a_task(stack, full, runs[OWNER]))
    stack.api.set_run_state(full, runs[OWNER], "failed")
    awaited("another program to take the lock", lambda: lock().dag_id != full)
    stack.api.clear_run(full, runs[OWNER])
    check_one_after_the_other(stack, runs, before)
