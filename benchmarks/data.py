"""Write what the contenders read: batch outputs, audience, catalogue, objects and request bodies.

Everything follows from the user's number, so two machines measure the same bytes. Files are written once
per size and kept. Users are ``u0000000``…, items ``item-00000``…
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.job import digested
from benchmarks.places import folder

ATTRIBUTE = "recs_bench"
RESULTS_PER_USER = 10
ITEMS = 20_000
# https://www.braze.com/docs/api/endpoints/user_data/post_user_track/#rate-limit
OBJECTS_PER_CALL = 75
_VERSION = 2  # part of the folder's name: raise it when the files change
# Coprime to ITEMS, so that ten steps never meet the same item twice.
_STEPS = [step for step in range(1, 1_000) if step % 2 and step % 5]
_QUOTED_ITEMS = [f'"item-{number:05d}"' for number in range(ITEMS)]
# 31 brands, unevenly, as squares have it.
_BRANDS = [f"brand {number * number % 61}" for number in range(ITEMS)]
_SCORE_LISTS = 97
# What lists are built from, and by which rules.
CANDIDATES, LENGTH, MOST_PER_BRAND, BOUGHT_DAYS = 25, 10, 2, 30
MOMENT = datetime(2026, 1, 31, tzinfo=UTC)
BOUGHT_SINCE = int((MOMENT - timedelta(days=BOUGHT_DAYS)).timestamp())


@dataclass(frozen=True)
class Expected:
    """What a right plan of the second output finds, the first one having been sent."""

    changed: int
    new: int
    gone: int
    unchanged: int

    @property
    def lines(self) -> int:
        """Return the lines of the second output."""
        return self.changed + self.new + self.unchanged


@dataclass(frozen=True)
class PlanData:
    """Files of one size: ``first`` has been sent before, ``output`` is to be planned."""

    users: int
    first: Path
    first_audience: Path
    output: Path
    audience: Path
    catalogue: Path
    expected: Expected


@dataclass(frozen=True)
class BuiltLists:
    """The right lists, as ``job.digested`` sums them up."""

    users: int
    items: int
    digest: int

    @property
    def lines(self) -> int:
        """Return the lines of the output."""
        return self.users


@dataclass(frozen=True)
class ListsData:
    """Files of one size for building lists."""

    users: int
    output: Path
    audience: Path
    catalogue: Path
    purchases: Path
    expected: BuiltLists


@dataclass(frozen=True)
class DeliveryData:
    """The same users twice: one object per line, and one body of 75 objects per line."""

    users: int
    objects: Path
    bodies: Path


def user_id(number: int) -> str:
    """Return the id of a user; the second output's new users have the numbers from ``users`` on."""
    return f"u{number:07d}"


def item_numbers(number: int, *, generation: int = 0, items: int = RESULTS_PER_USER) -> list[int]:
    """Return a user's items, best first."""
    mixed = (number * 2_654_435_761 + generation * 40_503_001) & 0xFFFFFFFF
    start, step = mixed % ITEMS, _STEPS[(mixed >> 9) % len(_STEPS)]
    return [(start + k * step) % ITEMS for k in range(items)]


def quoted_items(number: int, *, generation: int = 0, items: int = RESULTS_PER_USER) -> str:
    """Return a user's item ids as the inside of a JSON array."""
    numbers = item_numbers(number, generation=generation, items=items)
    return ",".join([_QUOTED_ITEMS[item] for item in numbers])


def purchases(number: int) -> list[tuple[int, int]]:
    """Return what a user bought, and how many days before ``MOMENT``: the third item too long ago to count."""
    items = item_numbers(number, items=CANDIDATES)
    return [(items[number % 7], 1), (items[8 + number % 11], BOUGHT_DAYS - 1), (items[7], BOUGHT_DAYS + 1)]


def right_list(number: int) -> tuple[str, list[str]]:
    """Return a user and the list that every contender must build."""
    bought = {item for item, days in purchases(number) if days <= BOUGHT_DAYS}
    chosen: list[str] = []
    brands: Counter[str] = Counter()
    for item in item_numbers(number, items=CANDIDATES):
        if len(chosen) < LENGTH and item not in bought and brands[_BRANDS[item]] < MOST_PER_BRAND:
            brands[_BRANDS[item]] += 1
            chosen.append(f"item-{item:05d}")
    return user_id(number), chosen


def is_changed(number: int) -> bool:
    """Say whether the second output holds another list: one user in ten."""
    return number % 10 == 3


def is_gone(number: int) -> bool:
    """Say whether the second output leaves the user out: one in a thousand."""
    return number % 1_000 == 7


