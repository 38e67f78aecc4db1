"""Explain one person's list from the records of the newest run, of its delivery and of Braze.

A record is a Parquet object of millions of rows, of which one is read: row groups with statistics that exclude the
person are skipped; of the others only the column of ids is read, and the other columns only in the person's row group.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from braze_client.identifiers import Identifier
from recsync.context import StageContext
from recsync.errors import DELIBERATE
from recsync.explain.explanation import Delivered, Explanation, Item, Run, SentList
from recsync.program.names import REMOVAL_PREFIX
from recsync.push.accounts import Outcome
from recsync.push.braze_hook import BrazeHook
from recsync.push.read_back import shown_fingerprint
from recsync.push.store import Deliveries, LastSent, LastSentState
from recsync.recommend.lists.audience import normalized_one
from recsync.recommend.lists.left_out import names_in
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore
from recsync.storage.bucket import Bucket
from recsync.suppression.store import PERSON, USER, read_suppression

_READERS = 6
# Deliveries searched for the person: a replay has only some of the people.
_DELIVERIES = 10
_NAMES = ("name", "title", "product_name")
_BRAZE_TRIES = 1
_BRAZE_SECONDS = 10


def explain(program: str, ids: Sequence[str], *, ask_braze: bool = True) -> list[Explanation]:
    """Explain the lists of some people.

    :param ids: ``user_id`` of the warehouse, or the id by which Braze knows the person.
    :raises RecsyncError: when S3 cannot be read; without an id in the text.
    """
    explainer = _Explainer(StageContext.of(program), ask_braze=ask_braze)
    return [explainer.explain(one) for one in ids]


@dataclass
class _Explainer:
    context: StageContext
    ask_braze: bool

    @cached_property
    def _state(self) -> LastSentState:
        return self.context.store(LastSent).read()[0]

    @cached_property
    def _manifest(self) -> RecommendationsManifest | None:
        store = self.context.store(RecommendationsStore)
        run = store.latest_run()
        return store.manifest(run) if run else None

    @cached_property
    def _catalog(self) -> pa.Table:
        return self.context.store(RecommendationsStore).catalog(self._run)

    @property
    def _run(self) -> str:
        return self._manifest.run if self._manifest else ""

    def explain(self, asked: str) -> Explanation:
        """Explain one person."""
        manifest = self._manifest
        tag = manifest.identifier if manifest else self.context.program.braze.known_by.tag
        identifier = Identifier.parse(tag)
        user_id, person = self._who(asked, identifier)
        suppression = read_suppression(self.context)
        found = Explanation(
            self.context.program.name,
            asked,
            identifier.name,
            user_id,
            person,
            erased=suppression.contains(USER, user_id or asked) or suppression.contains(PERSON, person),
            run=_run(manifest) if manifest else None,
        )
        with ThreadPoolExecutor(_READERS) as threads:
            work: list[Future[dict[str, Any]]] = [
                threads.submit(self._list, person),
                threads.submit(self._sent, person),
                threads.submit(self._delivered, person),
                threads.submit(self._braze, person, identifier),
            ]
            for each in work:
                found = replace(found, **each.result())
        if found.run and manifest:
            found = replace(found, run=replace(found.run, version=_version(manifest, found.arm)))
        return replace(found, as_sent=self._as_sent(person, found))

    def _who(self, asked: str, identifier: Identifier) -> tuple[str, str]:
        """Return user_id and id in Braze. Outside the audience, the given id is taken for the id in Braze."""
        named = normalized_one(asked, identifier)
        with ParquetObject.opened(self.context.bucket, self.context.keys.audience(self._run)) as audience:
            for column, value in (("user_id", asked), ("external_id", named)) if audience else ():
                rows = audience.find(column, value, ["user_id", "external_id"]) if audience else []
                if rows:
                    return rows[0].values["user_id"], rows[0].values["external_id"]
        return "", named

    def _list(self, person: str) -> dict[str, Any]:
        if self._manifest is None:
            return {}
        store, bucket = self.context.store(RecommendationsStore), self.context.bucket
        columns = ["items", "scores", "tier", "reason", "segment", "unanswered", "arm", "put_by"]
        rows, number = list[Found](), -1
        keys = store.lists_keys(self._run)
        while not rows and number + 1 < len(keys):
            number += 1
            with ParquetObject.opened(bucket, keys[number]) as lists:
                rows = lists.find("external_id", person, columns) if lists else []
        if not rows:
            return {}
        row = rows[0].values
        scores, count = row.get("scores"), len(row["items"])
        items = zip(row["items"], scores or [None] * count, row.get("put_by") or [""] * count, strict=True)
        return {
            "in_audience": True,
            "items": tuple(
                replace(self._item(position), score=score, put_by=put_by) for position, score, put_by in items
            ),
            "with_scores": scores is not None,
            **{name: row.get(name) or "" for name in ("tier", "reason", "segment", "unanswered", "arm")},
            **self._left_out(person, number, rows[0]),
        }

    def _left_out(self, person: str, number: int, near: Found) -> dict[str, Any]:
        """Return what the rules left out.

        :param number: of the file of lists that the person is in; ``near``: the person's row in it.
        """
        key = self.context.store(RecommendationsStore).left_out_keys(self._run)[number]
        with ParquetObject.opened(self.context.bucket, key) as recorded:
            columns = ["items", "rules", "all_rules", "seeds"]
            rows = recorded.find("external_id", person, columns, near) if recorded else []
            names = names_in(recorded.metadata) if recorded else []
        if not rows:
            return {}
        row, left_out = rows[0].values, dict[str, list[Item]]()
        for position, rule in zip(row["items"], row["rules"], strict=True):
            left_out.setdefault(names[rule], []).append(self._item(position))
        return {
            "left_out": {rule: tuple(items) for rule, items in left_out.items()},
            "all_rules": tuple(name for number, name in enumerate(names) if row["all_rules"] >> number & 1),
            "bought": tuple(self._item(position) for position in row["seeds"]),
        }

    def _item(self, position: int) -> Item:
        """Return an item of the run's catalog; position -1 is an unknown item, for which no id was kept."""
        if position < 0:
            return Item("")
        return item_of(*(self._catalog[name][position].as_py() for name in ("item_id", "fields")))

    def _sent(self, person: str) -> dict[str, Any]:
        rows = self._state_rows(person)
        row = next((row for row in rows if row["attribute"] == self.context.program.braze.attribute), None)
        if row is None:
            return {}
        confirmed = max((each["confirmed_at"] or 0 for each in rows), default=0)
        at = datetime.fromtimestamp(confirmed, UTC).isoformat() if confirmed else ""
        delivery = row["delivery"]
        return {"sent": SentList(delivery, _time_of(delivery), at, is_clear=row["fingerprint"] is not None)}

    def _state_rows(self, person: str) -> list[dict[str, Any]]:
        columns = ["attribute", "fingerprint", "delivery", "confirmed_at"]
        with ParquetObject.opened(self.context.bucket, self._state.table or "none") as table:
            rows = table.find("external_id", person, columns) if table else []
        return [{"confirmed_at": None, **row.values} for row in rows]

    def _delivered(self, person: str) -> dict[str, Any]:
        """Find the person in the accounts of the newest deliveries."""
        deliveries = self.context.store(Deliveries)
        for name in deliveries.names()[: -_DELIVERIES - 1 : -1]:
            with ParquetObject.opened(self.context.bucket, deliveries.accounts_key(name)) as accounts:
                rows = accounts.find("external_id", person, ["outcome", "reason"]) if accounts else []
            if rows:
                row, run = rows[0].values, name.partition("-")[2]
                is_removal = run.startswith(REMOVAL_PREFIX)
                if is_removal and row["outcome"] != Outcome.REMOVED:
                    continue
                if run != self._run and not is_removal:
                    # The newest delivery with the person is of an earlier run, so this list was not pushed.
                    return {}
                return {"delivered": Delivered(name, _time_of(name), row["outcome"], row["reason"] or "")}
        return {}

    def _braze(self, person: str, identifier: Identifier) -> dict[str, Any]:
        if not self.ask_braze:
            return {"braze_problem": "Braze was not asked."}

        async def look() -> list[dict[str, Any]]:
            async with BrazeHook(self.context.program.braze.connection).client(
                max_tries=_BRAZE_TRIES
            ) as client:
                fields = [identifier.profile_field, "custom_attributes"]
                return await asyncio.wait_for(
                    client.export_users([person], fields, identifier), _BRAZE_SECONDS
                )

        try:
            profiles = asyncio.run(look())
        except DELIBERATE as error:
            return {"braze_problem": str(error)}
        except TimeoutError:
            return {"braze_problem": f"Braze gave no answer in {_BRAZE_SECONDS} seconds."}
        if not profiles:
            return {"braze_problem": "Braze has no profile of this person."}
        names = self.context.program.braze.attribute_names
        shown = profiles[0].get("custom_attributes") or {}
        return {"braze": {name: shown[name] for name in names if name in shown}}

    def _as_sent(self, person: str, found: Explanation) -> bool | None:
        if found.braze is None:
            return None
        told = {row["attribute"]: row["fingerprint"] for row in self._state_rows(person)}
        names = set(self.context.program.braze.attribute_names)
        if any(fingerprint is None for fingerprint in told.values()):
            return None
        shown = {name: shown_fingerprint(value) for name, value in found.braze.items()}
        return shown == {name: fingerprint for name, fingerprint in told.items() if name in names}


