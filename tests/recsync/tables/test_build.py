"""Objects of tables from local files: arms, versions, people to leave out, and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.list_partition import LISTS
from recsync.storage import duck
from recsync.suppression.store import Suppression
from recsync.tables.build import PeopleFiles, write_accounts, write_lists

NOW = datetime(2026, 1, 2, 6, tzinfo=UTC)
ITEMS = pa.table({"item_id": ["p-0", "p-1", "p-2"], "fields": ["{}"] * 3})


def stored(path: Path, schema: pa.Schema, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


def with_arm(schema: pa.Schema) -> pa.Schema:
    return schema if "arm" in schema.names else schema.append(pa.field("arm", pa.string()))


def people(folder: Path, arms: Mapping[str, str], suppression: Suppression | None = None) -> PeopleFiles:
    """Store who is in which arm; everybody has the items 2 and 0."""
    lists = [
        {"external_id": one, "items": [] if arm == "holdout" else [2, 0], "scores": [0.5, None],
         "tier": "personal", "arm": arm, "put_by": [] if arm == "holdout" else ["personal", "promoted"]}
        for one, arm in arms.items()
    ]  # fmt: skip
    audience = [{"user_id": f"u-{one}", "external_id": one} for one in arms]
    return PeopleFiles(
        stored(folder / "lists.parquet", with_arm(LISTS), lists),
        stored(folder / "audience.parquet", AUDIENCE, audience),
        suppression or Suppression(),
    )


def lists_of(folder: Path, who: PeopleFiles, by_arm: Mapping[str, str]) -> list[dict[str, Any]]:
    with duck.opened(folder) as database:
        write_lists(
            database, ITEMS, who, folder / "table.parquet",
            program="it's", run="r", created_at=NOW, solution_version="v-champion", by_arm=by_arm,
        )  # fmt: skip
    return list(pq.read_table(folder / "table.parquet").to_pylist())


def test_each_arm_has_the_version_that_it_was_asked_of(tmp_path: Path) -> None:
    who = people(tmp_path, {"a": "", "b": "champion", "c": "sims", "d": "popular", "e": "holdout"})
    rows = lists_of(tmp_path, who, {"champion": "v-champion", "sims": "v-sims"})
    assert [(row["external_id"], row["arm"], row["solution_version"]) for row in rows[::2]] == [
        ("a", None, "v-champion"),
        ("b", "champion", "v-champion"),
        ("c", "sims", "v-sims"),
        ("d", "popular", None),
    ]
    assert {row["program"] for row in rows} == {"it's"}
    assert [(row["position"], row["item_id"], row["rule"]) for row in rows[:2]] == [
        (1, "p-2", "personal"),
        (2, "p-0", "promoted"),
    ]
    assert {row["solution_version"] for row in lists_of(tmp_path, who, {})} == {"v-champion"}


def test_what_put_an_item_there_is_null_where_it_was_not_recorded(tmp_path: Path) -> None:
    """The lists of an earlier version, as the store of the recommendations reads them."""
    who = people(tmp_path, {"a": "", "b": ""})
    assert who.lists
    lists = pq.read_table(who.lists)
    earlier = lists.set_column(
        LISTS.get_field_index("put_by"), "put_by", pa.nulls(2, LISTS.field("put_by").type)
    )
    pq.write_table(earlier, who.lists)
    rows = lists_of(tmp_path, who, {})
    assert [(row["position"], row["score"], row["tier"], row["rule"]) for row in rows] == [
        (1, 0.5, "personal", None),
        (2, None, "personal", None),
    ] * 2


ACCOUNTS = pa.schema(
    [
        ("external_id", pa.string()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("data_points", pa.int64()),
    ]
)


def accounts_of(folder: Path, who: PeopleFiles, *ids: str) -> dict[str, tuple[str | None, str | None]]:
    rows = [{"external_id": one, "outcome": "sent", "reason": "", "data_points": 1} for one in ids]
    accounts = stored(folder / "accounts.parquet", ACCOUNTS, rows)
    with duck.opened(folder) as database:
        write_accounts(
            database, accounts, who, folder / "table.parquet",
            program="shop", delivery="d", run="r", planned_at=NOW,
        )  # fmt: skip
    found = pq.read_table(folder / "table.parquet").to_pylist()
    assert {row["reason"] for row in found} <= {None}
    return {row["external_id"]: (row["user_id"], row["arm"]) for row in found}


def test_an_account_has_the_persons_id_and_arm(tmp_path: Path) -> None:
    who = people(tmp_path, {"a": "", "b": "sims"})
    assert accounts_of(tmp_path, who, "a", "b", "c") == {
        "a": ("u-a", None),
        "b": ("u-b", "sims"),
        "c": (None, None),
    }
    assert accounts_of(tmp_path, PeopleFiles(), "a") == {"a": (None, None)}


def test_erased_people_and_their_stand_ins_are_left_out(tmp_path: Path) -> None:
    suppression = Suppression(b"salt").with_ids(["u-a"], ["b"])
    who = people(tmp_path, {"a": "x", "b": "x", "c": "x"}, suppression)
    found = accounts_of(tmp_path, who, "a", "b", "c", "erased-0123456789abcdef", "erased-mail")
    assert list(found) == ["c", "erased-mail"]
    assert {row["external_id"] for row in lists_of(tmp_path, who, {})} == {"c"}


# Writes the lists and the accounts of a million people, and prints the peak of memory in MB.
_MILLION = """
import resource, sys, time
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from recsync.recommend.lists.list_partition import LISTS
from recsync.storage import duck
from recsync.tables.build import PeopleFiles, write_accounts, write_lists
from datetime import datetime, UTC
folder, people, now = Path(sys.argv[1]), 1_000_000, datetime(2026, 1, 1, tzinfo=UTC)
def write(name, make):
    writer = None
    for first in range(0, people, 100_000):
        numbers = np.random.default_rng(first).permutation(np.arange(first, first + 100_000))
        table = make([f"b-{n:012d}" for n in numbers], [f"u-{n:012d}" for n in numbers])
        writer = writer or pq.ParquetWriter(folder / name, table.schema, compression="zstd")
        writer.write_table(table)
    writer.close()
