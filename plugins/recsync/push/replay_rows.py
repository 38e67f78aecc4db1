"""Plan a delivery from dead letters: what Braze did not take is sent again, after somebody mended the cause.

The letters are JSON lines and may be edited: ``object`` is what is sent, and what its fingerprints are made of.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from braze_client.payloads import MAX_VALUE_BYTES, Json, dumps
from recsync.errors import FatalError
from recsync.push.fingerprints import NO_ATTRIBUTES, attribute_fingerprint
from recsync.push.outcomes import Outcome
from recsync.push.schemas import PARTS, SETTLED, WRITES, Figures
from recsync.storage import duck

_SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Letter:
    """One dead letter.

    :param payload: the attribute object to send; a null value removes an attribute.
    """

    external_id: str
    payload: Json
    in_audience: bool

    @property
    def attributes(self) -> Json:
        """What it sets or removes."""
        return {name: value for name, value in self.payload.items() if name not in NO_ATTRIBUTES}

    @property
    def removal(self) -> bool:
        """Whether it only removes."""
        return all(value is None for value in self.attributes.values())


def parse_letters(body: bytes, *, name: str) -> list[Letter]:
    """Read dead letters.

    :param name: of the object, for the errors.
    :raises FatalError: with every line that is not a letter, at most ten of them.
    """
    letters: dict[str, Letter] = {}
    problems = []
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            letter = _parse(line)
            if letter.external_id in letters:
                raise ValueError("its external_id is there twice")
            letters[letter.external_id] = letter
        except ValueError as error:
            problems.append(f"{name}, line {number}: {error}")
    if problems:
        raise FatalError(
            "\n".join(["Nothing was sent; mend these lines first:", *problems[:_SHOWN_PROBLEMS]])
        )
    return list(letters.values())


def _parse(line: bytes) -> Letter:
    document = json.loads(line)
    payload = document.get("object") if isinstance(document, dict) else None
    if isinstance(payload, str):
        payload = json.loads(payload)
    if not isinstance(payload, dict) or not isinstance(payload.get("external_id"), str):
        raise ValueError("needs an object with external_id, as JSON or as text")
    letter = Letter(payload["external_id"], payload, bool(document.get("in_audience", True)))
    if not letter.attributes:
        raise ValueError("object holds no attribute")
    for attribute, value in letter.attributes.items():
        if not isinstance(value, list | str | None):
            raise ValueError(f"{attribute} must be a list, a text or null, not {type(value).__name__}")
    # What cannot be sent, such as NaN or half a surrogate pair, is a ValueError here.
    if len(dumps(payload)) > MAX_VALUE_BYTES and not letter.removal:
        raise ValueError(f"object is over {MAX_VALUE_BYTES} bytes, which Braze drops silently")
    return letter


def plan_replay(
    letters: Iterable[Letter],
    replayed: str,
    state: Path | None,
    items: Collection[str] | None,
    target: Path,
    work: Path,
) -> Figures:
    """Write the plan's files into ``target``.

    :param replayed: the delivery that the letters are from; people written by a newer one are left alone.
    :param state: the last-sent state.
    :param items: ids of the catalogue that lists may point at; None when there is no catalogue.
    """
    newer = _newer(state, replayed, work)
    rows: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    settled = []
    for letter in letters:
        reason = _obstacle(letter, newer, items)
        if not reason:
            rows["removals" if letter.removal else "rest"].append(_row(letter))
        elif letter.in_audience:
            settled.append(
                {"external_id": letter.external_id, "outcome": Outcome.SUPPRESSED, "reason": reason}
            )
    (target / "writes").mkdir(parents=True, exist_ok=True)
    for part, written in rows.items():
        pq.write_table(pa.Table.from_pylist(written, WRITES), target / "writes" / f"{part}.parquet")
    pq.write_table(pa.Table.from_pylist(settled, SETTLED), target / "settled.parquet")
    pq.write_table(pa.table({"item_id": [], "fields": [], "used": []}), target / "items.parquet")
    return _figures(rows, [row["reason"] for row in settled])


def _newer(state: Path | None, replayed: str, work: Path) -> Mapping[str, str]:
    """Name the newer delivery that wrote somebody since: delivery by external id."""
    if state is None:
        return {}
    with duck.opened(work) as database:
        return dict(
            database.execute(
                f"SELECT external_id, max(delivery) FROM read_parquet('{state}') WHERE delivery > ? GROUP BY 1",
                [replayed],
            ).fetchall()
        )


def _obstacle(letter: Letter, newer: Mapping[str, str], items: Collection[str] | None) -> str:
    if letter.external_id in newer:
        return f"written by the newer delivery {newer[letter.external_id]}"
    if items is None:
        return ""
    for element in (e for value in letter.attributes.values() if isinstance(value, list) for e in value):
        if not isinstance(element, str):
            return "the list holds objects, and the program sends ids now"
        if element not in items:
            return f"item {element} has left the catalogue"
    return ""


def _row(letter: Letter) -> dict[str, Any]:
    changes = [
        {"attribute": n, "fingerprint": attribute_fingerprint(v)} for n, v in letter.attributes.items()
    ]
    return {
        "external_id": letter.external_id,
        "in_audience": letter.in_audience,
        "removal": letter.removal,
        "object": dumps(letter.payload),
        "data_points": sum(_points(value) for value in letter.attributes.values()),
        "changes": changes,
    }


def _points(value: list[Any] | str | None) -> int:
    objects = [element for element in value or () if isinstance(element, dict)]
    return sum(map(len, objects)) if objects else 1


def _figures(rows: Mapping[str, list[dict[str, Any]]], reasons: list[str]) -> Figures:
    written = [row for part in rows.values() for row in part]
    inside = [row for row in written if row["in_audience"]]
    removals = sum(row["removal"] for row in inside)
    return Figures(
        audience=len(inside) + len(reasons),
        rows={part: len(rows[part]) for part in PARTS},
        writes=len(inside) - removals,
        removals=removals,
        left_audience=len(written) - len(inside),
        settled={Outcome.SUPPRESSED.value: len(reasons)} if reasons else {},
        reasons={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        data_points=sum(row["data_points"] for row in written),
        object_bytes=sum(len(row["object"]) for row in written),
    )