def plan_data(users: int) -> PlanData:
    """Return the files for so many users, written if need be (about 10 s and 600 MB per million)."""
    place = folder(f"data-{_VERSION}/plan-{users}")
    newcomers = users // 1_000
    gone = sum(1 for number in range(7, users, 1_000))
    changed = len(range(3, users, 10))
    data = PlanData(
        users=users,
        first=place / "first.out",
        first_audience=place / "first-audience.parquet",
        output=place / "second.out",
        audience=place / "second-audience.parquet",
        catalogue=place / "catalogue.parquet",
        expected=Expected(changed, newcomers, gone, users - gone - changed),
    )
    everyone = range(users)
    second = [number for number in range(users + newcomers) if number >= users or not is_gone(number)]
    _once(data.first, lambda path: _write(path, _output(everyone)))
    _once(data.output, lambda path: _write(path, _output(second, changed_below=users)))
    _once(data.first_audience, lambda path: _write_audience(path, everyone))
    _once(data.audience, lambda path: _write_audience(path, second))
    _once(data.catalogue, _write_catalogue)
    return data


def lists_data(users: int) -> ListsData:
    """Return the files for so many users, written if need be (about a minute and 660 MB per million)."""
    place, everyone = folder(f"data-{_VERSION}/lists-{users}"), range(users)
    known = place / "expected.json"
    _once(known, lambda path: _write(path, [json.dumps(digested(map(right_list, everyone)))]))
    data = ListsData(
        users=users,
        output=place / "batch.out",
        audience=place / "audience.parquet",
        catalogue=place / "catalogue.parquet",
        purchases=place / "purchases.parquet",
        expected=BuiltLists(**json.loads(known.read_text())),
    )
    _once(data.output, lambda path: _write(path, _output(everyone, items=CANDIDATES)))
    _once(data.audience, lambda path: _write_audience(path, everyone))
    _once(data.catalogue, _write_catalogue)
    _once(data.purchases, lambda path: _write_purchases(path, users))
    return data


def delivery_data(users: int) -> DeliveryData:
    """Return objects and bodies for so many users, written if need be (360 MB per million)."""
    place = folder(f"data-{_VERSION}/delivery-{users}")
    data = DeliveryData(users, place / "objects.jsonl", place / "bodies.jsonl")
    _once(data.objects, lambda path: _write(path, (_object(number) + "\n" for number in range(users))))
    _once(data.bodies, lambda path: _write(path, _bodies(users)))
    return data


def _object(number: int) -> str:
    return f'{{"external_id":"{user_id(number)}","{ATTRIBUTE}":[{quoted_items(number)}]}}'


def _bodies(users: int) -> Iterator[str]:
    for start in range(0, users, OBJECTS_PER_CALL):
        objects = ",".join(_object(number) for number in range(start, min(start + OBJECTS_PER_CALL, users)))
        yield f'{{"attributes":[{objects}]}}\n'


def _output(
    numbers: Iterable[int], *, changed_below: int = 0, items: int = RESULTS_PER_USER
) -> Iterator[str]:
    every_scores = [
        ",".join(f"{(0.09 - 0.0007 * i) / (k + 1):.7f}" for k in range(items)) for i in range(_SCORE_LISTS)
    ]
    for number in numbers:
        generation = 1 if number < changed_below and is_changed(number) else 0
        quoted = quoted_items(number, generation=generation, items=items)
        yield (
            f'{{"input":{{"userId":"{user_id(number)}"}},"output":{{"recommendedItems":[{quoted}],'
            f'"scores":[{every_scores[number % _SCORE_LISTS]}]}},"error":null}}\n'
        )


def _once(path: Path, write: Callable[[Path], None]) -> None:
    if not path.exists():
        partial = path.with_suffix(path.suffix + ".partial")
        write(partial)
        partial.rename(path)


def _write(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", buffering=1 << 20) as file:
        file.writelines(lines)


def _write_audience(path: Path, numbers: Iterable[int]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = pa.array([user_id(number) for number in numbers], pa.string())
    pq.write_table(pa.table({"user_id": ids, "external_id": ids}), path, compression="zstd")


def _write_purchases(path: Path, users: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])
    now = int(MOMENT.timestamp())
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, users, 100_000):
            rows = [
                (user_id(number), f"item-{item:05d}", now - days * 86_400)
                for number in range(start, min(start + 100_000, users))
                for item, days in purchases(number)
            ]
            columns = [pa.array(column) for column in zip(*rows, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _write_catalogue(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "item_id": f"item-{number:05d}",
            "name": f"Product number {number}",
            "department": f"department {number % 32}",
            "brand": _BRANDS[number],
            "price": 0.49 + number % 4_000 / 100,
            "image_url": f"https://images.example.com/products/{number:05d}.jpg",
        }
        for number in range(ITEMS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")
