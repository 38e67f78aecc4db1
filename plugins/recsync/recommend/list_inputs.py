"""Read audience, catalog, purchases and batch output to local files, and compare their ids with the exports."""

from __future__ import annotations

import logging
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from braze_client.identifiers import IDENTIFIER_MEMBERS, Identifier
from braze_client.payloads import CATALOG_ID
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.program import Recommendations
from recsync.program.intervals import Interval
from recsync.recommend.filters import keep_values
from recsync.recommend.lists import catalog as items
from recsync.recommend.lists.audience import (
    AUDIENCE,
    OPTIONAL,
    keep_strata,
    normalized,
    sort_audience,
    with_person,
    write_audience,
    write_audience_items,
)
from recsync.recommend.lists.batch_output import cut_blocks, output_names, read_block, unpacked
from recsync.recommend.lists.catalog import ItemCatalog
from recsync.recommend.lists.history import write_past_lists, write_purchases
from recsync.recommend.lists.output_staging import Source
from recsync.recommend.store import RecommendationsStore
from recsync.storage import machine
from recsync.storage.bucket import Bucket
from recsync.storage.duck import opened
from recsync.suppression.store import PERSON, USER, Suppression, read_suppression
from recsync.warehouse.event_mapping import map_columns
from recsync.warehouse.hooks import Warehouse
from recsync.warehouse.program_sql import interactions_query, read_named_query, read_query

log = logging.getLogger(__name__)

# Local disk for each byte of the audience as it was read: rows that DuckDB sorts on disk are not compressed.
_SORTED_COPIES = 9
_IDS = ("user_id", *sorted(IDENTIFIER_MEMBERS), "item_id")


def read_audience(
    context: StageContext,
    moment: datetime,
    target: Path,
    *,
    items: Path | None = None,
    values: Path | None = None,
    strata: Path | None = None,
    with_suppressed: bool = False,
) -> int:
    """Write the people of ``audience.sql`` to a local file, sorted, each row once.

    ``audience.sql`` returns ``user_id``, the column that ``braze.identifier`` names (``external_id`` may be left out
    when it equals ``user_id``), and optionally ``priority`` (a number, higher first) and ``segment``.

    :param items: where to write the column ``item_id`` with its users, in the query's order (``PAIRS``).
    :param values: where to write each person's values of the program's filter (``VALUES``).
    :param strata: where to write ``user_id`` and ``stratum``, the column that the experiment's shares hold within.
    :param with_suppressed: include suppressed people, for an erasure.
    :returns: the number of people.
    """
    hook = context.warehouse()
    name, query = read_query(context.program, "audience", Interval.until(moment), hook)
    returned = {column.name.casefold() for column in hook.columns(query, name=name)}
    identifier = context.program.braze.known_by
    person = identifier.name
    if person != "external_id" and person not in returned:
        raise FatalError(
            f"{name} returns no column {person}, by which Braze knows the people (braze.identifier). Return it, or "
            "correct the program file."
        )
    optional = (person, *(column for column in OPTIONAL if column != "external_id"))
    columns = ["user_id", *(column for column in optional if column in returned)]
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
    stratum = _stratum_column(context, returned, name) if strata else ""
    columns += [
        column for column in dict.fromkeys((*taken.values(), stratum)) if column and column not in columns
    ]
    with hook.read(query, columns, name=name, ids=_IDS, in_order=items is not None) as rows:
        batches: Iterable[pa.RecordBatch] = (with_person(batch, identifier) for batch in rows.batches)
        if not with_suppressed and (suppression := read_suppression(context)):
            batches = _not_suppressed(batches, suppression)
        if values and taken:
            kinds = {placeholder: rows.columns[column].kind for placeholder, column in taken.items()}
            batches = keep_values(batches, taken, kinds, values, name=name)
        if strata:
            batches = keep_strata(batches, stratum, strata)
        write_audience(batches, raw, name=name, person=person)
    machine.check_disk(target.parent, _SORTED_COPIES * raw.stat().st_size, f"Sorting the audience of {name}")
    with opened(target.parent) as connection:
        people = sort_audience(connection, raw, target)
        if items:
            write_audience_items(connection, raw, items)
    raw.unlink()
    return people


