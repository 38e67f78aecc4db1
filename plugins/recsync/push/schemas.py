"""What a plan is made of: the columns of its files, and its figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

# In the order sent.
PARTS = ("canary", "removals", "rest")
CHANGES = pa.list_(pa.struct([("attribute", pa.string()), ("fingerprint", pa.uint64())]))
WRITES = pa.schema(
    [
        ("external_id", pa.string()),
        ("in_audience", pa.bool_()),
        ("removal", pa.bool_()),
        ("object", pa.binary()),
        ("data_points", pa.int64()),
        ("changes", CHANGES),
    ]
)
SETTLED = pa.schema([("external_id", pa.string()), ("outcome", pa.string()), ("reason", pa.string())])
STATE = pa.schema(
    [
        ("external_id", pa.string()),
        ("attribute", pa.string()),
        # Null: something may have been written, nobody knows what; the next plan writes it anew.
        ("fingerprint", pa.uint64()),
        ("delivery", pa.string()),
        # Unix seconds: since when the person keeps this list without an answer of Amazon Personalize; 0: it is no
        # answer either, but a fallback written instead of one. Null: it was an answer.
        ("kept_since", pa.int64()),
    ]
)
UNANSWERED_FILE = "unanswered.parquet"


@dataclass(frozen=True)
class Figures:
    """What a plan amounts to.

    :param audience: people of the run; each is in exactly one of ``writes``, ``removals`` and ``settled``.
    :param rows: writes by part, in the order sent; those of people outside the audience among them.
    :param writes: people of the audience who get something.
    :param removals: people of the audience who lose the attribute.
    :param left_audience: people outside the audience who lose it.
    :param settled: people who need no write, by outcome.
    :param reasons: people without a list, and people who cannot be sent, by reason.
    :param object_bytes: of all rendered writes.
    :param had_list: people who have a list by the last-sent state.
    :param losing: those of them who lose it, over a cap or not.
    :param losing_outside: those of them who are not in the audience any more.
    :param deferred: people over a cap, those outside the audience among them.
    """

    audience: int
    rows: dict[str, int]
    writes: int
    removals: int
    left_audience: int
    settled: dict[str, int]
    reasons: dict[str, int]
    data_points: int
    object_bytes: int
    had_list: int = 0
    losing: int = 0
    losing_outside: int = 0
    deferred: int = 0

    @property
    def total_rows(self) -> int:
        """How many writes there are."""
        return sum(self.rows.values())

    def as_json(self) -> dict[str, Any]:
        """Give a JSON object."""
        return asdict(self)
