"""Look lists up by id in embedded stores, in CPU time: ``python -m benchmarks.recommendations.stores USERS``."""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import lmdb
import numpy as np
import pyarrow as pa

from benchmarks.places import emptied_folder
from benchmarks.recommendations.publish import ITEMS, LENGTH, user_id

_LOOKUPS = {"LMDB": 200_000, "memory-mapped Arrow": 200_000, "DuckDB, indexed": 2_000}


def main(users: int) -> None:
    """Build each store and time its look-ups, keys hashed before."""
    folder = emptied_folder("recommendations/stores")
    items = np.random.default_rng(1).integers(0, ITEMS, (users, LENGTH), dtype=np.int32)
    keys = sorted(hashlib.sha256(user_id(number).encode()).digest()[:16] for number in range(users))
    makers = {"LMDB": _lmdb, "memory-mapped Arrow": _arrow, "DuckDB, indexed": _duckdb}
    found = {}
    for name, make in makers.items():
        began = time.process_time()
        get = make(folder, keys, items)
        built = time.process_time() - began
        asked = [random.randrange(users) for _ in range(_LOOKUPS[name])]
        for number in asked:
            # Checked, and the pages are in memory afterwards, as in a service that runs.
            assert list(get(keys[number])) == items[number].tolist()
        began = time.process_time()
        for number in asked:
            get(keys[number])
        spent = time.process_time() - began
        found[name] = {"build_s": built, "lookup_us": 1e6 * spent / len(asked)}
    print(json.dumps(found))


def _lmdb(folder: Path, keys: list[bytes], items: np.ndarray) -> Callable[[bytes], memoryview]:
    with lmdb.open(str(folder / "lmdb"), map_size=1 << 36, sync=False, lock=False) as environment:
        with environment.begin(write=True) as txn:
            rows = ((key, row.tobytes()) for key, row in zip(keys, items, strict=True))
            txn.cursor().putmulti(rows, append=True)
        environment.sync(True)
    read = lmdb.open(str(folder / "lmdb"), readonly=True, lock=False, readahead=False).begin(buffers=True)
    return lambda key: read.get(key).cast("i")


def _arrow(folder: Path, keys: list[bytes], items: np.ndarray) -> Callable[[bytes], np.ndarray]:
    table = pa.table({
        "key": pa.array(np.frombuffer(b"".join(keys), ">u8")[::2].astype("u8")),
        "items": pa.FixedSizeListArray.from_arrays(pa.array(items.ravel()), LENGTH),
    })  # fmt: skip
    path = str(folder / "lists.arrow")
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    opened = pa.ipc.open_file(pa.memory_map(path)).read_all()
    column, values = opened["key"].chunk(0).to_numpy(), opened["items"].chunk(0).flatten().to_numpy()

    def get(key: bytes) -> np.ndarray:
        place = int(column.searchsorted(np.uint64(int.from_bytes(key[:8], "big"))))
        return values[place * LENGTH : place * LENGTH + LENGTH]

    return get


def _duckdb(folder: Path, keys: list[bytes], items: np.ndarray) -> Callable[[bytes], list[int]]:
    lists = pa.table(
        {"key": keys, "items": pa.FixedSizeListArray.from_arrays(pa.array(items.ravel()), LENGTH)}
    )
    with duckdb.connect(str(folder / "lists.duckdb")) as connection:
        connection.register("lists_here", lists)
        connection.execute("CREATE TABLE lists AS FROM lists_here; CREATE INDEX by_key ON lists (key)")
    read = duckdb.connect(str(folder / "lists.duckdb"), read_only=True)
    return lambda key: read.execute("SELECT items FROM lists WHERE key = ?", [key]).fetchall()[0][0]


if __name__ == "__main__":
    main(int(sys.argv[1]))
