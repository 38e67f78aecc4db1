"""What the lists are made of, from the warehouse and from S3 to local files."""

from __future__ import annotations

import logging
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsync.core.duck import opened
from recsync.core.erasure.suppression import PERSON, USER, Suppression
from recsync.core.filters.values import keep_values
from recsync.core.intervals import Interval
from recsync.core.lists import catalogue as items
from recsync.core.lists.audience import (
    AUDIENCE,
    OPTIONAL,
    sort_audience,
    write_audience,
    write_audience_items,
)
from recsync.core.lists.batch_output import cut_blocks, read_block
from recsync.core.lists.catalogue import Catalogue
from recsync.core.lists.history import write_events
from recsync.core.lists.output_files import output_names, unpacked
from recsync.core.lists.output_spool import Source
from recsync.core.payloads import CATALOG_ID, MAX_STRING_CHARACTERS
from recsync.core.queries.select import map_columns
from recsync.errors import FatalError
from recsync.hooks.warehouse import warehouse
from recsync.stages.context import StageContext
from recsync.stages.queries import interactions_query, read_query
from recsync.stores.bucket import Bucket

log = logging.getLogger(__name__)


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
    hook = warehouse(context.program.warehouse, aws_conn_id=context.program.aws)
    name, query = read_query(context.program, "audience", Interval.until(moment), hook)
    returned = {column.casefold() for column in hook.columns(query, name=name)}
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
    rows: Iterable[tuple[Any, ...]] = hook.rows(query, columns, name=name)
    if not with_suppressed:
        rows = _not_suppressed(rows, columns, context.suppression.read())
    if values and taken:
        rows = keep_values(rows, columns, taken, values, name=name)
    write_audience(rows, columns, raw, name=name)
    with opened(target.parent) as connection:
        people = sort_audience(connection, raw, target)
        if items:
            write_audience_items(connection, raw, items)
    raw.unlink()
    return people


def _not_suppressed(
    rows: Iterable[tuple[Any, ...]], columns: list[str], suppression: Suppression
) -> Iterable[tuple[Any, ...]]:
    """Leave out who is suppressed by either id."""
    if not suppression:
        return rows
    user, person = (
        columns.index("user_id"),
        columns.index("external_id" if "external_id" in columns else "user_id"),
    )
    return (
        row
        for row in rows
        if not suppression.holds(USER, str(row[user])) and not suppression.holds(PERSON, str(row[person]))
    )


def _filter_columns(values: Mapping[str, str], returned: Collection[str], name: str) -> dict[str, str]:
    missing = [column for column in values.values() if column.casefold() not in returned]
    if missing:
        raise FatalError(
            f"{name} returns no column {', '.join(missing)}, of which filters.recommend.values takes each person's "
            "value. Return it, or correct the program file."
        )
    return {placeholder: column.casefold() for placeholder, column in values.items()}


def read_catalogue(context: StageContext, moment: datetime) -> Catalogue:
    """Read the items that may be mailed; those whose ids Braze cannot hold are left out and counted."""
    program = context.program
    hook = warehouse(program.warehouse, aws_conn_id=program.aws)
    name, query = read_query(program, "catalogue", Interval.until(moment), hook)
    rules = program.recommendations.rules
    columns = list(dict.fromkeys(["item_id", *program.braze.sent_fields, *rules.columns]))
    rows = hook.rows(query, columns, name=name)
    usable = CATALOG_ID if program.braze.catalog else None
    catalogue = items.read_catalogue(
        rows, columns, program.braze.sent_fields, rules, usable=usable, name=name
    )
    if catalogue.unusable:
        allowed = (
            "1 to 250 letters, digits, _ and -" if usable else f"1 to {MAX_STRING_CHARACTERS} characters"
        )
        log.warning("%d items of %s are never mailed: their ids need %s", catalogue.unusable, name, allowed)
    return catalogue


def read_events(context: StageContext, moment: datetime, target: Path) -> Path | None:
    """Write what was bought lately to a local file; None when neither a rule nor the fallback asks for it."""
    program, policy = context.program, context.program.recommendations
    if not policy.history_days:
        return None
    interval = Interval(moment - timedelta(days=policy.history_days), moment)
    hook = warehouse(program.warehouse, aws_conn_id=program.aws)
    events = interactions_query(program, interval, hook)
    columns = ["USER_ID", "ITEM_ID", "TIMESTAMP"]
    if policy.rules.bought_event_types:
        columns.append("EVENT_TYPE")
        map_columns(events.columns, columns, name=events.name)
    rows = hook.rows(events.query, columns, name=events.name)
    written = write_events(rows, target, policy.rules.bought_event_types)
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
