"""The pages about deliveries, from documents as the push stores them."""

from __future__ import annotations

import os
import random
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.client import BaseClient
from documents import delivery

from recsync.push.accounts import Outcome
from recsync.push.deliver import DeliveryReport
from recsync.push.plan_format import Estimate, PlanFigures
from recsync.push.store import PlanManifest
from recsync.push.verify import Verification
from recsync.storage.keys import Keys
from recsync.ui.deliveries import MEANINGS

BUCKET, DELIVERIES = "report-pages", "/recsync/deliveries"
RUN = "20261122T050000-0a1b2c3d"
FIRST, SECOND, DRY = (f"20261122T0{hour}0000000000-{RUN}" for hour in (5, 6, 7))
FIGURES = PlanFigures(
    audience=2_500, rows={"rest": 1_234}, writes=1_200, removals=34, left_audience=0, settled={}, reasons={},
    data_points=1_234, object_bytes=99,
)  # fmt: skip
PLAN = PlanManifest(
    delivery=FIRST, recommendations=RUN, created_at="2026-11-22T05:00:00+00:00",
    dag_run="scheduled__2026-11-22T05:00:00+00:00", dry_run=False, figures=FIGURES,
    estimate=Estimate(people=1_234, requests=17, minutes=0.1, data_points=1_234),
)  # fmt: skip
OUTCOMES = dict.fromkeys(Outcome, 0) | {
    Outcome.SENT: 1_198,
    Outcome.UNCHANGED: 1_266,
    Outcome.REMOVED: 34,
    Outcome.REJECTED: 2,
}
REPORT = DeliveryReport(
    delivery=FIRST, recommendations=RUN, audience=2_500, outcomes={k.value: n for k, n in OUTCOMES.items()},
    reasons={"<b>bad</b> value": 2}, left_audience=7, left_audience_kept=0, resent=0, tries=1,
    answers={"201": 17, "429": 3}, data_points=1_232, catalog_items=45, catalog_retired=0,
    dead_letters=f"s3://report-pages/grocery/deliveries/{FIRST}/dead_letters.jsonl", seconds=1.5,
)  # fmt: skip


@pytest.fixture
def delivered(put):
    """Store a complete delivery, one that did not end, and a dry run."""
    for plan in (
        PLAN,
        replace(PLAN, delivery=SECOND, created_at="2026-11-22T06:00:00+00:00", dag_run="x/repair-1"),
        replace(PLAN, delivery=DRY, created_at="2026-11-22T07:00:00+00:00", dry_run=True, resync=True),
    ):
        put(f"grocery/deliveries/{plan.delivery}/plan.json", asdict(plan))
    put(f"grocery/deliveries/{FIRST}/report.json", asdict(REPORT))
    put(f"grocery/deliveries/{FIRST}/verification.json", asdict(Verification(FIRST, 500)))


def row(page: str, at: str) -> str:
    (found,) = (text for text in page.split("<tr>") if at in text)
    return found


def test_the_newest_come_first_each_with_its_counts(visit, delivered):
    page = visit(f"{DELIVERIES}/grocery").text
    assert page.index("07:00:00") < page.index("06:00:00") < page.index("05:00:00")
    complete = row(page, "05:00:00")
    assert "Complete" in complete
    assert "500 people read back, all as sent" in complete
    cells = ["1,198", "1,266", "34", "2", "20", "1,232"]
    assert [f'<td class="n">{cell}</td>' in complete for cell in cells] == [True] * len(cells)
    assert "Replaced by a newer one" in row(page, "06:00:00")
    assert "repair after verification" in row(page, "06:00:00")
    assert "Dry run" in row(page, "07:00:00")
    assert "resync" in row(page, "07:00:00")
    assert f'href="/airflow{DELIVERIES}/grocery"' in visit(DELIVERIES).text


def test_a_delivery_that_goes_on_is_told_from_one_that_was_given_up(visit, put, delivered):
    put("grocery/state/last_sent.json", {"open_delivery": SECOND})
    assert "Not complete yet" in row(visit(f"{DELIVERIES}/grocery").text, "06:00:00")


def test_one_delivery_with_reasons_answers_and_links(visit, delivered):
    page = visit(f"{DELIVERIES}/grocery/{FIRST}").text
    assert "&lt;b&gt;bad&lt;/b&gt; value" in page
    assert "17 planned for people" in page
    assert "429" in page
    assert (
        'href="/airflow/dags/grocery_push/runs/scheduled__2026-11-22T05%3A00%3A00%2B00%3A00" target="_top"'
        in page
    )
    assert f"s3://report-pages/grocery/deliveries/{FIRST}/" in page
    assert "dead_letters.jsonl" in page
    assert "7 people lost their list" in page
    unfinished = visit(f"{DELIVERIES}/grocery/{SECOND}").text
    assert "it did not end" in unfinished
    assert 'runs/x"' in unfinished, "the run that verified, not the repair"


