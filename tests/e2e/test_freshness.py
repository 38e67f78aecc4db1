"""The freshness DAG in process: it waits for pushes, asks for a day's notice, and removes what is too old."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from dag_runs import states
from shop import CUSTOMERS, PROGRAM, Shop

DAY = timedelta(days=1)
NOW = datetime.now(UTC)


@pytest.mark.timeout(300)
def test_old_lists_are_removed_after_a_notice_and_a_retirement_takes_the_date_along(
    run: Callable[..., Any], shop: Shop, tmp_path: Path
) -> None:
    from recsync.context import StageContext
    from recsync.push.catalog import known_items
    from recsync.recommend.recommend import publish_output

    attribute = f"recs_{shop.name}"
    program = PROGRAM.replace("attribute: recs", f"attribute: {attribute}\n  status_catalog: recsync_status")
    shop.write_files(program.replace("{length: 5}", "{length: 5, max_age_days: 14}"))
    output = tmp_path / "users.json.out"
    lists = (
        {"input": {"userId": f"c {c}"}, "output": {"recommendedItems": [f"p-{k}" for k in range(5)]}}
        for c in range(CUSTOMERS)
    )
    output.write_text("".join(f"{json.dumps(line)}\n" for line in lists))
    publish_output(shop.name, str(output))
    assert run(f"{shop.name}_push").state == "success"

    def holders() -> int:
        return sum(attribute in attributes for attributes in shop.services.profiles().values())

    def freshness(days: float) -> dict[str, str]:
        return states(run(f"{shop.name}_freshness", run_after=NOW + days * DAY))

    assert holders() == CUSTOMERS
    skipped = {"check": "success", "plan": "skipped", "deliver": "skipped"}
    assert freshness(13) == skipped
    assert set(freshness(14.6).values()) == {"success"}
    assert holders() == 0
    status = StageContext.of(shop.name).program.braze.status
    assert list(known_items(StageContext.of(shop.name), status)) == [shop.name]
    retired = run(f"{shop.name}_retire", run_conf={"dry_run": False, "confirm": shop.name})
    assert retired.state == "success", states(retired)
    headers = {"Authorization": f"Bearer {shop.services.braze_key}"}
    items = requests.get(f"{shop.services.braze}/catalogs/recsync_status/items", headers=headers, timeout=30)
    assert shop.name not in [item["id"] for item in items.json()["items"]]
