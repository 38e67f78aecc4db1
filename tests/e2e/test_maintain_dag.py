"""The maintain DAG in process: it takes the dataset group's lock, looks, and reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dag_runs import states
from services import BUCKET
from shop import Shop

REPO = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_run_reports_and_touches_nothing_young(run: Callable[..., Any], shop: Shop, dry_run: bool) -> None:
    (shop.include / "prices.yaml").write_text((REPO / "include/prices.yaml").read_text())
    s3 = shop.services.boto3("s3")
    kept = f"{shop.name}/full/20260101T000000-aaaaaaaa/interactions.csv"
    s3.put_object(Bucket=BUCKET, Key=kept, Body=b"x")
    done = run(f"{shop.name}_maintain", run_conf={"dry_run": dry_run})
    assert set(states(done).values()) == {"success"}
    keys = [e["Key"] for e in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{shop.name}/")["Contents"]]
    assert kept in keys
    (report,) = [key for key in keys if key.endswith("/report.json")]
    document = json.loads(s3.get_object(Bucket=BUCKET, Key=report)["Body"].read())
    assert document["dry_run"] is dry_run
    assert document["removed"] == []
    # Only a run that may remove resources needs to be alone in the dataset group.
    assert (f"{shop.name}/state/lease.json" in keys) is not dry_run