def test_a_removal_of_old_lists_leads_to_the_dag_that_made_it(visit, put):
    name = f"20261122T080000000000-freshness-{RUN}"
    put(
        f"grocery/deliveries/{name}/plan.json",
        asdict(replace(PLAN, delivery=name, recommendations=f"freshness-{RUN}")),
    )
    page = visit(f"{DELIVERIES}/grocery/{name}").text
    assert "removal of old lists" in page
    assert 'href="/airflow/dags/grocery_freshness/runs/' in page


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Verification(FIRST, 0, skipped="the key may not read"), "Skipped: the key may not read"),
        (Verification(FIRST, 500, drifted=3, repairs=(SECOND,)), "3 people differed and were written again"),
        (Verification(FIRST, 500, drifted=3, still_drifted=1), "1 people do not have what Braze took"),
    ],
)
def test_what_the_verification_found(visit, put, delivered, found, words):
    put(f"grocery/deliveries/{FIRST}/verification.json", asdict(found))
    page = visit(f"{DELIVERIES}/grocery/{FIRST}").text
    assert words in page
    assert (f'href="/airflow{DELIVERIES}/grocery/{SECOND}"' in page) == bool(found.repairs)


@pytest.mark.parametrize("address", [DELIVERIES, f"{DELIVERIES}/grocery", f"{DELIVERIES}/grocery/{FIRST}"])
def test_without_login_no_delivery_is_shown(visit, delivered, address):
    answer = visit(address, role=None)
    assert answer.status_code == 401
    assert "1,198" not in answer.text


def test_what_is_not_there(visit, delivered, monkeypatch):
    assert visit(f"{DELIVERIES}/grocery/{RUN}").status_code == 404
    assert visit(f"{DELIVERIES}/nowhere").status_code == 404
    monkeypatch.setenv("AIRFLOW__RECSYNC__BUCKET", "no-such-bucket")
    assert visit(f"{DELIVERIES}/grocery/{FIRST}").status_code == 502
    assert "Create the bucket" in visit(DELIVERIES).text


def test_nothing_delivered_yet(visit):
    assert "Nothing was delivered yet." in visit(f"{DELIVERIES}/grocery").text


def test_each_outcome_has_a_meaning_and_a_colour():
    assert {outcome.value for outcome in Outcome} <= MEANINGS.keys()


def test_the_trend_over_deliveries(visit, put):
    for day in (20, 21, 22):
        for key, document in delivery(
            Keys("grocery"), datetime(2026, 11, day, 5, 30, tzinfo=UTC), 2_507, random.Random(day)
        ):
            put(key, document)
    page = visit(f"{DELIVERIES}/grocery").text
    assert page.count("<svg") == 3
    assert "Bars of sent, unchanged" in page
    assert "held-out" in page
    newest = next(text for text in page.split("<tr>") if "2026-11-22" in text and "new lists" in text)
    assert '<td class="n">250</td>' in newest


def test_one_delivery_with_tiers_rules_arms_and_the_age_of_its_lists(visit, put):
    for key, document in delivery(
        Keys("grocery"), datetime(2026, 11, 22, 5, 30, tzinfo=UTC), 2_507, random.Random(1)
    ):
        put(key, document)
    name = visit(f"{DELIVERIES}/grocery").text.split(f"{DELIVERIES}/grocery/")[1].partition('"')[0]
    page = visit(f"{DELIVERIES}/grocery/{name}").text
    assert "held out by an experiment" in page
    (rule,) = (text for text in page.split("<tr>") if ">distinct<" in text)
    assert "9,316" in rule
    assert ">14<" in rule
    (arm,) = (text for text in page.split("<tr>") if ">holdout<" in text)
    assert ">250<" in arm
    assert "age of the recommendations" in page


def test_a_page_reads_small_documents_only_whatever_the_audience(visit, put, s3, monkeypatch):
    """A million people's accounts and writes are beside the reports, and no page reads them."""
    size = 1_000_000 if os.environ.get("RECSYNC_LONG_TESTS") else 1_000
    keys, read = Keys("grocery"), list[str]()
    for key, document in delivery(keys, datetime(2026, 11, 22, 5, 30, tzinfo=UTC), size, random.Random(1)):
        put(key, document)
        if key.endswith("plan.json"):
            name = document["delivery"]
    people = pa.table({"external_id": [f"p{n}" for n in range(size)], "outcome": ["sent"] * size})
    body = pa.BufferOutputStream()
    pq.write_table(people, body)
    tables = [f"{keys.delivery(name)}{part}.parquet" for part in ("accounts", "writes/rest", "settled")]
    for key in tables:
        s3.put_object(Bucket=BUCKET, Key=key, Body=body.getvalue().to_pybytes())
    call = BaseClient._make_api_call

    def noted(self, operation, arguments):
        if operation == "GetObject":
            read.append(arguments["Key"])
        return call(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    visit(f"{DELIVERIES}/grocery")  # the first chart of a process takes half a second more
    seconds = []
    for page in (f"{DELIVERIES}/grocery/{name}", f"{DELIVERIES}/grocery"):
        began = time.monotonic()
        answer = visit(page)
        seconds.append(time.monotonic() - began)
        assert answer.status_code == 200
    for key in tables:
        s3.delete_object(Bucket=BUCKET, Key=key)
    assert max(seconds) < 2, seconds
    assert read
    assert [key for key in read if not key.endswith(".json")] == []
