"""recsync's lists: from the batch output, the audience, the catalogue and the purchases to lists.parquet.

Inside the clock lies what a recommend task does with the data between the batch job and the published lists, without
moving it over S3 and without the quality reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data import BOUGHT_DAYS, LENGTH, MOMENT, MOST_PER_BRAND
from benchmarks.job import ListsJob
from benchmarks.plan.recsync import read_items, write_audience
from recsync.program import Recommendations, Rules
from recsync.recommend.lists.build import build_lists
from recsync.recommend.lists.catalog import ItemCatalog
from recsync.recommend.lists.history import write_purchases

_AUDIENCE = "audience.parquet"


def prepare(job: ListsJob) -> None:
    """Write the audience in the form in which recommend keeps it."""
    write_audience(job.audience, job.state / _AUDIENCE)


def build(job: ListsJob) -> None:
    """Build the lists."""
    rules = Rules(not_bought_in_days=BOUGHT_DAYS, max_per={"brand": MOST_PER_BRAND})
    policy = Recommendations(length=LENGTH, min_length=1, rules=rules)
    (job.out / "work").mkdir()
    with job.clock(), job.output.open("rb") as stream:
        catalogue = read_items(job.catalogue, (), rules, ["brand"])
        purchases = job.out / "purchases.parquet"
        write_purchases(_texts(job.purchases), purchases, catalogue)
        build_lists(
            [(job.output.name, stream)],
            job.state / _AUDIENCE,
            catalogue,
            policy,
            job.out / "lists.parquet",
            job.out / "work",
            moment=MOMENT,
            purchases=purchases,
        )
    job.built(_lists(job, catalogue))


def _texts(purchases: Path) -> Iterator[pa.RecordBatch]:
    """Read purchases as a warehouse returns them."""
    texts = pa.schema([(name, pa.string()) for name in ("user_id", "item_id", "timestamp")])
    for batch in pq.ParquetFile(purchases).iter_batches(columns=texts.names):
        yield batch.cast(texts)


def _lists(job: ListsJob, catalogue: ItemCatalog) -> Iterator[tuple[str, list[str]]]:
    ids = catalogue.item_ids.to_pylist()
    for batch in pq.ParquetFile(job.out / "lists.parquet").iter_batches(columns=["external_id", "items"]):
        for user, items in zip(batch["external_id"].to_pylist(), batch["items"].to_pylist(), strict=True):
            yield user, [ids[item] for item in items]
