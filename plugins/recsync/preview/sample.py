"""Choose people with mails that show what can go wrong, from the published lists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.email_kit.fields import ItemFields
from recsync.storage import duck

NAMED = "a person you named"


@dataclass(frozen=True)
class Chosen:
    """A person of the sample.

    :param person: the person's id in Braze.
    :param reason: why there is no list; empty with one.
    :param arm: of the program's experiment; empty outside it.
    """

    label: str
    person: str
    reason: str = ""
    arm: str = ""


# Label, and the column of _measured that is highest for its person. A person gets one label, the first that fits.
_WANTED = (
    ("best scores", "score"),
    ("lowest scores", "low_score"),
    ("a list of a person's own", "own"),
    ("list from the fallback", "fallback"),
    ("longest names", "name_length"),
    ("fields are missing", "missing"),
    ("a price of 0", "free"),
    ("reduced prices", "reduced"),
    ("a name twice", "repeated"),
    ("a short list", "short"),
    ("no list", "no_list"),
    ("held out by the experiment", "held_out"),
)
_ROWS = 100_000
_COLUMNS = ["external_id", "items", "scores", "tier", "reason", "arm"]
_NO = -np.inf  # the label does not fit


def choose(
    lists: Path, catalog: pa.Table, fields: ItemFields, shown: int, held_out: Sequence[str] = ()
) -> list[Chosen]:
    """Return one person for each label that fits anyone.

    :param lists: Parquet file of ``LISTS``; ``catalog``: the ``CATALOG`` beside it.
    :param shown: how many items of a list the mail shows.
    :param held_out: arms of held-out people.
    """
    facts, best = _facts(catalog, fields), {label: list[tuple[float, Chosen]]() for label, _ in _WANTED}
    with pq.ParquetFile(lists) as file:
        longest = max(
            (
                pc.max(pc.list_value_length(b.column(0))).as_py() or 0
                for b in file.iter_batches(columns=["items"])
            ),
            default=0,
        )
        for batch in file.iter_batches(_ROWS, columns=_COLUMNS):
            measured = _measured(batch, facts, shown, longest, held_out)
            rows = batch.select(["external_id", "reason", "arm"])
            for label, column in _WANTED:
                most = np.argsort(-measured[column], kind="stable")[: len(_WANTED)]
                for index in most[measured[column][most] > _NO]:
                    person, reason, arm = (column[index].as_py() for column in rows.columns)
                    is_without = max(measured["no_list"][index], measured["held_out"][index]) > _NO
                    chosen = Chosen(label, person, (reason or "") if is_without else "", arm or "")
                    best[label].append((float(measured[column][index]), chosen))
    found: dict[str, Chosen] = {}
    for label, _ in _WANTED:
        # The order of ids makes the choice the same each time.
        for _, chosen in sorted(best[label], key=lambda each: (-each[0], each[1].person)):
            if chosen.person not in found:
                found[chosen.person] = chosen
                break
    return list(found.values())


def _measured(
    batch: pa.RecordBatch,
    facts: Mapping[str, NDArray[np.int64]],
    shown: int,
    longest: int,
    held_out: Sequence[str],
) -> dict[str, NDArray[np.float64]]:
    """Return the value of each person of a batch by label; ``_NO`` where the label does not fit."""
    items, scores = batch.column("items"), batch.column("scores")
    lengths = pc.fill_null(pc.list_value_length(items), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    starts = items.offsets.to_numpy()[:-1].astype(np.int64)
    places = np.arange(shown)
    is_there = places < lengths[:, None]
    values = np.append(items.values.to_numpy(zero_copy_only=False), 0).astype(np.int64)
    position = values[np.where(is_there, starts[:, None] + places, len(values) - 1)]
    has_list = lengths > 0

    def over_items(fact: str) -> NDArray[np.int64]:
        return np.where(is_there, facts[fact][position], 0)

    names = np.sort(np.where(is_there, facts["name"][position], -1 - places), axis=1)
    is_personal = pc.fill_null(pc.equal(batch.column("tier"), "personal"), False).to_numpy(
        zero_copy_only=False
    )
    is_out = pc.is_in(batch.column("arm"), value_set=pa.array(held_out, pa.string())).to_numpy(
        zero_copy_only=False
    )
    first = pc.list_element(
        pc.if_else(pc.greater(pc.list_value_length(scores), 0), scores, pa.scalar(None, scores.type)), 0
    )
    score = pc.fill_null(first, np.nan).to_numpy(zero_copy_only=False).astype(np.float64)
    counts = {fact: over_items(fact).sum(axis=1) for fact in ("missing", "free", "reduced")}
    counts["repeated"] = (names[:, 1:] == names[:, :-1]).sum(axis=1)
    return {
        "score": np.where(has_list & is_personal & ~np.isnan(score), np.nan_to_num(score), _NO),
        "low_score": np.where(has_list & is_personal & ~np.isnan(score), -np.nan_to_num(score), _NO),
        "own": np.where(has_list & is_personal, lengths, _NO),
        "fallback": np.where(has_list & ~is_personal, lengths, _NO),
        "name_length": np.where(has_list, over_items("name_length").max(axis=1, initial=0), _NO),
        **{name: np.where(count > 0, count, _NO) for name, count in counts.items()},
        "short": np.where(has_list & (lengths < longest), -lengths, _NO),
        "no_list": np.where(has_list | is_out, _NO, 0.0),
        "held_out": np.where(is_out, 0.0, _NO),
    }


def names_in_braze(people: list[str], lists: Path, audience: Path | None) -> dict[str, Chosen]:
    """Return people by the id as typed: a ``user_id``, or the person's id in Braze.

    An id that is neither in the lists nor in the audience is looked up in Braze as typed.
    """
    with duck.work_folder() as work, duck.opened(work) as connection:
        typed = pa.table({"typed": pa.array(people, pa.string())})
        connection.register("typed", typed)
        connection.execute(f"CREATE VIEW lists AS SELECT * FROM read_parquet({duck.quoted_path(lists)})")
        audience_sql = "SELECT NULL::VARCHAR AS user_id, NULL::VARCHAR AS external_id WHERE false"
        if audience:
            audience_sql = f"SELECT user_id, external_id FROM read_parquet({duck.quoted_path(audience)})"
        rows = connection.execute(
            f"""WITH audience AS ({audience_sql}),
            named AS (
                SELECT typed, typed AS person FROM typed
                WHERE typed IN (SELECT external_id FROM lists)
                UNION SELECT typed, min(external_id) FROM typed JOIN audience ON user_id = typed
                WHERE typed NOT IN (SELECT external_id FROM lists) GROUP BY typed
            )
            SELECT typed, person, CASE WHEN len(items) > 0 THEN '' ELSE coalesce(reason, '') END, coalesce(arm, '')
            FROM named LEFT JOIN lists ON external_id = person"""
        ).fetchall()
    known = {typed: Chosen(NAMED, person, reason or "", arm or "") for typed, person, reason, arm in rows}
    return {person: known.get(person) or Chosen(NAMED, person) for person in people}


def _facts(catalog: pa.Table, fields: ItemFields) -> dict[str, NDArray[np.int64]]:
    """Return what an item contributes to a mail, by its position; names as numbers."""
    rows = [json.loads(text) for text in catalog["fields"].to_pylist()] or [{}]
    expected = [
        column for column in (fields.name, fields.brand, fields.price, fields.url, fields.image) if column
    ]

    def number(row: Mapping[str, Any], column: str | None) -> float:
        try:
            return float(row.get(column or "") or 0)
        except (TypeError, ValueError):
            return 0.0

    names, codes = [str(row.get(fields.name) or "") for row in rows], dict[str, int]()
    facts = {
        "name": [codes.setdefault(name, len(codes)) for name in names],
        "name_length": [len(name) for name in names],
        "missing": [sum(row.get(column) in (None, "") for column in expected) for row in rows],
        "free": [row.get(fields.price or "") is not None and not number(row, fields.price) for row in rows],
        "reduced": [number(row, fields.former_price) > number(row, fields.price) for row in rows],
    }
    return {name: np.array(column, dtype=np.int64) for name, column in facts.items()}
