"""Simulated deliveries, as local files and on S3, and a plain loop that finds the mail before an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsync.storage.bucket import Bucket
from recsync.storage.hashes import POSITIONS_IN, column_digest
from recsync.storage.keys import Keys


@dataclass(frozen=True)
class Mail:
    """One delivered run of a program.

    :param moments: Unix seconds at which its deliveries ended.
    :param lists: by user.
    :param outcomes: by user, one for each delivery.
    :param arms: by user; None: the program has no experiment.
    """

    run: str
    moments: tuple[int, ...]
    lists: Mapping[str, Sequence[str]]
    outcomes: Mapping[str, Sequence[str]]
    arms: Mapping[str, str] | None = None

    def delivered(self, user: str) -> list[int]:
        """Return when the user was sent the list, or had it already."""
        told = zip(self.moments, self.outcomes.get(user, ()), strict=False)
        return [moment for moment, outcome in told if outcome in ("sent", "unchanged")]


def last_list(
    mails: Sequence[Mail], user: str, time: int, window: int
) -> tuple[int, Sequence[str], str | None] | None:
    """Return moment, list and arm of the last mail of a program before an event."""
    found = [
        (moment, mail.lists[user], (mail.arms or {}).get(user))
        for mail in mails
        for moment in mail.delivered(user)
        if mail.lists.get(user) and time - window <= moment < time
    ]
    return max(found, key=lambda each: each[0], default=None)


def in_braze(user: str) -> str:
    return f"b-{user}"


def tables(mail: Mail) -> tuple[pa.Table, pa.Table, pa.Table, list[pa.Table]]:
    """Return lists, catalog, audience and the accounts of each delivery of a run."""
    item_ids = sorted({item for items in mail.lists.values() for item in items})
    users = sorted(mail.lists)
    positions = [[item_ids.index(item) for item in mail.lists[user]] for user in users]
    columns: dict[str, Any] = {
        "external_id": pa.array([in_braze(user) for user in users]),
        "items": pa.array(positions, pa.list_(pa.int32())),
    }
    if mail.arms is not None:
        columns["arm"] = pa.array([mail.arms.get(user) for user in users], pa.string())
    catalog = pa.table({"item_id": pa.array(item_ids, pa.string())})
    digest = column_digest(catalog["item_id"].combine_chunks())
    lists = pa.table(columns).replace_schema_metadata({POSITIONS_IN: digest})
    audience = pa.table({"user_id": users, "external_id": [in_braze(user) for user in users]})
    accounts = [
        pa.table(
            {
                "external_id": [in_braze(user) for user in users],
                "outcome": [mail.outcomes[user][number] for user in users],
            }
        )
        for number in range(len(mail.moments))
    ]
    return lists, catalog, audience, accounts


def publish(bucket: Bucket, program: str, mail: Mail, work: Path, *, audience: bool = True) -> list[str]:
    """Write a run and its deliveries as `recommend` and `push` do; return the names of the deliveries."""
    keys = Keys(program)
    lists, catalog, people, accounts = tables(mail)
    path = work / "published.parquet"
    pq.write_table(lists, path)
    bucket.upload(keys.run_part(mail.run, "lists"), path)
    bucket.put_table(keys.run_part(mail.run, "catalogue"), catalog)
    if audience:
        bucket.put_table(keys.audience(mail.run), people)
    names = []
    for moment, told in zip(mail.moments, accounts, strict=True):
        ended = datetime.fromtimestamp(moment, UTC)
        name = f"{ended:%Y%m%dT%H%M%S}-{mail.run}"
        bucket.put_table(keys.accounts(name), told)
        # Of a plan, only this is read.
        plan = {"recommendations": mail.run, "figures": {"writes": len(mail.lists), "settled": {}}}
        bucket.put_json(f"{keys.delivery(name)}plan.json", plan)
        bucket.put_json(
            keys.ledger_entry(name, 0), {"kind": "take_over", "at": ended.isoformat(), "by": "try"}
        )
        bucket.put_json(keys.ledger_entry(name, 1), {"kind": "closed", "at": ended.isoformat(), "by": name})
        names.append(name)
    return names
