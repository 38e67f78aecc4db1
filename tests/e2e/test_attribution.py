"""Mails in the next exports: from a delivery through PostgreSQL, S3 and an import to the figures that are read back.

RECSYNC_LONG_TESTS=1 runs it: two trainings, a delivery and two exports take a minute of CPU. Its parts are tested in
tests/recsync/attribution, tests/recsync/export/test_mail_columns.py and tests/personalize_local/test_attribution.py.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from dag_runs import states
from services import BUCKET
from shop import CUSTOMERS, FULL_UNTIL, NOW, PRODUCTS, PROGRAM, SCHEMAS, SQL, Shop

from recsync.attribution.reports import WITHOUT_SOURCE, attribution_reports
from recsync.context import StageContext

Run = Callable[..., Any]
ATTRIBUTION = """\
personalize:
  num_results: 20
  attribution:
    metrics:
      - {name: purchases, event: purchase}
      - {name: revenue, event: purchase, expression: SUM(Items.PRICE)}
    source: program
    impressions: 4
"""
COLUMNS = [
    {"name": "EVENT_TYPE", "type": "string"},
    *({"name": name, "type": ["null", "string"]} for name in ("IMPRESSION", "EVENT_ATTRIBUTION_SOURCE")),
]


@pytest.fixture
def mailing_shop(shop: Shop) -> Shop:
    program = PROGRAM.replace("personalize: {num_results: 20}\n", ATTRIBUTION)
    assert "attribution" in program
    sql = SQL["interactions"].replace('AS "timestamp"', "AS \"timestamp\", 'purchase' AS event_type")
    shop.write_files(program, {"interactions": sql})
    path = shop.include / "schemas" / shop.name / "interactions.json"
    schema = SCHEMAS["interactions"]
    path.write_text(json.dumps({**schema, "fields": [*schema["fields"], *COLUMNS]}))
    return shop


@pytest.mark.skipif(
    "RECSYNC_LONG_TESTS" not in os.environ, reason="takes a minute; its parts have tests of their own"
)
@pytest.mark.timeout(600)
def test_events_after_a_mail_are_exported_imported_and_reported_with_its_source(
    mailing_shop: Shop, run: Run
) -> None:
    shop, name = mailing_shop, mailing_shop.name
    full = run(f"{name}_train_full", run_conf={"until": FULL_UNTIL.isoformat()})
    assert full.state == "success", states(full)
    context = StageContext.of(name)
    first = {(each.metric, each.source): each.value for each in attribution_reports(context)}
    # The sum of a column of the items waits for their first import.
    assert first == {("purchases", WITHOUT_SOURCE): CUSTOMERS * 25}
    for stage in ("recommend", "push"):
        assert run(f"{name}_{stage}").state == "success"

    # The delivery ended just now, so the events of the coming hours follow it.
    hour = NOW + timedelta(hours=1)
    lists = {who.removeprefix("braze-"): row["item_ids"] for who, row in shop.published().lists.items()}
    orders = [
        (f"c {c}", f"p-{(c + k) % PRODUCTS}", hour + timedelta(seconds=60 * c + k))
        for c in range(CUSTOMERS)
        for k in range(20)
    ]
    shop.add_orders(orders)
    for until in (hour, hour + timedelta(hours=1)):
        assert run(f"{name}_export", logical_date=until).state == "success"
    key = f"{name}/exports/interactions/{hour:%Y-%m-%dT%H%M}Z.csv"
    s3 = shop.services.boto3("s3")
    rows = list(csv.DictReader(io.StringIO(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode())))
    assert len(rows) == len(orders)
    attributed = 0
    for row in rows:
        mailed = lists[row["USER_ID"]]
        assert row["IMPRESSION"] == "|".join(mailed[:4])
        assert row["EVENT_ATTRIBUTION_SOURCE"] == (name if row["ITEM_ID"] in mailed else "")
        attributed += row["ITEM_ID"] in mailed
    assert 0 < attributed < len(orders)

    update = run(f"{name}_train_update")
    assert update.state == "success", states(update)
    figures = {(each.metric, each.source): each.value for each in attribution_reports(context)}
    assert figures["purchases", name] == attributed
    assert figures["purchases", WITHOUT_SOURCE] == CUSTOMERS * 25 + len(orders) - attributed
    price = {f"p-{n}": n + 0.5 for n in range(PRODUCTS)}
    revenue = sum(price[row["ITEM_ID"]] for row in rows if row["EVENT_ATTRIBUTION_SOURCE"])
    assert figures["revenue", name] == pytest.approx(revenue)
