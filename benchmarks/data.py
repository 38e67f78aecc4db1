"""Write what the contenders read: batch outputs, audience, catalogue, objects and request bodies.

Everything follows from the user's number, so two machines measure the same bytes. Files are written once
per size and kept. Users are ``u0000000``…, items ``item-00000``…
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.places import folder

ATTRIBUTE = "recs_bench"
RESULTS_PER_USER = 10
ITEMS = 20_000
# https://www.braze.com/docs/api/endpoints/user_data/post_user_track/#rate-limit
OBJECTS_PER_CALL = 75
_VERSION = 1  # part of the folder's name: raise it when the files change
# Coprime to ITEMS, so that ten steps never meet the same item twice.
_STEPS = [step for step in range(1, 1_000) if step % 2 and step % 5]
_QUOTED_ITEMS = [f'"item-{number:05d}"' for number in range(ITEMS)]
_SCORES = [
    ",".join(f"{(0.09 - 0.0007 * i) / (k + 1):.7f}" for k in range(RESULTS_PER_USER)) for i in range(97)
]


@dataclass(frozen=True)
class Expected:
    """What a right plan of the second output finds, the first one having been sent."""

    changed: int
    new: int
    gone: int
    unchanged: int


@dataclass(frozen=True)
class PlanData:
    """Files of one size: ``first`` has been sent before, ``second`` is to be planned."""

    users: int
    first: Path
    second: Path
    first_audience: Path
    second_audience: Path
    catalogue: Path
    expected: Expected


@dataclass(frozen=True)
class DeliveryData:
    """The same users twice: one object per line, and one body of 75 objects per line."""

    users: int
    objects: Path
    bodies: Path


def user_id(number: int) -> str:
    """Return the id of a user; the second output's new users have the numbers from ``users`` on."""
    return f"u{number:07d}"


def quoted_items(number: int, *, generation: int = 0) -> str:
    """Return a user's ten item ids as the inside of a JSON array."""
    mixed = (number * 2_654_435_761 + generation * 40_503_001) & 0xFFFFFFFF
    start, step = mixed % ITEMS, _STEPS[(mixed >> 9) % len(_STEPS)]
    return ",".join([_QUOTED_ITEMS[(start + k * step) % ITEMS] for k in range(RESULTS_PER_USER)])


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
        second=place / "second.out",
        first_audience=place / "first-audience.parquet",
        second_audience=place / "second-audience.parquet",
        catalogue=place / "catalogue.parquet",
        expected=Expected(changed, newcomers, gone, users - gone - changed),
    )
    everyone = range(users)
    second = [number for number in range(users + newcomers) if number >= users or not is_gone(number)]
    _once(data.first, lambda path: _write(path, _output(everyone, changes=False, users=users)))
    _once(data.second, lambda path: _write(path, _output(second, changes=True, users=users)))
    _once(data.first_audience, lambda path: _write_audience(path, everyone))
    _once(data.second_audience, lambda path: _write_audience(path, second))
    _once(data.catalogue, _write_catalogue)
    (place / "expected.json").write_text(json.dumps(asdict(data.expected)))
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


def _output(numbers: Iterable[int], *, changes: bool, users: int) -> Iterator[str]:
    for number in numbers:
        generation = 1 if changes and number < users and is_changed(number) else 0
        items, scores = quoted_items(number, generation=generation), _SCORES[number % len(_SCORES)]
        yield (
            f'{{"input":{{"userId":"{user_id(number)}"}},"output":{{"recommendedItems":[{items}],'
            f'"scores":[{scores}]}},"error":null}}\n'
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


def _write_catalogue(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "item_id": f"item-{number:05d}",
            "name": f"Product number {number}",
            "department": f"department {number % 32}",
            "price": 0.49 + number % 4_000 / 100,
            "image_url": f"https://images.example.com/products/{number:05d}.jpg",
        }
        for number in range(ITEMS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")
