"""What batch jobs did not answer, because of errors or of missing and broken lines, is asked once more.

The input is larger than one job may take here, so it is asked in several, and several tasks build the lists.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dag_runs import states
from services import Services, started
from shop import CUSTOMERS, FULL_UNTIL, NOW, Shop

from recsync.costs.ledger import CostLedger
from recsync.recommend.job_parts import part_folders
from recsync.recommend.store import RecommendationsStore

Run = Callable[..., Any]
# Of 60 lines of 18 bytes.
JOB_INPUT_BYTES = 300
FIRST_JOBS = 4


@pytest.fixture
def services(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Run a stack of its own, whose batch jobs leave a fifth of their lines without an answer."""
    with started(tmp_path_factory.mktemp("faulty"), "--line-faults", "0.2") as running:
        for name, value in running.environment().items():
            monkeypatch.setitem(os.environ, name, value)
        monkeypatch.setenv("AIRFLOW__RECSYNC__JOB_INPUT_BYTES", str(JOB_INPUT_BYTES))
        monkeypatch.setenv("AIRFLOW__RECSYNC__LIST_TASKS", "2")
        monkeypatch.setenv("AIRFLOW__RECSYNC__PEOPLE_PER_FILE", str(CUSTOMERS // 3))
        yield running


@pytest.mark.timeout(600)
def test_what_several_jobs_did_not_answer_is_asked_once_more_and_paid_for_once(shop: Shop, run: Run) -> None:
    from recsync.context import StageContext

    full = run(f"{shop.name}_train_full", run_conf={"until": FULL_UNTIL.isoformat()})
    assert full.state == "success", states(full)
    manifests = []
    for _ in range(2):
        done = run(f"{shop.name}_recommend", logical_date=NOW, run_after=NOW)
        assert done.state == "success", states(done)
        found = states(done)
        assert [found[f"batch_inference[{number}]"] for number in range(FIRST_JOBS)] == [
            "success"
        ] * FIRST_JOBS
        assert f"batch_inference[{FIRST_JOBS}]" not in found
        assert found["batch_inference_again[0]"] == "success"
        built = [found[f"{task}[{number}]"] for task in ("stage_lists", "build_lists") for number in range(2)]
        assert (built, "build_lists[2]" in found) == (["success"] * 4, False)
        context = StageContext.of(shop.name)
        manifests.append(
            context.store(RecommendationsStore).manifest(
                str(context.store(RecommendationsStore).latest_run())
            )
        )
    jobs = [
        job
        for job in shop.services.boto3("personalize").list_batch_inference_jobs()["batchInferenceJobs"]
        if job["jobName"].startswith(shop.name)
    ]
    second_jobs = sum(name.startswith("batch_inference_again") for name in found)
    assert len(jobs) == FIRST_JOBS + second_jobs, "the second run adopts all jobs of the first"
    manifest = manifests[0]
    assert manifests[1] == manifest
    assert len(manifest.batch_inference_job_arn.split(", ")) == FIRST_JOBS
    assert manifest.files == 3

    def read(place: Callable[[str, str], str], jobs: int, name: str = "") -> bytes:
        keys = [f"{place(manifest.run, folder)}{name}" for folder in part_folders(jobs)]
        return b"".join(context.bucket.get(key) or b"" for key in keys)

    first = read(context.keys.batch_output, FIRST_JOBS, "users.json.out")
    missed = CUSTOMERS - first.count(b'"error":null')
    again = read(context.keys.second_input, second_jobs)
    assert missed > 4
    assert again.count(b"\n") == missed
    assert (manifest.questions, manifest.users) == (CUSTOMERS, CUSTOMERS)
    assert CUSTOMERS - missed < manifest.answered == CUSTOMERS - sum(manifest.unanswered.values())
    lists = shop.published(manifest.run).lists
    unanswered = [who for who, row in lists.items() if row["unanswered"]]
    assert len(unanswered) == CUSTOMERS - manifest.answered
    entries = context.store(CostLedger).read(f"{NOW:%Y-%m}").entries.values()
    booked = [
        entry for entry in entries if entry.kind.value == "batch_recommendations" and not entry.expected
    ]
    assert len(booked) == len(jobs)
    lines = first + read(context.keys.second_output, second_jobs, "users.json.out")
    assert sum(entry.quantity for entry in booked) == lines.count(b"\n") - lines.count(b'"error":"')
