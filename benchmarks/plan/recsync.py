"""recsync's plan: from the batch output, the audience and the catalogue to rendered writes, on local files.

Inside the clock lies all that the recommend and the push tasks do with the data, without moving it over S3: reading and
checking the output, joining the audience, the post-rules, the published lists, the comparison with the last-sent
state, and every payload that has to be sent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.job import PlanJob
from recsync.program import Braze, Recommendations, Rules
from recsync.push.accounts import merge_state
from recsync.push.diff import PlanInputs
from recsync.push.ledger import Ledger, Status
from recsync.push.plan_files import plan_files
from recsync.push.plan_format import PARTS, PlanFigures
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.build import build_lists
from recsync.recommend.lists.catalog import ItemCatalog, read_catalog
from recsync.storage.duck import modest_allocator
from recsync.warehouse.column_types import Kind

_FIELDS = ("name", "department", "price", "image_url")
_STATE, _AUDIENCE = "state.parquet", "audience.parquet"
_LENGTH = 10


def prepare(job: PlanJob) -> None:
    """Plan the first output for a Braze that has nothing, and take it as sent."""
    with tempfile.TemporaryDirectory(dir=job.state) as name:
        work = Path(name)
        write_audience(job.first_audience, work / "first.parquet")
        write_audience(job.audience, job.state / _AUDIENCE)
        figures = _plan(job, job.first, work / "first.parquet", None, work)
        ledger = Ledger(np.full(figures.total_rows, Status.TAKEN, dtype=np.int8))
        merge_state(None, work / "plan", figures, ledger, "first", job.state / _STATE, work)


def plan(job: PlanJob) -> None:
    """Plan the second output."""
    state = job.state / _STATE
    with job.clock(), modest_allocator():
        figures = _plan(job, job.output, job.state / _AUDIENCE, state, job.out)
    writes = [str(job.out / "plan" / "writes" / f"{part}.parquet") for part in PARTS]
    new = duckdb.sql(
        f"SELECT count(*) FROM read_parquet({writes}) ANTI JOIN read_parquet('{state}') USING (external_id)"
    ).fetchall()[0][0]
    job.found(
        changed=figures.writes - new,
        new=new,
        gone=figures.left_audience,
        unchanged=figures.settled.get("unchanged", 0),
    )


def _plan(job: PlanJob, output: Path, audience: Path, state: Path | None, work: Path) -> PlanFigures:
    policy = Recommendations(length=_LENGTH)
    braze = Braze(attribute=job.attribute, update_existing_only=False)
    catalogue = read_items(job.catalogue, _FIELDS, policy.rules)
    (work / "lists").mkdir()
    (work / "compare").mkdir()
    with output.open("rb") as stream:
        build_lists(
            [(output.name, stream)],
            audience,
            catalogue,
            policy,
            work / "lists.parquet",
            work / "lists",
            moment=datetime.now(UTC),
        )
    inputs = PlanInputs(braze, work / "lists.parquet", catalogue.table, state, canary_share=0.01)
    return plan_files(inputs, work / "plan", work / "compare")


def read_items(catalogue: Path, sent: Sequence[str], rules: Rules, others: Sequence[str] = ()) -> ItemCatalog:
    """Read the items with the fields that are sent, and with further columns that the rules read."""
    columns = [*sent, *others]
    with pq.ParquetFile(catalogue) as file:
        items = file.read(["item_id", *columns], use_threads=False)
    texts = items.cast(pa.schema([(name, pa.string()) for name in items.schema.names])).to_batches(2_000)
    kinds = dict.fromkeys(columns, Kind.TEXT)
    return read_catalog(texts, kinds, dict.fromkeys(sent), rules, name="catalogue")


def write_audience(source: Path, target: Path) -> None:
    """Bring the generated audience into the form in which recommend keeps it."""
    with pq.ParquetWriter(target, AUDIENCE, compression="zstd") as writer:
        for batch in pq.ParquetFile(source).iter_batches(100_000):
            nothing = [
                pa.nulls(len(batch), AUDIENCE.field(name).type) for name in ("priority", "segment", "arm")
            ]
            writer.write_batch(pa.record_batch([*batch.columns, *nothing], schema=AUDIENCE))
