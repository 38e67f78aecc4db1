"""What the lists are made of, from the warehouse and from S3 to local files."""

from __future__ import annotations

import logging
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from braze_client.payloads import CATALOG_ID
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.program.intervals import Interval
from recsync.recommend.filter_values import keep_values
from recsync.recommend.lists import catalogue as items
from recsync.recommend.lists.audience import (
    AUDIENCE,
    OPTIONAL,
    sort_audience,
    write_audience,
    write_audience_items,
)
from recsync.recommend.lists.batch_output import cut_blocks, read_block
from recsync.recommend.lists.catalogue import Catalogue
from recsync.recommend.lists.history import write_events
from recsync.recommend.lists.output_files import output_names, unpacked
from recsync.recommend.lists.output_staging import Source
from recsync.storage.bucket import Bucket
from recsync.storage.duck import opened
from recsync.suppression.store import SuppressionStore
from recsync.suppression.suppression_list import PERSON, USER, Suppression
from recsync.warehouse.program_sql import interactions_query, read_query
from recsync.warehouse.select import map_columns

log = logging.getLogger(__name__)

_IDS = ("user_id", "external_id", "item_id")


def read_audience(
    context: StageContext,
    moment: datetime,
    target: Path,
    *,
    items: Path | None = None,
    values: Path | None = None,
    with_suppressed: bool = False,
) -> int:
    """Write the people of ``audience.sql`` to a local file, sorted, each row once.

    ``audience.sql`` returns ``user_id`` and, where Braze knows people by another id, ``external_id``; and as it likes
    ``priority`` (a number, higher first) and ``segment``.

    :param items: where to write the items that the query returns beside the people, in its order (``PAIRS``); None
        takes no notice of a column ``item_id``.
    :param values: where to write the values that the program's filter takes of each person (``VALUES``).
    :param with_suppressed: also those who are to be forgotten; only an erasure wants them.
    :returns: how many people there are.
    """
    hook = context.warehouse()
    name, query = read_query(context.program, "audience", Interval.until(moment), hook)
    returned = {column.name.casefold() for column in hook.columns(query, name=name)}
    columns = ["user_id", *(column for column in OPTIONAL if column in returned)]
    if items:
        if "item_id" not in returned:
            raise FatalError(
                f"{name} returns no column item_id, the item that each person's list is made from. Return one, or name "
                "a query for them in inputs.seeds."
            )
        columns.append("item_id")
    raw = target.with_suffix(".raw")
    chosen = context.program.filters.recommend
    taken = _filter_columns(chosen.values, returned, name) if values and chosen else {}
    columns += [column for column in dict.fromkeys(taken.values()) if column not in columns]
    with hook.read(query, columns, name=name, ids=_IDS) as rows:
        batches: Iterable[pa.RecordBatch] = rows.batches
        if not with_suppressed and (suppression := context.store(SuppressionStore).read()):
            batches = _not_suppressed(batches, suppression)
        if values and taken:
            kinds = {placeholder: rows.columns[column].kind for placeholder, column in taken.items()}
            batches = keep_values(batches, taken, kinds, values, name=name)
        write_audience(batches, raw, name=name)
    with opened(target.parent) as connection:
        people = sort_audience(connection, raw, target)
        if items:
            write_audience_items(connection, raw, items)
    raw.unlink()
    return people


def _not_suppressed(batches: Iterable[pa.RecordBatch], suppression: Suppression) -> Iterator[pa.RecordBatch]:
    """Leave out who is suppressed by either id."""
    for batch in batches:
        person = "external_id" if "external_id" in batch.schema.names else "user_id"
        found = suppression.rows(USER, batch["user_id"]) | suppression.rows(PERSON, batch[person])
        yield batch.filter(pa.array(~found)) if found.any() else batch


def _filter_columns(values: Mapping[str, str], returned: Collection[str], name: str) -> dict[str, str]:
    missing = [column for column in values.values() if column.casefold() not in returned]
    if missing:
        raise FatalError(
            f"{name} returns no column {', '.join(missing)}, of which filters.recommend.values takes each person's "
            "value. Return it, or correct the program file."
        )
    return {placeholder: column.casefold() for placeholder, column in values.items()}


