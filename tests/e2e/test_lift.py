"""The lift DAG in process: people whom the assignment gave an arm, and simulated buyers in the warehouse."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dag_runs import states, xcoms
from shop import PROGRAM, Shop

from stack import s3_state
from stack.commands.buyers import experiment_of
from warehouse_local.buyers import Buyers, simulate

START = datetime(2026, 9, 1, 5, tzinfo=UTC)
EXPERIMENT = """
experiment:
  name: {name}
  arms:
    recommended: {{share: 0.5, gets: champion}}
    popular: {{share: 0.25, gets: popular}}
    holdout: {{share: 0.25, gets: nothing}}
  effect: 0.2
  guardrails: {{unsubscribe: 0.5}}
"""
OUTCOMES = """
SELECT user_id, {{ epoch('happened_at') }} AS timestamp, value, item_id, event, outcome_id FROM journey.outcomes
WHERE happened_at >= '{{ data_interval_start }}' AND happened_at < '{{ data_interval_end }}'
"""


@pytest.mark.timeout(120)
def test_each_day_has_a_report_and_the_log_ends_with_the_result(
    run: Callable[..., Any], shop: Shop, tmp_path: Path
) -> None:
    from recsync.context import StageContext
    from recsync.experiments.enrolment import assign_arms
    from recsync.experiments.report import VALUE_PER_USER
    from recsync.experiments.store import LiftStore
    from recsync.recommend.lists.audience import AUDIENCE

    shop.write_files(PROGRAM + EXPERIMENT.format(name=shop.name), {"outcomes": OUTCOMES})
    context = StageContext.of(shop.name)
    users = [f"c {n}" for n in range(4000)]
    columns = {field.name: pa.nulls(len(users), field.type) for field in AUDIENCE}
    columns |= {"user_id": pa.array(users), "external_id": pa.array([f"braze-{user}" for user in users])}
    pq.write_table(pa.table(columns, schema=AUDIENCE), tmp_path / "audience.parquet")
    assert assign_arms(context, "run", START, tmp_path / "audience.parquet", tmp_path)

    found = experiment_of(s3_state.client(shop.services.s3), context.bucket.name, shop.name)
    assert sorted(found.table["user_id"].to_pylist()) == sorted(users)
    buyers = Buyers(
        effects={"recommended": 0.4}, events={"unsubscribe": 0.05}, event_effects={"popular": 2.0}
    )
    with psycopg.connect(shop.services.dsn, autocommit=True) as connection:
        simulate(connection, found.table, buyers, days=30)

    dag_id, until = f"{shop.name}_lift", START + timedelta(days=30)
    done = run(dag_id, run_conf={"until": until.isoformat(), "days_before": 9})
    assert set(states(done).values()) == {"success"}
    reports = context.store(LiftStore).newest(99)
    assert [round(report.days) for report in reports] == list(range(30, 20, -1))
    newest = reports[0]
    value = newest.compared("recommended", VALUE_PER_USER)
    assert value
    assert value.is_better
    # The 95 % interval misses the truth in one of twenty shops; who is in which arm follows from the shop's name.
    assert value.always_relative_low is not None
    assert value.always_relative_high is not None
    assert value.always_relative_low < 0.4 < value.always_relative_high
    assert not newest.ratio.mismatch
    assert newest.verdict.startswith("recommended is better, proven: +")
    assert newest.verdict.endswith("Guardrails are broken: unsubscribe in popular.")
    told = [text for text in xcoms() if f"{dag_id}.measure" in text]
    assert any(newest.verdict in text for text in told)
    assert not [text for text in told if re.search(r"c \d+", text)]
