"""Find the questions of a batch job that its output does not answer, and write them as the input of a second job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.program.recipes import Asks
from recsync.recommend.lists.batch_output import ITEM, USER, cut_blocks, read_block
from recsync.recommend.lists.output_staging import Source
from recsync.recommend.lists.segments import answered_queries
from recsync.storage.local_disk import quoted_path

_KEYS = pa.schema([("key", pa.string())])
# A question has exactly one of these; a list to rank has its user.
_KEY = "coalesce(json->>'$.userId', json->>'$.itemId', json->>'$.itemAttributes')"
_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Questions:
    """How many questions a job was asked, and how many of them its output does not answer."""

    asked: int
    unanswered: int

    @property
    def reason_not_to_ask_again(self) -> str:
        """Say why a second job for the questions without an answer is not worth it; empty when it is."""
        return next((reason for applies, reason in _REASONS if applies(self)), "")


_REASONS: tuple[tuple[Callable[[Questions], bool], str], ...] = (
    (lambda q: q.unanswered == 0, "every question has an answer"),
    (lambda q: q.unanswered < 1_000 and q.unanswered < q.asked / 100, "fewer than 1,000 and fewer than 1 %"),
    (
        lambda q: q.unanswered > q.asked / 2,
        "more than half: the fault is the job's, not that of single lines",
    ),
)


def write_unanswered(
    connection: duckdb.DuckDBPyConnection,
    questions: Path,
    outputs: Iterable[Source],
    asks: Asks,
    target: Path,
    work: Path,
) -> Questions:
    """Write the lines of a job's input that its output does not answer, in an order that depends on nothing else.

    :param questions: the job's input.
    :param work: an existing folder.
    """
    answered = work / "answered.parquet"
    with pq.ParquetWriter(answered, _KEYS, compression="zstd") as writer:
        for keys in _answered(outputs, asks):
            writer.write_batch(pa.RecordBatch.from_arrays([keys], schema=_KEYS))
    connection.execute(
        f"CREATE TEMP TABLE questions AS SELECT json, {_KEY} AS key "
        f"FROM read_ndjson_objects({quoted_path(questions)})"
    )
    connection.execute(
        "CREATE TEMP TABLE unanswered AS SELECT json, key FROM questions "
        f"ANTI JOIN read_parquet({quoted_path(answered)}) USING (key)"
    )
    counts = connection.execute("SELECT (SELECT count(*) FROM questions), (SELECT count(*) FROM unanswered)")
    asked, unanswered = counts.fetchall()[0]
    rows = connection.sql("SELECT json::VARCHAR AS json FROM unanswered ORDER BY key")
    with target.open("wb") as file:
        for batch in rows.to_arrow_reader(_ROWS_AT_ONCE):
            file.writelines(f"{line}\n".encode() for line in batch.column(0).to_pylist())
    return Questions(asked, unanswered)


def _answered(outputs: Iterable[Source], asks: Asks) -> Iterator[pa.Array]:
    if asks in {Asks.SEGMENT_ITEM, Asks.SEGMENT_ATTRIBUTES}:
        yield pa.array(list(answered_queries(outputs)), pa.string())
        return
    for _name, stream in outputs:
        for block in cut_blocks(stream):
            lines = read_block(block, ITEM if asks is Asks.ITEM else USER).columns
            yield lines["user_id"].filter(pc.is_null(lines["error"]))
