"""Find the deliveries that an interval's events may follow, and index the lists that they delivered.

It reads published objects only: plans, ledgers and accounts of deliveries; lists, catalogs and audiences of recommend
runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsync import settings
from recsync.attribution.mailed import MailedLists, MailedListsWriter, RunFiles, TimedAccounts
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.program.attribution import LATE_EVENTS_DAYS, MAX_SOURCES
from recsync.program.intervals import EPOCH, Interval
from recsync.program.names import delivers_lists
from recsync.storage.bucket import Bucket
from recsync.storage.hashes import POSITIONS_IN, Hashes, column_digest
from recsync.storage.keys import Keys
from recsync.storage.list_files import LISTS, file_of, join_files, published_keys

log = logging.getLogger(__name__)

_READERS = 8
# A delivery is named after its planning, and may send for days under a cap.
_LONGEST_DELIVERY = timedelta(days=7)
_CLOSED = "closed"
# How the name of a delivery begins.
_TIME_FORMAT, _TIME_CHARACTERS = "%Y%m%dT%H%M%S", 15


@dataclass(frozen=True)
class MailedDelivery:
    """A complete delivery.

    :param run: the recommend run that it delivered.
    :param moment: Unix seconds of its end; its people have the list from then on.
    """

    name: str
    run: str
    moment: int


@dataclass(frozen=True)
class DeliveredLists:
    """The delivered lists of all programs over the same data.

    :param programs: the index of each program with deliveries, by program.
    :param since: Unix seconds of the oldest delivery on S3; None without one.
    :param missing: number of deliveries without their lists: removed since, or replaced by a cleared run.
    """

    programs: dict[str, MailedLists]
    since: int | None
    missing: int


def delivered_lists(
    context: StageContext, interval: Interval, folder: Path, users: Hashes | None = None
) -> DeliveredLists:
    """Index the lists that the events of an interval may follow, of every program over the data.

    :param context: of the owner of the data.
    :param folder: an existing folder for the index and for temporary files.
    :param users: sorted hashes of the users to index; None: all.
    """
    attribution = context.program.attribution
    days = attribution.window_days
    if context.program.exports.select_by == "ingestion_time":
        days += LATE_EVENTS_DAYS
    since = interval.start if interval.start == EPOCH else interval.start - timedelta(days=days)
    programs: dict[str, MailedLists] = {}
    firsts: list[int] = []
    missing = 0
    for name in settings.names_over_data(context.program):
        found = deliveries_between(context.bucket, Keys(name), since, interval.end)
        firsts += _first_kept(context.bucket, Keys(name))
        work = folder / name
        work.mkdir()
        writer = MailedListsWriter(work, name, attribution.source, users)
        mailed, gone = _index(context.bucket, Keys(name), found, writer, work)
        missing += gone
        if mailed is not None:
            programs[name] = mailed
    sources = {source for mailed in programs.values() for source in mailed.sources}
    if attribution.source and len(sources) > MAX_SOURCES:
        raise FatalError(
            f"The mails have {len(sources)} sources, and Amazon Personalize takes at most {MAX_SOURCES}. Let "
            "personalize.attribution.source be program, or use fewer arms."
        )
    return DeliveredLists(programs, min(firsts, default=None), missing)


def deliveries_between(bucket: Bucket, keys: Keys, since: datetime, until: datetime) -> list[MailedDelivery]:
    """Return the complete deliveries that ended in a period, oldest first."""
    first, last = (f"{moment:{_TIME_FORMAT}}" for moment in (_before(since), until))
    names = [
        name
        for name in bucket.folders(keys.all_deliveries)
        if first <= name and name.partition("-")[0] < last
    ]
    with ThreadPoolExecutor(_READERS) as pool:
        read = list(pool.map(lambda name: _delivery(bucket, keys, name), names))
    begin, end = since.timestamp(), until.timestamp()
    found = [each for each in read if each and begin <= each.moment < end]
    return sorted(found, key=lambda each: (each.moment, each.name))


def _first_kept(bucket: Bucket, keys: Keys) -> list[int]:
    """Return Unix seconds of a program's oldest delivery on S3, read from its name; empty without one."""
    names = bucket.folders(keys.all_deliveries)[:1]
    times = [datetime.strptime(name[:_TIME_CHARACTERS], _TIME_FORMAT).replace(tzinfo=UTC) for name in names]
    return [int(moment.timestamp()) for moment in times]


