"""Lists that several tasks build are the same objects as those of one task."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from small_shop import SmallShop

from recsync.errors import FatalError
from recsync.evaluation.store import Candidate, Champion, ChampionStore, Comparison, ComparisonStore
from recsync.recommend import list_tasks
from recsync.recommend.job_parts import JobPart
from recsync.recommend.prepare import prepare
from recsync.recommend.recommend import build_and_publish_lists

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
SOLUTION = "arn:aws:personalize:us-east-1:000000000000:solution/"
PEOPLE, ITEMS, PEOPLE_PER_FILE = 150, 12, 40
ARMS = {
    "best": {"share": 0.4, "gets": "champion"},
    "sims": {"share": 0.3, "gets": {"challenger": "sims"}},
    "popular": {"share": 0.1, "gets": "popular"},
    "out": {"share": 0.2, "gets": "nothing"},
}
CHALLENGERS = {"sims": {"recipe": "aws-popularity-count"}}
QUERIES = {
    "audience": "SELECT 'u' || n AS user_id, 'b-' || n AS external_id, 's' || n % 3 AS segment "
    f"FROM range({PEOPLE}) t(n)",
    "catalogue": f"SELECT 'i' || n AS item_id, n % 5 AS brand, n % 7 > 0 AS stocked FROM range({ITEMS}) t(n)",
    "interactions": f"SELECT 'u' || n % {PEOPLE} AS user_id, 'i' || n * n % {ITEMS} AS item_id, "
    f"{NOW.timestamp() - 86_400:.0f} + n AS timestamp FROM range(400) t(n)",
    "outcomes": "SELECT 1",
}


@pytest.fixture
def shop(small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch) -> SmallShop:
    monkeypatch.setenv("AIRFLOW__RECSYNC__PEOPLE_PER_FILE", str(PEOPLE_PER_FILE))
    monkeypatch.setenv("AIRFLOW__RECSYNC__JOB_INPUT_BYTES", "400")
    for query, text in QUERIES.items():
        small_shop.write_sql(query, text)
    candidate = Candidate(
        "sims", "aws-popularity-count", f"{SOLUTION}shop-popularity-count/1", {"m": 1.0}, {}
    )
    small_shop.context.store(ComparisonStore).write(
        Comparison("20261101T-1", "2026-11-01", "m", "", (candidate,))
    )
    return small_shop


def write_answers(shop: SmallShop, plan: dict[str, Any], seed: int) -> None:
    """Put the output of each job: some lines are missing, failed, broken, repeated or of other people."""
    bucket, generator = shop.context.bucket, random.Random(seed)
    for part in JobPart.all_of(plan):
        body = bucket.get(part.input.removeprefix(bucket.uri(""))) or b""
        found = []
        for line in map(json.loads, body.splitlines()):
            items = [f"i{generator.randrange(ITEMS + 2)}" for _ in range(6)]
            scores = [round(generator.random(), 3) for _ in items]
            answer = {"input": line, "output": {"recommendedItems": items, "scores": scores}, "error": None}
            failed = {"input": line, "output": {"recommendedItems": []}, "error": "no"}
            stranger = {**answer, "input": {"userId": f"x{len(found)}"}}
            found += generator.choice(
                [*[[answer]] * 6, [], [failed], [failed, answer], [answer] * 2, [stranger]]
            )
        text = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in found) + "<html>\n"
        bucket.put(part.output.removeprefix(bucket.uri("")) + "users.json.out", text.encode())


def published(shop: SmallShop, run: str) -> dict[str, bytes]:
    bucket = shop.context.bucket
    return {
        key.rsplit("/", 1)[-1]: bucket.get(key) or b""
        for key in bucket.keys(shop.context.keys.recommendations(run))
    }


def write_program(shop: SmallShop, recipe: str, experiment: dict[str, Any] | None) -> None:
    rules = {
        "not_bought_in_days": 30,
        "max_per": {"brand": 1},
        "in_stock": "stocked",
        "diversity": {"by": "brand", "strength": 0.5},
    }
    shop.write_program(
        personalize={"challengers": CHALLENGERS, "recipe": recipe} if experiment else {"recipe": recipe},
        recommendations={
            "length": 4,
            "min_length": 1,
            "min_answered": 0,
            "rules": rules,
            "fallback": ["similar", "popular_in_segment", "popular"],
        },
        braze={
            "attribute": "recs",
            "attributes": [{"name": "recs_scores", "from": "scores"}],
        },
        **({"experiment": experiment} if experiment else {}),
    )
    version = f"{SOLUTION}shop-{recipe.removeprefix('aws-')}/1"
    shop.context.store(ChampionStore).promote(Champion(version, "FULL", "2026-11-01", "run", {}))


@pytest.mark.parametrize(
    ("recipe", "experiment", "number_of_tasks"),
    [
        ("aws-user-personalization", {"name": "autumn", "arms": ARMS}, 2),
        ("aws-similar-items", None, 2),
        ("aws-personalized-ranking", None, 9),
    ],
)
def test_the_same_objects_are_published(
    shop: SmallShop, recipe: str, experiment: dict[str, Any] | None, number_of_tasks: int
) -> None:
    write_program(shop, recipe, experiment)
    if recipe == "aws-similar-items":
        shop.write_sql(
            "audience", QUERIES["audience"].replace(" FROM", f", 'i' || n % {ITEMS} AS item_id FROM")
        )
    plan = prepare("shop", "run", NOW)
    write_answers(shop, plan, 1)
    for number, job in enumerate((plan.get("experiment") or {"jobs": {}})["jobs"].values()):
        write_answers(shop, job, number + 2)
    context, run = shop.context, plan["run"]
    manifest = build_and_publish_lists("shop", plan, ["a", "b"])
    alone = published(shop, run)
    assert manifest["files"] == 4
    assert {f"{what}-{n:03d}.parquet" for n in range(4) for what in ("lists", "left_out")} <= alone.keys()

    for key in context.bucket.keys(context.keys.recommendations(run)):
        if "/lists-" in key or "/left_out-" in key or key.endswith("manifest.json"):
            context.bucket.delete(key)
    shares = list_tasks.divide("shop", plan, 0, number_of_tasks)
    assert [share["task"] for share in shares] == [*range(min(number_of_tasks, 4))]
    for share in shares:
        list_tasks.stage("shop", run, share["task"])
    for share in [*reversed(shares), shares[0]]:
        list_tasks.build("shop", plan, share["task"])
    assert build_and_publish_lists("shop", plan, ["a", "b"], is_built=True) == manifest
    together = published(shop, run)
    assert together.keys() == alone.keys()
    assert [name for name, body in together.items() if body != alone[name]] == []
    assert context.bucket.keys(context.keys.list_spool(run)) == []
    with pytest.raises(FatalError, match="Clear the task divide_lists"):
        list_tasks.build("shop", plan, 0)


def test_pieces_of_another_division_are_not_read(shop: SmallShop) -> None:
    write_program(shop, "aws-user-personalization", None)
    plan = prepare("shop", "run", NOW)
    write_answers(shop, plan, 1)
    for _ in range(2):
        list_tasks.divide("shop", plan, 0, 2)
        list_tasks.stage("shop", plan["run"], 0)
    list_tasks.stage("shop", plan["run"], 1)
    list_tasks.divide("shop", plan, 0, 2)
    list_tasks.stage("shop", plan["run"], 0)
    with pytest.raises(FatalError, match="task 1 staged was written before divide_lists ran last"):
        list_tasks.build("shop", plan, 0)


STEPS = [("divide", 0), ("stage", 0), ("stage", 1), ("build", 0), ("build", 1), ("publish", 0)]


class Steps:
    """The steps of building the lists of a plan, each in a process of its own."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def run(self, step: str, task: int, request: int = 0) -> int:
        """Run a step, which is killed before a request to S3; return the number of requests or the negative signal."""
        assert self._child.stdin
        assert self._child.stdout
        print(step, task, request, file=self._child.stdin, flush=True)
        for line in self._child.stdout:
            if line.startswith("ANSWER "):
                return int(line.split()[1])
            print(line, end="")
        raise AssertionError("the steps ended")


