"""A thousand people in one run: as many reads as for one, one job, a certificate each, whenever the run is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from erased_shop import check_published, contents, fill, named, person, user
from small_shop import SmallShop

sys.path.insert(0, str(Path(__file__).parents[1] / "push"))
from kit import Servers, servers

from recsync.forget.request import request_erasures

CHILD = Path(__file__).with_name("erase_in_child.py")
PEOPLE, ERASED, HOURS, DAYS = 3_000, 1_000, 100, 2
# A run for a thousand people makes some seven thousand requests to S3.
KILLS = (3, 50, 300, 500, 600, 400, 300, 700, 1_100, 800)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with servers(tmp_path_factory.mktemp("forget")) as started:
        yield started


@pytest.fixture
def shop(
    small_shop: SmallShop, local_personalize: Any, running: Servers, monkeypatch: pytest.MonkeyPatch
) -> SmallShop:
    connection = {"conn_type": "braze", "host": running.braze, "password": running.key}
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", small_shop.s3_url)
    monkeypatch.setenv("PYTHONPATH", "plugins")
    local_personalize.create_dataset_group(name="shop")
    small_shop.write_sql("audience", "SELECT user_id FROM people")
    return small_shop


def begin(shop: SmallShop, numbers: list[int], *, keep_index: bool = False) -> None:
    bucket, keys = shop.context.bucket, shop.context.keys
    for key in bucket.keys("shop/"):
        if not (keep_index and key == keys.erasure_index):
            bucket.delete(key)
    fill(shop.context, people=PEOPLE, hours=HOURS, days=DAYS)
    request_erasures("shop", [(user(n), person(n)) for n in numbers])


def run(name: str, state: Path, *limit: int) -> int:
    words = [sys.executable, str(CHILD), name, str(state), *map(str, limit)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=CHILD.parents[3])
    if done.returncode > 0:
        print(done.stdout[-3_000:], done.stderr[-3_000:])
    return done.returncode


def finished(name: str, folder: Path) -> dict[str, Any]:
    state = folder / f"{name}.json"
    assert run(name, state) == 0
    return dict(json.loads(state.read_text()))


def reads(tasks: dict[str, Any]) -> int:
    return sum(tasks[task]["result"]["read"] for task in ("last_look",))


@pytest.mark.long(reason="a thousand people, ten kills")
@pytest.mark.timeout(1800)
def test_a_thousand_are_erased_at_the_reads_of_one_and_after_ten_kills(
    shop: SmallShop, running: Servers, local_personalize: Any, tmp_path: Path
) -> None:
    context, erased = shop.context, list(range(ERASED))
    running.control(
        "POST", "profiles", json=[{"external_id": person(n), "recs": ["i1"]} for n in range(PEOPLE)]
    )

    begin(shop, [ERASED])
    one = finished("one", tmp_path)
    begin(shop, erased)
    before = contents(context)
    many = finished("many", tmp_path)
    after = contents(context)
    assert named(after, range(PEOPLE)) == {each for each in named(before, range(PEOPLE)) if each[1] >= ERASED}
    check_published(context)
    ratio = reads(many) / reads(one)
    assert ratio <= 1.05

    # The rest of the thousand find the index of the first sweep; one more person does too.
    request_erasures("shop", [(user(n), person(n)) for n in range(ERASED, ERASED + 1)])
    one_indexed = finished("one-indexed", tmp_path)
    request_erasures("shop", [(user(n), person(n)) for n in range(ERASED + 1, 2 * ERASED)])
    many_indexed = finished("many-indexed", tmp_path)
    assert not named(contents(context), range(2 * ERASED))

    begin(shop, erased)
    jobs = local_personalize.list_data_deletion_jobs()["dataDeletionJobs"]
    killed = tmp_path / "killed.json"
    for limit in KILLS:
        assert run("killed", killed, limit) == -signal.SIGKILL
    counted = finished("killed", tmp_path)
    left = contents(context)
    assert named(left, range(PEOPLE)) == named(after, range(PEOPLE))
    check_published(context)
    assert len(local_personalize.list_data_deletion_jobs()["dataDeletionJobs"]) == len(jobs) + 1
    assert running.profiles().keys() == {person(n) for n in range(2 * ERASED, PEOPLE)}
    certificates = context.bucket.keys(f"{context.keys.erasures}certificates/")
    assert len(certificates) == 2 * ERASED
    assert len(context.bucket.keys(f"{context.keys.erasures}batches/")) == 2
    assert [
        key
        for key in context.bucket.keys(context.keys.erasures)
        if key not in certificates and "/batches/" not in key
    ] == []
    for key in (key for key in certificates if key.endswith(".json")):
        document = context.bucket.get_json(key)
        assert document["people"] == ERASED
        assert document["s3"]["rows"]["full"] == 2

    print(f"reads: {reads(one):,} for one, {reads(many):,} for {ERASED:,} (x{ratio:.3f})")
    print(f"reads with the index: {reads(one_indexed):,} for one, {reads(many_indexed):,} for {ERASED - 1:,}")
    for name, tasks in (
        ("one", one),
        ("many", many),
        ("one-indexed", one_indexed),
        ("many-indexed", many_indexed),
    ):
        swept, megabytes = tasks["objects"], tasks["objects"]["result"]["read_bytes"] / 1e6
        held = {task: round(tasks[task]["wall"], 1) for task in ("exports", "delete", "last_look")}
        requests = sum(sum(each["requests"].values()) for each in tasks.values())
        print(
            f"{name}: {swept['result']['read']:,} objects, {megabytes:.1f} MB in {swept['cpu']:.1f} s of CPU and"
            f" {swept['wall']:.1f} s; lock held {held}; {requests:,} requests in all"
        )
    assert counted["last_look"]["result"]["rows"]["full"] == 2 * ERASED