def _run(manifest: RecommendationsManifest) -> Run:
    return Run(
        manifest.run,
        manifest.created_at,
        _version(manifest),
        manifest.filter,
        manifest.users,
        manifest.lists,
        manifest.experiment,
    )


def _version(manifest: RecommendationsManifest, arm: str = "") -> str:
    """Return the version of an arm's lists; empty where they are of no model."""
    arn = manifest.versions.get(arm, "") if arm and manifest.versions else manifest.solution_version_arn
    return arn.rpartition(":")[2].removeprefix("solution/")


def _time_of(delivery: str) -> str:
    """Return when a delivery was planned: its name begins with the time."""
    with suppress(ValueError):
        return (
            datetime.strptime(delivery.partition("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC).isoformat()
        )
    return ""


def item_of(item_id: str, fields: str) -> Item:
    """Return an item with its name: the usual fields, else the first text."""
    values: Mapping[str, Any] = json.loads(fields)
    texts = [value for value in (*map(values.get, _NAMES), *values.values()) if isinstance(value, str)]
    return Item(item_id, texts[0] if texts else "")


@dataclass(frozen=True)
class Found:
    """A row.

    :param group: its row group.
    """

    group: int
    values: dict[str, Any]


@dataclass(frozen=True)
class ParquetObject:
    """A Parquet object that is read in parts."""

    file: pq.ParquetFile

    @classmethod
    @contextmanager
    def opened(cls, bucket: Bucket, key: str) -> Generator[ParquetObject | None]:
        """Open an object for the block; yield None when it is missing."""
        stream = bucket.open(key)
        if stream is None:
            yield None
            return
        with stream, pq.ParquetFile(stream, pre_buffer=True) as file:
            yield cls(file)

    @property
    def metadata(self) -> dict[bytes, bytes]:
        """The key-value metadata."""
        return dict(self.file.metadata.metadata or {})

    def find(self, column: str, value: str, columns: Sequence[str], near: Found | None = None) -> list[Found]:
        """Return the rows with a value.

        :param columns: the columns to return; missing ones are ignored.
        :param near: the person's row in an object with the same order of rows: its row group is read first.
        """
        if (
            near
            and near.group < self.file.num_row_groups
            and (rows := self._rows(near.group, column, value, columns))
        ):
            return rows
        groups = (group for group in range(self.file.num_row_groups) if self._may_hold(group, column, value))
        return [row for group in groups for row in self._rows(group, column, value, columns)]

    def _may_hold(self, group: int, column: str, value: str) -> bool:
        index = self.file.schema_arrow.names.index(column)
        statistics = self.file.metadata.row_group(group).column(index).statistics
        if statistics is None or not statistics.has_min_max:
            return True
        return bool(statistics.min <= value <= statistics.max)

    def _rows(self, group: int, column: str, value: str, columns: Sequence[str]) -> list[Found]:
        ids = self.file.read_row_group(group, [column])[column]
        places = pc.indices_nonzero(pc.equal(ids, value)).to_pylist()
        if not places:
            return []
        known = [name for name in columns if name in self.file.schema_arrow.names]
        rows = self.file.read_row_group(group, known).take(pa.array(places)).to_pylist()
        return [Found(group, row) for row in rows]