@contextmanager
def steps(plan: dict[str, Any], folder: Path) -> Generator[Steps]:
    """Start the process whose forks run the steps."""
    (folder / "plan.json").write_text(json.dumps(plan))
    words = [sys.executable, str(Path(__file__).with_name("steps_in_child.py")), str(folder / "plan.json")]
    with subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        yield Steps(child)


def etags(shop: SmallShop) -> dict[str, str]:
    return {each["Key"]: each["ETag"] for each in shop.context.bucket.listed("shop/")}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "kills", [1, pytest.param(1_000, marks=pytest.mark.long(reason="a kill before each request to S3"))]
)
def test_a_step_that_is_killed_and_repeated_publishes_the_same_objects(
    shop: SmallShop, kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", shop.s3_url)
    monkeypatch.setenv("PYTHONPATH", "plugins")
    write_program(shop, "aws-user-personalization", None)
    plan = prepare("shop", "run", NOW)
    write_answers(shop, plan, 1)
    bucket, start = shop.context.bucket, etags(shop)
    with steps(plan, tmp_path) as child:
        requests, keys = [], []
        for step in STEPS:
            requests.append(child.run(*step))
            keys.append(etags(shop).keys())
        undisturbed = etags(shop)
        new = undisturbed.keys() - start.keys()
        assert new
        assert not any("/batch/" in key for key in new)
        bucket.delete_all(list(new))
        for step, number, expected in zip(STEPS, requests, keys, strict=True):
            is_last = step[0] == "publish"
            spool = {key: bucket.get(key) or b"" for key in bucket.keys("shop/batch/")} if is_last else {}
            # At the last request, most is done and nothing is recorded; what was shared is removed by several.
            times = min(number, 3 * kills if is_last else kills)
            for kill in (number * each // times for each in range(1, times + 1)):
                for key, body in spool.items():
                    bucket.put(key, body)
                assert child.run(*step, kill) == -signal.SIGKILL
                assert child.run(*step) > 0
                assert etags(shop).keys() == expected, f"{step} was killed before request {kill}"
                if is_last:
                    assert etags(shop) == undisturbed, f"killed before request {kill}"
                    bucket.delete(shop.context.keys.recommendations_manifest(plan["run"]))
