"""Every id that Braze knows one person by: from the audience, and from what former runs kept of it."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.program.intervals import Interval
from recsync.recommend.list_inputs import read_audience
from recsync.warehouse.program_sql import read_query


def external_ids_of(context: StageContext, user_id: str) -> set[str]:
    """Look a person's ids up in all audiences kept on S3, and in the one that the warehouse gives now.

    Where ``audience.sql`` returns no ``external_id``, Braze knows everybody by ``user_id``.
    """
    found = set()
    for key in context.bucket.keys(context.keys.all_recommendations):
        if key.endswith("/audience.parquet") and (body := context.bucket.get(key)):
            found |= _in_file(BytesIO(body), user_id)
    moment = datetime.now(UTC)
    hook = context.warehouse()
    name, query = read_query(context.program, "audience", Interval.until(moment), hook)
    if "external_id" not in {column.name.casefold() for column in hook.columns(query, name=name)}:
        return found | {user_id}
    with TemporaryDirectory(prefix="recsync-erasure-") as folder:
        target = Path(folder) / "audience.parquet"
        # As it is in the warehouse: this person is suppressed already.
        read_audience(context, moment, target, with_suppressed=True)
        return found | _in_file(target, user_id)


def _in_file(source: BytesIO | Path, user_id: str) -> set[str]:
    try:
        table = pq.read_table(source, columns=["user_id", "external_id"])
    except ValueError as error:
        raise FatalError(f"A kept audience is not what recsync wrote ({error}).") from None
    return {one for one in table.filter(pc.field("user_id") == user_id)["external_id"].to_pylist() if one}