def _not_suppressed(batches: Iterable[pa.RecordBatch], suppression: Suppression) -> Iterator[pa.RecordBatch]:
    """Filter out people who are suppressed by either id."""
    for batch in batches:
        found = suppression.mask(USER, batch["user_id"]) | suppression.mask(PERSON, batch["external_id"])
        yield batch.filter(pa.array(~found)) if found.any() else batch


def _filter_columns(values: Mapping[str, str], returned: Collection[str], name: str) -> dict[str, str]:
    missing = [column for column in values.values() if column.casefold() not in returned]
    if missing:
        raise FatalError(
            f"{name} returns no column {', '.join(missing)}, of which filters.recommend.values takes each person's "
            "value. Return it, or correct the program file."
        )
    return {placeholder: column.casefold() for placeholder, column in values.items()}


def _stratum_column(context: StageContext, returned: Collection[str], name: str) -> str:
    experiment = context.program.experiment
    column = (experiment.stratify_by if experiment else None) or ""
    if column.casefold() not in returned:
        raise FatalError(
            f"{name} returns no column {column}, within whose values the shares of the experiment hold "
            "(experiment.stratify_by). Return it, or correct the program file."
        )
    return column.casefold()


def read_catalog(context: StageContext, moment: datetime, run: str) -> ItemCatalog:
    """Read the items that may be mailed, and write a report of the bad rows.

    :param run: the recommend run that the report belongs to.
    :raises FatalError: when no item remains, or too many rows are rejected.
    """
    catalog = query_catalog(context, moment)
    key = context.keys.catalog_report(run)
    context.bucket.put_json(key, catalog.report.to_json())
    where = f"The items are named in {context.bucket.uri(key)}."
    if message := catalog.report.stop_message(context.program.checks):
        raise FatalError(f"{message} {where}")
    for text in catalog.report.texts:
        log.warning("%s %s", text, where)
    return catalog


def query_catalog(context: StageContext, moment: datetime) -> ItemCatalog:
    """Query the items that may be mailed; the report of bad rows is only returned."""
    program = context.program
    hook = context.warehouse()
    name, query = read_query(program, "catalogue", Interval.until(moment), hook)
    rules = program.recommendations.rules
    columns = list(
        dict.fromkeys(["item_id", *program.braze.sent_fields, *(rule.column for rule in rules.columns)])
    )
    usable = CATALOG_ID if program.braze.catalog else None
    with hook.read(query, columns, name=name, ids=_IDS) as rows:
        kinds = {column: found.kind for column, found in rows.columns.items()}
        catalog = items.read_catalog(
            rows.batches, kinds, program.braze.sent_fields, rules, usable=usable, moment=moment, name=name
        )
    flags = {rule: _items_of(hook, sql, moment, catalog) for rule, sql in rules.queries.items()}
    return replace(catalog, flags={**catalog.flags, **flags}) if flags else catalog


def _items_of(hook: Warehouse, sql: str, moment: datetime, catalog: ItemCatalog) -> NDArray[np.bool_]:
    """Query the items that a rule is about; those that are not in the catalog do not count."""
    found = np.zeros(len(catalog) + 1, np.bool_)
    query = read_named_query(sql, Interval.until(moment), hook)
    with hook.read(query, ["item_id"], name=sql, ids=_IDS) as rows:
        for batch in rows.batches:
            # The last place takes the unknown ones.
            found[catalog.positions(batch["item_id"])] = True
    log.info("%s names %d items of the catalog", sql, np.count_nonzero(found[:-1]))
    return found[:-1]


def read_purchases(
    context: StageContext, moment: datetime, target: Path, policy: Recommendations, catalog: ItemCatalog
) -> Path | None:
    """Write recent purchases to a local file; None when neither a rule nor the fallback needs them."""
    program = context.program
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
        found = write_purchases(rows.batches, target, catalog, policy.rules.bought_event_types)
    log.info("%d purchases of %d days, for rules and fallback", found, policy.history_days)
    return target


