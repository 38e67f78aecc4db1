"""recsync's plan: from the batch output, the audience and the catalogue to rendered writes, on local files.

Inside the clock lies all that the recommend and the push tasks do with the data, without moving it over S3: reading and
checking the output, joining the audience, the post-rules, the published lists, the comparison with the last-sent
state, and every payload that has to be sent.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.job import PlanJob
from recsync.program import Braze, Recommendations
from recsync.push.accounts import merge_state
from recsync.push.diff import Inputs
from recsync.push.ledger import Ledger, Status
from recsync.push.plan_files import plan_files
from recsync.push.schemas import PARTS, Figures
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.build import build_lists
from recsync.recommend.lists.catalogue import read_catalogue
from recsync.warehouse.query_columns import Kind

_FIELDS = ("name", "department", "price", "image_url")
_STATE, _AUDIENCE = "state.parquet", "audience.parquet"
_LENGTH = 10


def prepare(job: PlanJob) -> None:
    """Plan the first output for a Braze that has nothing, and take it as sent."""
    with tempfile.TemporaryDirectory(dir=job.state) as name:
        work = Path(name)
        _write_audience(job.first_audience, work / "first.parquet")
        _write_audience(job.second_audience, job.state / _AUDIENCE)
        figures = _plan(job, job.first, work / "first.parquet", None, work)
        ledger = Ledger(np.full(figures.total_rows, Status.TAKEN, dtype=np.int8))
        merge_state(None, work / "plan", figures, ledger, "first", job.state / _STATE, work)


def plan(job: PlanJob) -> None:
    """Plan the second output."""
    state = job.state / _STATE
    with job.clock():
        figures = _plan(job, job.second, job.state / _AUDIENCE, state, job.out)
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


def _plan(job: PlanJob, output: Path, audience: Path, state: Path | None, work: Path) -> Figures:
    policy = Recommendations(length=_LENGTH)
    braze = Braze(attribute=job.attribute)
    items = pq.read_table(job.catalogue, columns=["item_id", *_FIELDS])
    texts = items.cast(pa.schema([(name, pa.string()) for name in items.schema.names])).to_batches()
    kinds = dict.fromkeys(_FIELDS, Kind.TEXT)
    catalogue = read_catalogue(texts, kinds, dict.fromkeys(_FIELDS), policy.rules, name="catalogue")
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
    inputs = Inputs(braze, work / "lists.parquet", catalogue.table, state, canary_share=0.01)
    return plan_files(inputs, work / "plan", work / "compare")


def _write_audience(source: Path, target: Path) -> None:
    """Bring the generated audience into the form in which recommend keeps it."""
    with pq.ParquetWriter(target, AUDIENCE, compression="zstd") as writer:
        for batch in pq.ParquetFile(source).iter_batches(100_000):
            nothing = [pa.nulls(len(batch), AUDIENCE.field(name).type) for name in ("priority", "segment")]
            writer.write_batch(pa.record_batch([*batch.columns, *nothing], schema=AUDIENCE))
