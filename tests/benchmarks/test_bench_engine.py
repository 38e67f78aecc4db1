import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from benchmarks.contenders import ENGINE_SPEED
from benchmarks.engine import als, data, experiment, quality
from benchmarks.engine.scoring import ALS, COUNTS, OURS, OURS_UNSEEN, POPULAR, interval
from benchmarks.engine.shop import shop
from benchmarks.job import Job
from benchmarks.settings import Settings

from personalize_local.engine import TrainingData

ROWS = 20_000


def cells(markdown: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()[2:]]


def test_a_gain_that_all_users_have_is_certain():
    ours, theirs = np.linspace(0.2, 0.4, 50), np.linspace(0.1, 0.2, 50)
    assert interval(ours.tolist(), theirs.tolist()) == pytest.approx((1.0, 1.0))
    low, high = interval([*ours, 0.0], [*theirs, 0.9])
    assert low < 0.9 < high


def test_the_shop_s_later_rows_come_on_top(bench_dir):
    before, later = (pq.read_table(file) for file in shop(ROWS))
    assert later.slice(0, ROWS).equals(before)
    assert later.num_rows == ROWS + ROWS // 200
    assert pc.min(later["TIMESTAMP"].slice(ROWS)).as_py() > pc.max(before["TIMESTAMP"]).as_py()


@pytest.mark.long(reason="make bench checks its contenders, too")
def test_every_row_of_the_speed_table_is_measured():
    *_, markdown = experiment.recommend(Settings(engine_data=(), engine_rows=ROWS))
    rows = cells(markdown)
    assert [row[0] for row in rows] == [contender.name for contender in ENGINE_SPEED]
    assert rows[0][2] == "1x"
    assert all(row[1] != "failed" for row in rows)
    assert rows[-1][5] != "-"


def test_judging_hands_back_every_user_s_figure(monkeypatch, tmp_path):
    """Habits that counts find entirely, and a taste that everyone of a group shares."""
    rows = [
        (f"u{user}", f"{user % 4}-{item if week % 2 else user % 7}", week * 600_000 + item)
        for user in range(200)
        for week in range(8)
        for item in np.random.default_rng(user * 8 + week).choice(30, 4, replace=False).tolist()
    ]
    users, items, times = zip(*rows, strict=True)
    table = pa.table({"USER_ID": users, "ITEM_ID": items, "TIMESTAMP": times})
    monkeypatch.setattr(data, "groceries", lambda: TrainingData(table))
    monkeypatch.setattr(als, "NARROW", [als.Setting(16, 5.0, 1.0)])
    job = Job({"data": "groceries", "folds": 2, "wide": False})
    quality.judge(job)

    ndcg = job.figures["ndcg"]
    assert len(ndcg[OURS]) == len(ndcg[COUNTS]) == len(ndcg[POPULAR]) == 40
    assert len(ndcg[OURS_UNSEEN]) == len(ndcg[ALS]) > 0
    assert np.mean(ndcg[OURS]) > np.mean(ndcg[POPULAR])
    assert "16 factors" in job.figures["setting"]
    json.dumps(job.figures)