def _before(since: datetime) -> datetime:
    return since if since == EPOCH else since - _LONGEST_DELIVERY


def _delivery(bucket: Bucket, keys: Keys, name: str) -> MailedDelivery | None:
    """Read a delivery; None unless it is complete and gave lists to people: a removal gives none."""
    entries = bucket.keys(f"{keys.delivery(name)}ledger/")
    last: dict[str, Any] | None = bucket.get_json(entries[-1]) if entries else None
    if not last or last.get("kind") != _CLOSED or last.get("by") != name:
        return None
    plan = bucket.get_json(f"{keys.delivery(name)}plan.json")
    if plan is None or not delivers_lists(plan["recommendations"]):
        return None
    moment = datetime.fromisoformat(last["at"]).astimezone(UTC)
    return MailedDelivery(name, plan["recommendations"], int(moment.timestamp()))


def _index(
    bucket: Bucket, keys: Keys, deliveries: Sequence[MailedDelivery], writer: MailedListsWriter, work: Path
) -> tuple[MailedLists | None, int]:
    """Index the lists of one program's deliveries; also return how many deliveries have no lists any more."""
    gone = 0
    for run, of_run in _by_run(deliveries):
        files = _download(bucket, keys, run, of_run, work)
        if files is None:
            gone += len(of_run)
        else:
            writer.add(files)
            files.delete()
    return writer.finish(), gone


def _by_run(deliveries: Sequence[MailedDelivery]) -> Iterator[tuple[str, list[MailedDelivery]]]:
    for run in dict.fromkeys(delivery.run for delivery in deliveries):
        yield run, [delivery for delivery in deliveries if delivery.run == run]


def _download(
    bucket: Bucket, keys: Keys, run: str, deliveries: Iterable[MailedDelivery], work: Path
) -> RunFiles | None:
    """Download a run's lists, audience and accounts; None when the lists were removed."""
    wanted = published_keys(keys, run, LISTS, bucket.get_json(keys.recommendations_manifest(run)))
    catalog = bucket.get_table(keys.run_part(run, "catalogue"))
    if catalog is None or any(bucket.etag(key) is None for key in wanted):
        return None
    lists, people = work / "lists.parquet", work / "audience.parquet"
    files = [file_of(lists, number, len(wanted)) for number in range(len(wanted))]
    for key, path in zip(wanted, files, strict=True):
        bucket.download(key, path)
    if not all(_fits(path, catalog) for path in files):
        return None
    join_files(files, lists)
    has_audience = bucket.etag(keys.audience(run)) is not None
    if has_audience:
        bucket.download(keys.audience(run), people)
    accounts = []
    for number, delivery in enumerate(deliveries):
        if bucket.etag(keys.accounts(delivery.name)) is not None:
            target = work / f"accounts-{number}.parquet"
            bucket.download(keys.accounts(delivery.name), target)
            accounts.append(TimedAccounts(target, delivery.moment))
    item_ids: pa.Array = catalog["item_id"].combine_chunks()
    return RunFiles(lists, people if has_audience else None, item_ids, tuple(accounts))


def _fits(lists: Path, catalog: pa.Table) -> bool:
    """Return whether lists and catalog belong together: a cleared run replaces them one after the other."""
    metadata = pq.read_schema(lists).metadata or {}
    return metadata.get(POSITIONS_IN.encode()) == column_digest(catalog["item_id"].combine_chunks()).encode()