def read_past_lists(
    context: StageContext, moment: datetime, folder: Path, catalog: ItemCatalog
) -> tuple[dict[str, list[Path]], list[str]]:
    """Write the lists that the rules ``not_in`` and ``not_mailed_in_days`` look at to local files, by ``user_id``.

    A list was mailed, as far as recsync knows, when a delivery of its run began to send: one that was published and
    never sent was not in Braze. Which of its people Braze took is not looked at.

    :param folder: an existing folder.
    :returns: files by member of ``Rules``, and messages about missing ones.
    """
    name, rules = context.program.name, context.program.recommendations.rules
    files: dict[str, list[Path]] = {}
    notes: list[str] = []
    for other in rules.not_in:
        store = _store_of(context, other)
        run = store.latest_run()
        files.setdefault("not_in", [])
        if run is None:
            notes.append(f"not_in: {other} has published no lists, so none of its items is left out.")
        else:
            files["not_in"].append(_past_lists(store, run, folder / f"not_in-{other}", catalog, notes))
    if mailed := rules.mailed(name):
        since = moment - timedelta(days=mailed.days)
        files["not_mailed_in_days"] = []
        for other in mailed.programs:
            store = _store_of(context, other)
            published, sent = store.runs_since(since, before=moment), store.sent_runs(since)
            runs = [run for run in published if run in sent]
            if not runs:
                notes.append(
                    f"not_mailed_in_days: {other} has sent none of the {len(published)} runs that it published in the "
                    f"{mailed.days} days before {moment:%Y-%m-%d %H:%M}, so none of its items is left out."
                )
            for run in runs:
                target = folder / f"mailed-{other}-{run}"
                files["not_mailed_in_days"].append(_past_lists(store, run, target, catalog, notes))
    for note in notes:
        log.warning("%s", note)
    return files, notes


def _store_of(context: StageContext, program: str) -> RecommendationsStore:
    other = context if program == context.program.name else StageContext.of(program)
    return other.store(RecommendationsStore)


def _past_lists(
    store: RecommendationsStore, run: str, target: Path, catalog: ItemCatalog, notes: list[str]
) -> Path:
    """Write the lists of one run, and remove the files downloaded for it."""
    lists, people = target.with_suffix(".lists"), target.with_suffix(".audience")
    former = store.download(run, lists)
    audience = store.download_audience(run, people)
    if audience is None:
        notes.append(
            f"Run {run} of {store.keys.program} kept no audience: its people are compared by their id in Braze."
        )
    with opened(target.parent) as connection:
        write_past_lists(connection, lists, former, audience, catalog, target)
    lists.unlink()
    people.unlink(missing_ok=True)
    return target


def sources(bucket: Bucket, prefix: str) -> list[str]:
    """List the objects of a batch output.

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


def people_of_output(
    outputs: Generator[Source], target: Path, suppression: Suppression, identifier: Identifier
) -> int:
    """Write the users of a batch output, without the suppressed, as an audience with the same ids in Braze.

    :returns: the number of people.
    """
    raw = target.with_suffix(".raw")
    with closing(outputs), pq.ParquetWriter(raw, AUDIENCE, compression="zstd") as writer:
        for batch in _users(outputs, suppression, identifier):
            writer.write_batch(batch)
    with opened(target.parent) as connection:
        people = sort_audience(connection, raw, target)
    raw.unlink()
    return people


def _users(
    outputs: Iterator[Source], suppression: Suppression, identifier: Identifier
) -> Iterator[pa.RecordBatch]:
    for _name, stream in outputs:
        for block in cut_blocks(stream):
            users = read_block(block).columns["user_id"]
            if suppression:
                found = suppression.mask(USER, users)
                found |= suppression.mask(PERSON, normalized(users, identifier))
                users = users.filter(pa.array(~found))
            known = {"user_id": users, "external_id": normalized(users, identifier)}
            columns = [known.get(field.name, pa.nulls(len(users), field.type)) for field in AUDIENCE]
            yield pa.RecordBatch.from_arrays(columns, schema=AUDIENCE)