def read_catalogue(context: StageContext, moment: datetime, run: str) -> Catalogue:
    """Read the items that may be mailed, and keep a report of what is wrong with the others.

    :param run: the recommend run that the report lies beside.
    :raises FatalError: when no item is left, or too many rows are left out.
    """
    catalogue = query_catalogue(context, moment)
    key = context.keys.catalogue_report(run)
    context.bucket.put_json(key, catalogue.report.to_json())
    where = f"The items are named in {context.bucket.uri(key)}."
    if message := catalogue.report.stop_message(context.program.checks):
        raise FatalError(f"{message} {where}")
    for text in catalogue.report.texts:
        log.warning("%s %s", text, where)
    return catalogue


def query_catalogue(context: StageContext, moment: datetime) -> Catalogue:
    """Query the items that may be mailed, with a report of what is wrong with the others; nothing is written."""
    program = context.program
    hook = context.warehouse()
    name, query = read_query(program, "catalogue", Interval.until(moment), hook)
    rules = program.recommendations.rules
    columns = list(dict.fromkeys(["item_id", *program.braze.sent_fields, *rules.columns]))
    usable = CATALOG_ID if program.braze.catalog else None
    with hook.read(query, columns, name=name, ids=_IDS) as rows:
        kinds = {column: found.kind for column, found in rows.columns.items()}
        return items.read_catalogue(
            rows.batches, kinds, program.braze.sent_fields, rules, usable=usable, name=name
        )


def read_events(context: StageContext, moment: datetime, target: Path) -> Path | None:
    """Write what was bought lately to a local file; None when neither a rule nor the fallback asks for it."""
    program, policy = context.program, context.program.recommendations
    if not policy.history_days:
        return None
    interval = Interval(moment - timedelta(days=policy.history_days), moment)
    hook = context.warehouse()
    events = interactions_query(program, interval, hook)
    columns = ["USER_ID", "ITEM_ID", "TIMESTAMP"]
    if policy.rules.bought_event_types:
        columns.append("EVENT_TYPE")
        map_columns(events.columns, columns, name=events.name)
    with hook.read(events.query, columns, name=events.name, ids=columns[:2]) as rows:
        written = write_events(rows.batches, target, policy.rules.bought_event_types)
    log.info("%d purchases of %d days, for rules and fallback", written, policy.history_days)
    return target


def sources(bucket: Bucket, prefix: str) -> list[str]:
    """Name the objects of a batch output.

    :raises FatalError: when there are none.
    """
    found = output_names(bucket.keys(prefix))
    if not found:
        raise FatalError(f"{bucket.uri(prefix)} holds no .out object of the job.")
    return found


def open_objects(bucket: Bucket, keys: list[str]) -> Generator[Source]:
    """Open objects one after another."""
    for key in keys:
        yield bucket.uri(key), unpacked(key, bucket.stream(key))


def open_files(paths: list[Path]) -> Generator[Source]:
    """Open local files one after another."""
    for path in paths:
        with path.open("rb") as file:
            yield str(path), unpacked(str(path), file)


def people_of_output(outputs: Generator[Source], target: Path, suppression: Suppression) -> int:
    """Write the users of a batch output as an audience in which Braze knows them by the same ids.

    Suppressed people are left out.

    :returns: how many there are.
    """
    raw = target.with_suffix(".raw")
    with closing(outputs), pq.ParquetWriter(raw, AUDIENCE, compression="zstd") as writer:
        for batch in _users(outputs, suppression):
            writer.write_batch(batch)
    with opened(target.parent) as connection:
        people = sort_audience(connection, raw, target)
    raw.unlink()
    return people


def _users(outputs: Iterator[Source], suppression: Suppression) -> Iterator[pa.RecordBatch]:
    for _name, stream in outputs:
        for block in cut_blocks(stream):
            users = read_block(block).columns["user_id"]
            if suppression:
                found = suppression.rows(USER, users) | suppression.rows(PERSON, users)
                users = users.filter(pa.array(~found))
            nothing = [
                pa.nulls(len(users), AUDIENCE.field(column).type) for column in ("priority", "segment")
            ]
            yield pa.RecordBatch.from_arrays([users, users, *nothing], schema=AUDIENCE)
