"""The tables DAG in process: it writes the delivery that the push before it made, and nothing twice.

With ``RECSYNC_LONG_TESTS=1``: a training comes before it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from dag_runs import states
from services import BUCKET
from shop import Shop

from recsync import frames
from recsync.storage.bucket import Bucket


@pytest.mark.skipif(
    not os.environ.get("RECSYNC_LONG_TESTS"), reason="takes a training, a recommend and a push"
)
def test_a_delivery_is_in_the_tables(run: Callable[..., Any], shop: Shop) -> None:
    path = shop.include / "programs" / f"{shop.name}.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "tables": {}}))
    for stage in ("train_full", "recommend", "push", "tables", "tables"):
        done = run(f"{shop.name}_{stage}")
        assert "failed" not in set(states(done).values()), stage
    bucket = Bucket(shop.services.boto3("s3"), BUCKET)
    (delivery,) = frames.deliveries(shop.name, bucket=bucket).to_dict("records")
    accounts, lists = frames.accounts(shop.name, bucket=bucket), frames.lists(shop.name, bucket=bucket)
    assert delivery["audience"] == len(accounts) > 0
    assert accounts["user_id"].notna().all()
    assert set(lists["run"]) == {delivery["run"]}
    assert lists["solution_version"].str.startswith("arn:aws:personalize").all()
    assert set(frames.costs(shop.name, bucket=bucket)["step"]) >= {"ingested_bytes", "data_points"}
    assert frames.versions(shop.name, bucket=bucket)["is_champion"].all()