rng = np.random.default_rng(1)
def lists(ids, _):
    items = pa.ListArray.from_arrays(pa.array(np.arange(0, 1_200_001, 12, dtype=np.int32)),
                                     pa.array(rng.integers(0, 50_000, 1_200_000, dtype=np.int32)))
    scores = pa.ListArray.from_arrays(items.offsets, pa.array(rng.random(1_200_000, dtype=np.float32)))
    given = {"external_id": pa.array(ids), "items": items, "scores": scores, "tier": pa.array(["personal"] * len(ids)),
             "put_by": pa.ListArray.from_arrays(items.offsets, pa.array(["personal"] * 1_200_000))}
    return pa.table([given.get(f.name, pa.nulls(len(ids), f.type)) for f in LISTS], schema=LISTS)
write("lists.parquet", lists)
write("audience.parquet", lambda ids, users: pa.table({"user_id": users, "external_id": ids}))
write("accounts.parquet", lambda ids, _: pa.table(
    {"external_id": ids, "outcome": ["sent"] * len(ids), "reason": [""] * len(ids), "data_points": [1] * len(ids)}))
catalog = pa.table({"item_id": [f"p-{n}" for n in range(50_000)], "fields": ["{}"] * 50_000})
who = PeopleFiles(folder / "lists.parquet", folder / "audience.parquet")
started = time.monotonic()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
with duck.modest_allocator(), duck.opened(folder) as database:
    rows = write_lists(database, catalog, who, folder / "l.parquet", program="shop", run="r", created_at=now,
                       solution_version="v", by_arm={})
with duck.modest_allocator(), duck.opened(folder) as database:
    accounts = write_accounts(database, folder / "accounts.parquet", who, folder / "a.parquet", program="shop",
                              delivery="d", run="r", planned_at=now)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
sizes = [(folder / n).stat().st_size // 2**20 for n in ("l.parquet", "a.parquet")]
print(rows, accounts, before, peak, round(time.monotonic() - started), *sizes)
"""


@pytest.mark.skipif(not os.environ.get("RECSYNC_LONG_TESTS"), reason="a million people take a minute")
def test_a_million_people_in_bounded_memory(tmp_path: Path) -> None:
    code = [sys.executable, "-c", _MILLION, str(tmp_path)]
    done = subprocess.run(
        code, env={**os.environ, "PYTHONPATH": "plugins"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows, accounts, _, peak, *_ = map(int, done.stdout.splitlines()[-1].split())
    assert (rows, accounts) == (12_000_000, 1_000_000)
    print(done.stdout)
    assert peak < 900
