"""Sums by arm beside the same computed with pandas from whole tables."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.experiments.store import ENROLLED
from recsync.lift.figures import DAY_SECONDS, figures_by_arm, load, select_people
from recsync.lift.outcomes import OUTCOMES

SINCE, PRE_DAYS, DAYS, USERS = 1_790_000_000, 5, 12, 400
MOMENT = SINCE + DAYS * DAY_SECONDS


@pytest.fixture
def database(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    """People of two arms, given at two moments, with random outcomes."""
    random = np.random.default_rng(3)
    users = [f"u{n}" for n in range(USERS)]
    arms = random.choice(["a", "b"], USERS)
    since = SINCE + random.choice([0, 2 * DAY_SECONDS], USERS)
    enrolled = pa.table(
        {
            "user_id": users, "external_id": users, "arm": arms, "stratum": pa.nulls(USERS, pa.string()),
            "since": since, "until": pa.nulls(USERS, pa.int64()),
        },
        schema=ENROLLED,
    )  # fmt: skip
    pq.write_table(enrolled, tmp_path / "enrolled.parquet")
    rows = 3000
    outcomes = pa.table(
        {
            "user_id": random.choice(users, rows),
            "happened": random.integers(SINCE - 8 * DAY_SECONDS, SINCE + 15 * DAY_SECONDS, rows),
            "value": np.round(random.lognormal(2, 1, rows), 2),
            "item_id": pa.nulls(rows, pa.string()),
            "event": random.choice(["conversion", "open"], rows, p=[0.8, 0.2]),
            "outcome_id": pa.nulls(rows, pa.string()),
        },
        schema=OUTCOMES,
    )
    pq.write_table(outcomes, tmp_path / "outcomes.parquet")
    database = duckdb.connect()
    counts = load(database, tmp_path / "enrolled.parquet", tmp_path / "outcomes.parquet", ["a", "b"])
    assert counts == {"repeated": 0, "unknown user": 0, "refunds": 0}
    database.execute("CREATE TABLE delivered (person INTEGER, sent BIGINT)")
    database.execute("CREATE TABLE recommended (n BIGINT)")
    select_people(database, MOMENT)
    return database


def frames(database: duckdb.DuckDBPyConnection) -> tuple[pd.DataFrame, pd.DataFrame]:
    people = database.sql("SELECT person, arm, since FROM enrolled").df().set_index("person")
    outcomes = database.sql("SELECT * FROM outcomes").df()
    outcomes["since"] = people["since"].reindex(outcomes["person"]).to_numpy()
    outcomes["after"] = outcomes["happened"] - outcomes["since"]
    return people, outcomes[outcomes["happened"] < MOMENT]


def test_moments_are_those_of_whole_tables(database: duckdb.DuckDBPyConnection) -> None:
    figures = figures_by_arm(database, ["a", "b", "c"], MOMENT, PRE_DAYS, ["open"])
    people, outcomes = frames(database)
    bought = outcomes[outcomes["event"] == "conversion"]
    people["y"] = bought[bought["after"] >= 0].groupby("person")["value"].sum()
    before = bought[(bought["after"] < 0) & (bought["after"] >= -PRE_DAYS * DAY_SECONDS)]
    people["x"] = before.groupby("person")["value"].sum()
    people = people.fillna(0.0)
    opened = outcomes[(outcomes["event"] == "open") & (outcomes["after"] >= 0)]["person"].unique()
    for arm, found in figures.arms.items():
        of_arm = people[people["arm"] == arm]
        if arm == "c":
            assert (found.value.users, found.converted.positive, found.events) == (0, 0, {})
            continue
        value = found.value
        assert value.users == len(of_arm)
        assert value.positive == found.converted.positive == (of_arm["y"] > 0).sum()
        expected = (
            of_arm["y"].mean(), of_arm["y"].var(), of_arm["x"].mean(), of_arm["x"].var(), of_arm["y"].cov(of_arm["x"])
        )  # fmt: skip
        got = (value.mean, value.variance, value.before, value.before_variance, value.covariance)
        assert got == pytest.approx(expected)
        assert found.total == pytest.approx(of_arm["y"].sum())
        assert found.events == {"open": of_arm.index.isin(opened).sum()}
    assert figures.before == pytest.approx(people["x"].mean())
    assert figures.has_before
    assert sum(figures.enrolled.values()) == figures.users == USERS


@pytest.mark.parametrize("pre_days", [PRE_DAYS, 0])
def test_the_spread_is_that_of_single_days(database: duckdb.DuckDBPyConnection, pre_days: int) -> None:
    """Without a pre-period it is of the days since, of those who were given their arm at the start."""
    spread = figures_by_arm(database, ["a", "b"], MOMENT, pre_days, []).spread
    people, outcomes = frames(database)
    days = pre_days or DAYS
    if not pre_days:
        people = people[people["since"] == SINCE]
    bought = outcomes[(outcomes["event"] == "conversion") & outcomes["person"].isin(people.index)].copy()
    bought["day"] = (bought["after"] + pre_days * DAY_SECONDS) // DAY_SECONDS
    bought = bought[(bought["day"] >= 0) & (bought["day"] < days)]
    table = bought.pivot_table(index="person", columns="day", values="value", aggfunc="sum")
    daily = table.reindex(index=people.index, columns=range(days)).fillna(0.0).to_numpy()
    assert spread is not None
    assert spread.mean == pytest.approx(daily.mean())
    assert spread.within + spread.between == pytest.approx(daily.var())
    between = (daily.sum(axis=1).var() / days - daily.var()) / (days - 1)
    assert spread.between == pytest.approx(max(between, 0.0), abs=1e-9)


def test_rows_by_day_leave_out_those_before_the_start(database: duckdb.DuckDBPyConnection) -> None:
    by_day = figures_by_arm(database, ["a", "b"], MOMENT, PRE_DAYS, []).by_day
    rows = database.sql(
        f"SELECT count(*) FROM outcomes WHERE happened BETWEEN {SINCE} AND {MOMENT - 1}"
    ).fetchall()
    assert sum(by_day.values()) == rows[0][0]
    assert min(by_day) == SINCE // DAY_SECONDS
