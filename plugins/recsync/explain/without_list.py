"""List the people of the newest run who have no list in Braze, and why, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from braze_client.identifiers import Identifier
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.push.accounts import Outcome
from recsync.push.plan_format import STATE
from recsync.push.store import Deliveries, LastSent
from recsync.recommend.lists.left_out import LEFT_OUT, names_in
from recsync.recommend.store import RecommendationsStore
from recsync.storage import duck
from recsync.storage.duck import work_folder

_BATCH_ROWS = 10_000
NOT_PUSHED = "the list was not pushed yet"
TOO_OLD = "the list was removed because it was too old"
# A spreadsheet reads a cell that begins with one of these as a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "@", "\t", "\r", "-", "+")
_AUDIENCE = pa.schema([("user_id", pa.string()), ("external_id", pa.string())])
_ACCOUNTS = pa.schema([("external_id", pa.string()), ("outcome", pa.string()), ("reason", pa.string())])


def csv_lines(program: str) -> Generator[bytes]:
    """Yield the CSV of the people of the newest run without a list in Braze, with a header, sorted by reason and id.

    Columns: ``user_id`` and the id in Braze, ``why``, ``rules`` (those that left out candidates), ``outcome`` (of the
    last delivery of the run).

    :raises FatalError: when nothing was published; before the first line.
    """
    context = StageContext.of(program)
    with work_folder() as work, duck.opened(work) as database:
        person = _prepare(context, database, work)
        yield _csv([["user_id", person, "why", "rules", "outcome"]])
        query = "SELECT user_id, external_id, why, rules, outcome FROM without_list ORDER BY why, external_id"
        for batch in database.sql(query).to_arrow_reader(_BATCH_ROWS):
            yield _csv(
                [_cells(row, person) for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)]
            )


def _cells(row: tuple[str | None, ...], person: str) -> list[str]:
    """Return the cells of a row; a phone number begins with a plus and is no formula."""
    return [
        f"'{cell}"
        if cell and cell.startswith(_FORMULA) and not (number == 1 and person == "phone")
        else cell or ""
        for number, cell in enumerate(row)
    ]


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _prepare(context: StageContext, database: duckdb.DuckDBPyConnection, work: Path) -> str:
    """Create the table ``without_list``; return the name of the identifier."""
    store, deliveries = context.store(RecommendationsStore), context.store(Deliveries)
    name, run, state = context.program.name, store.latest_run(), context.store(LastSent).read()[0]
    if run is None:
        raise FatalError(f"{name} has published no recommendations; run {name}_recommend first.")
    store.download(run, work / "lists.parquet")
    accounts = (
        deliveries.accounts_key(each)
        for each in reversed(deliveries.names())
        if each.partition("-")[2] == run
    )
    delivered = next((key for key in accounts if context.bucket.etag(key)), None)
    sources: dict[str, tuple[list[str | None], pa.Schema]] = {
        "audience": ([context.keys.audience(run)], _AUDIENCE),
        "left_out": ([*store.left_out_keys(run)], LEFT_OUT),
        "accounts": ([delivered], _ACCOUNTS),
        "sent": ([state.table], STATE),
    }
    for view, (keys, schema) in sources.items():
        for number, key in enumerate(keys):
            path = work / f"{view}-{number}.parquet"
            if key and context.bucket.etag(key):
                context.bucket.download(key, path)
            else:
                pq.write_table(schema.empty_table(), path)
        database.execute(f"CREATE VIEW {view} AS SELECT * FROM read_parquet('{work / view}-*.parquet')")
    rules = names_in(pq.read_metadata(work / "left_out-0.parquet").metadata or {})
    database.register(
        "rules", pa.table({"bit": pa.array(range(len(rules)), pa.int64()), "rule": pa.array(rules)})
    )
    attribute = context.program.braze.attribute.replace("'", "''")
    database.execute(
        "CREATE TABLE without_list AS SELECT p.user_id, l.external_id, a.outcome, "
        "CASE WHEN len(l.items) = 0 THEN coalesce(nullif(l.reason, ''), 'no reason is known') "
        f"  WHEN a.outcome IS NULL THEN '{NOT_PUSHED}' "
        f"  WHEN a.outcome IN ('{Outcome.SENT}', '{Outcome.UNCHANGED}') THEN '{TOO_OLD}' "
        "  ELSE a.outcome || coalesce(': ' || nullif(a.reason, ''), '') END AS why, "
        "(SELECT string_agg(rule, ', ' ORDER BY bit) FROM rules WHERE (o.all_rules >> bit) & 1 = 1) AS rules "
        f"FROM read_parquet('{work / 'lists.parquet'}') l LEFT JOIN audience p USING (external_id) "
        "LEFT JOIN accounts a USING (external_id) LEFT JOIN left_out o USING (external_id) "
        f"ANTI JOIN (SELECT external_id FROM sent WHERE attribute = '{attribute}') s USING (external_id)"
    )
    return Identifier.parse(store.manifest(run).identifier).name
