"""Make one data set that every recipe can train on, with a structure that is known."""

import random

import pyarrow as pa
from engine_data import DAY, START, shop

from personalize_local.engine import Query, TrainingData
from personalize_local.engine.inputs import ItemText

TASTES = ("garden", "kitchen", "books", "music")


def taste_of(name: str) -> str:
    """Tell the taste that a user or an item of the shop belongs to, from its number."""
    return TASTES[int("".join(filter(str.isdigit, name))) % len(TASTES)]


def everything(num_users: int = 120) -> TrainingData:
    """Take the shop of four tastes, with metadata, texts, actions and what users did with them."""
    data = shop(num_users)
    ids = [*data.items["ITEM_ID"].to_pylist(), "new thing 2"]
    items = {
        "ITEM_ID": ids,
        "GENRE": [f"{taste_of(item)}|all" for item in ids],
        "PRICE": pa.array([float(place % 7) for place in range(len(ids))]),
        "TITLE": [f"{taste_of(item)} thing number{place % 11}" for place, item in enumerate(ids)],
        "TEXT": [f"<p>Something for the {taste_of(item)}, very nice</p>" for item in ids],
        "CREATION_TIMESTAMP": pa.array([None] * (len(ids) - 1) + [START + 110 * DAY], pa.int64()),
    }
    users = sorted(set(data.interactions["USER_ID"].to_pylist()))
    return TrainingData(
        data.interactions,
        pa.table(items),
        actions=pa.table(
            {
                "ACTION_ID": [f"try {taste}" for taste in TASTES] + ["expired", "rest"],
                "VALUE": pa.array([5, 5, 5, 5, 10, None], pa.int64()),
                "ACTION_EXPIRATION_TIMESTAMP": pa.array([None] * 4 + [START, None], pa.int64()),
                "REPEAT_FREQUENCY": pa.array([None] * 5 + [30], pa.int64()),
            }
        ),
        action_interactions=action_rows(users),
        item_text=ItemText("TITLE", "TEXT"),
    )


def action_rows(users: list[str]) -> pa.Table:
    """Let users take the action of their taste, mostly, and see the others."""
    rng = random.Random(4)
    rows = []
    for user in users:
        for day in range(6, 90, 9):
            taste = rng.choice(TASTES)
            takes = rng.random() < (0.8 if taste == taste_of(user) else 0.05)
            event = "Taken" if takes else rng.choice(["Viewed", "Not Taken"])
            rows.append((user, f"try {taste}", event, START + day * DAY))
        rows.append((user, "expired", "Taken", START + DAY))
    rows.append((users[0], "rest", "Taken", START + 100 * DAY))
    names = ("USER_ID", "ACTION_ID", "EVENT_TYPE", "TIMESTAMP")
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def questions(data: TrainingData, wants: str) -> list[Query]:
    """Ask for every user or item of the data, and for some unknown."""
    users = [*sorted(set(data.interactions["USER_ID"].to_pylist())), "never seen", ""]
    items = [*data.items["ITEM_ID"].to_pylist(), "never seen", ""]
    if wants in {"user", "action"}:
        return [Query(user_id=user) for user in users]
    if wants in {"item", "segment_item"}:
        return [Query(item_id=item) for item in items]
    if wants == "ranking":
        rng = random.Random(2)
        lists = [tuple(rng.sample(items, rng.randrange(len(items)))) for _ in users]
        return [Query(user_id=user, item_ids=part) for user, part in zip(users, lists, strict=True)]
    genres = [f'ITEMS.GENRE = "{taste}"' for taste in (*TASTES, "nothing")]
    return [Query(attributes=text) for text in (*genres, 'items.genre = "all" AND ITEMS.PRICE = "3"')]
