"""What a batch job did not answer, because of errors or of missing and broken lines, is asked once more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dag_runs import states
from services import Services, started
from shop import CUSTOMERS, FULL_UNTIL, NOW, Shop

from recsync.costs.ledger import CostLedger
from recsync.recommend.store import RecommendationsStore

Run = Callable[..., Any]


@pytest.fixture
def services(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Run a stack of its own, whose batch jobs leave a fifth of their lines without an answer."""
    with started(tmp_path_factory.mktemp("faulty"), "--line-faults", "0.2") as running:
        for name, value in running.environment().items():
            monkeypatch.setitem(os.environ, name, value)
        yield running


@pytest.mark.timeout(600)
def test_what_a_job_did_not_answer_is_asked_once_more_and_paid_for_once(shop: Shop, run: Run) -> None:
    from recsync.context import StageContext

    full = run(f"{shop.name}_train_full", run_conf={"until": FULL_UNTIL.isoformat()})
    assert full.state == "success", states(full)
    manifests = []
    for _ in range(2):
        done = run(f"{shop.name}_recommend", logical_date=NOW, run_after=NOW)
        assert done.state == "success", states(done)
        assert states(done)["batch_inference_again"] == "success"
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
    assert len(jobs) == 2, "the second run adopts both jobs of the first"
    manifest = manifests[0]
    assert manifests[1] == manifest
    first = context.bucket.get(f"{context.keys.batch_output(manifest.run)}users.json.out") or b""
    missed = CUSTOMERS - first.count(b'"error":null')
    again = context.bucket.get(context.keys.second_input(manifest.run)) or b""
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
    assert len(booked) == 2
    outputs = [context.keys.batch_output(manifest.run), context.keys.second_output(manifest.run)]
    lines = b"".join(context.bucket.get(f"{folder}users.json.out") or b"" for folder in outputs)
    assert sum(entry.quantity for entry in booked) == lines.count(b"\n") - lines.count(b'"error":"')
