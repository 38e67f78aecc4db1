"""A delivery done the slow and obvious way: one person at a time, values instead of fingerprints."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from braze_client.payloads import MAX_VALUE_BYTES, dumps
from recsync.program import Braze
from recsync.push import diff as comparison
from recsync.push import writes as batches
from recsync.push.diff import PlanInputs
from recsync.push.plan_files import plan_files
from recsync.push.plan_format import PARTS, STATE, PlanFigures
from recsync.push.rendering import item_object, text_fingerprint, value_fingerprint
from recsync.recommend.lists.list_partition import LISTS

RUN = {
    "created_at": "2026-02-01T00:30:00.250000+01:00",
    "solution_version_arn": "arn:aws:personalize:eu:1:solution/shop/4f1e",
}
# The arm of held-out people, and an arm with a model of its own.
OUT, OWN = "out", "own"
OWN_VERSION = "arn:aws:personalize:eu:1:solution/other/77"
UNKNOWN = object()
"""Something may have been written, nobody knows what."""

Shown = Mapping[str, Mapping[str, Any]]
"""What Braze was told: attribute -> value by external id; a value may be UNKNOWN."""


@dataclass(frozen=True)
class Person:
    items: tuple[str, ...] = ()
    tier: str | None = "personal"
    priority: float | None = None
    unanswered: str = ""
    segment: str | None = None
    scores: tuple[float | None, ...] | None = None
    arm: str | None = None

    @property
    def reason(self) -> str:
        if self.arm == OUT:
            return "held out by experiment autumn"
        return "" if self.items else "nothing fit to mail"


@dataclass(frozen=True)
class Case:
    """What one plan is made from; the chunk is how many rows the plan looks at in one go.

    :param since: ``kept_since`` of the last-sent state, by external id; ``confirmed``: its ``confirmed_at``.
    """

    braze: Braze
    people: Mapping[str, Person]
    items: Mapping[str, Mapping[str, Any]]
    shown: Shown = field(default_factory=dict)
    cap: int | None = None
    canary_share: float = 0.0
    chunk_rows: int = 50_000
    since: Mapping[str, int] = field(default_factory=dict)
    moment: int = 1_000
    keep_seconds: int = 100
    has_scores: bool = True
    refresh_seconds: int | None = None
    confirmed: Mapping[str, int] = field(default_factory=dict)
    manifest: Mapping[str, str] = field(default_factory=lambda: dict(RUN))
    has_versions: bool = False

    def is_kept(self, external_id: str) -> bool:
        """Say whether somebody without an answer keeps the list that Braze has."""
        person, shown = self.people.get(external_id, Person()), self.shown.get(external_id, {})
        if not person.unanswered or self.braze.attribute not in shown:
            return False
        age = self.moment - self.since.get(external_id, self.moment)
        return age < self.keep_seconds and (shown[self.braze.attribute] is not UNKNOWN or not person.items)

    def kept_since(self, external_id: str) -> int | None:
        """Say what the next last-sent state notes."""
        if self.is_kept(external_id):
            return self.since.get(external_id, self.moment)
        return 0 if self.people.get(external_id, Person()).unanswered else None

    def value(self, source: str, person: Person) -> Any:
        """Say what an attribute holds for somebody with a list; None: no value."""
        match source:
            case "items":
                if self.braze.payload == "ids":
                    return list(person.items)
                return [item_object(i, dict(self.items[i]), self.braze.item_fields) for i in person.items]
            case "scores":
                return numbers(person.scores) if self.has_scores else None
            case "tier":
                return person.tier or ""
            case "arm":
                return person.arm or None
            case "generated_at":
                return "2026-01-31T23:30:00Z" if self.manifest["created_at"] else None
            case "version":
                arn = self.manifest["solution_version_arn"]
                if self.has_versions and person.arm:
                    arn = OWN_VERSION if person.arm == OWN else ""
                return arn.removeprefix("arn:aws:personalize:eu:1:solution/") or None
        raise ValueError(source)

    def wanted(self, external_id: str) -> dict[str, Any]:
        person = self.people.get(external_id)
        if person is None or not person.items:
            return {}
        values = {a.name: self.value(a.source.name, person) for a in self.braze.written}
        return {name: value for name, value in values.items() if value is not None}

    def waits(self, name: str) -> bool:
        """Say whether an attribute is written only along with others."""
        source = next((a.source.name for a in self.braze.written if a.name == name), "items")
        if source in {"generated_at", "version"}:
            return True
        lists = [person for person in self.people.values() if person.items]
        return bool(lists) and all(self.value(source, person) is None for person in lists)

    def changes(self, external_id: str) -> dict[str, Any]:
        """Say what has to be written; None removes."""
        wanted, shown = self.wanted(external_id), self.shown.get(external_id, {})
        if self.is_kept(external_id):
            return {}
        changes = {
            name: wanted.get(name)
            for name in sorted({*wanted, *shown})
            if name not in wanted
            or name not in shown
            or shown[name] is UNKNOWN
            or dumps(wanted[name]) != dumps(shown[name])
        }
        if not wanted or not all(self.waits(name) for name in changes):
            return changes
        return {name: value for name, value in changes.items() if self.is_due(external_id, name)}

    def is_due(self, external_id: str, name: str) -> bool:
        """Say whether the date of an unchanged list is so old that it is written alone."""
        dates = {each.name for each in self.braze.written if each.source.name == "generated_at"}
        if name not in dates or self.refresh_seconds is None or not self.manifest["created_at"]:
            return False
        there = name in self.shown.get(external_id, {}) and external_id in self.confirmed
        return not there or self.moment - self.confirmed[external_id] >= self.refresh_seconds

    def after(self, external_id: str) -> dict[str, Any]:
        """Say what somebody has once everything was taken."""
        there = {**self.shown.get(external_id, {}), **self.changes(external_id)}
        return {name: value for name, value in there.items() if value is not None}

    def payload(self, external_id: str) -> dict[str, Any]:
        payload = {"external_id": external_id, **self.changes(external_id)}
        if self.braze.update_existing_only or not self.has_list(external_id):
            payload["_update_existing_only"] = True
        return payload

    def points(self, external_id: str) -> int:
        return sum(data_points(value) for value in self.changes(external_id).values())

    def has_list(self, external_id: str) -> bool:
        return bool(self.wanted(external_id))

    def todo(self) -> set[str]:
        return {who for who in {*self.people, *self.shown} if self.changes(who)}

    def is_too_large(self, external_id: str) -> bool:
        return self.has_list(external_id) and len(compact(self.payload(external_id))) > MAX_VALUE_BYTES

    def rank(self, external_id: str) -> tuple[bool, bool, float]:
        """The lower, the earlier under a cap: removals, then lists before mere dates, then high priorities."""
        only_date = all(map(self.waits, self.changes(external_id)))
        person = self.people.get(external_id, Person())
        priority = -math.inf if person.priority is None or math.isnan(person.priority) else person.priority
        return self.has_list(external_id), self.has_list(external_id) and only_date, -priority

    def run(self, folder: Path) -> Planned:
        """Let recsync plan it."""
        folder.mkdir(parents=True)
        names = list(self.people)
        people = list(self.people.values())
        columns = {
            "external_id": names,
            "items": [[list(self.items).index(item) for item in p.items] for p in people],
            "tier": [p.tier if p.items else "" for p in people],
            "reason": [p.reason for p in people],
            "priority": [p.priority for p in people],
            "segment": [p.segment for p in people],
            "unanswered": [p.unanswered for p in people],
            "scores": [p.scores if self.has_scores else None for p in people],
            "arm": [p.arm for p in people],
            "put_by": [None] * len(people),
        }
        pq.write_table(pa.Table.from_pydict(columns, LISTS), folder / "lists.parquet", row_group_size=4)
        fields = [json.dumps(dict(item), ensure_ascii=False) for item in self.items.values()]
        catalogue = pa.table(
            {"item_id": pa.array(list(self.items), pa.string()), "fields": pa.array(fields, pa.string())}
        )
        state = folder / "state.parquet" if self.shown else None
        if state is not None:
            pq.write_table(state_table(self.shown, since=self.since, confirmed=self.confirmed), state)
        return self.plan(folder, folder / "lists.parquet", catalogue, state)

    def plan(self, folder: Path, lists: Path, catalogue: pa.Table, state: Path | None) -> Planned:
        inputs = PlanInputs(
            self.braze, lists, catalogue, state, self.cap, self.canary_share, self.moment, self.keep_seconds,
            refresh_seconds=self.refresh_seconds,
            run={**self.manifest, "versions": {OWN: OWN_VERSION} if self.has_versions else {}},
            held_out=(OUT,),
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(comparison, "CHUNK_ROWS", self.chunk_rows)
            patch.setattr(batches, "_CHUNK_ROWS", self.chunk_rows)
            figures = plan_files(inputs, folder / "plan", folder)
        return Planned(folder, figures, inputs)


@dataclass(frozen=True)
class Planned:
    """The files of a plan."""

    folder: Path
    figures: PlanFigures
    inputs: PlanInputs

    @property
    def path(self) -> Path:
        return self.folder / "plan"

    def part(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.path / "writes" / f"{name}.parquet").to_pylist()
        return rows

    @property
    def writes(self) -> list[dict[str, Any]]:
        return [row for part in PARTS for row in self.part(part)]

    @property
    def settled(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.path / "settled.parquet").to_pylist()
        return rows


def data_points(value: Any) -> int:
    """Braze bills a point for each key of each object, and one for anything else."""
    objects = [element for element in value or () if isinstance(element, dict)]
    return sum(len(element) for element in objects) if objects else 1


def numbers(scores: tuple[float | None, ...] | None) -> list[float] | None:
    """Make the array of scores: seven decimals, equal ones told apart, a negative position where there is none."""
    known = [score for score in scores or () if score is not None and math.isfinite(score)]
    if not known:
        return None
    found: list[float] = []
    places = list(enumerate(scores or (), start=1))
    for place, score in places:
        if score is None or not math.isfinite(score):
            found.append(-place)
            continue
        exact = rounded(score)
        equal = sum(1 for p, s in places if p > place and s is not None and rounded(s) == exact)
        value = float(exact + Decimal(equal).scaleb(-9))
        found.append(int(value) if value.is_integer() else value)
    assert len(set(found)) == len(found), "Braze would remove one of them"
    return found


def rounded(score: float) -> Decimal | None:
    if not math.isfinite(score):
        return None
    return Decimal(float(np.float32(score))).quantize(Decimal("1e-7"))


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def digest(value: Any) -> int | None:
    if value is None or value is UNKNOWN:
        return None
    return text_fingerprint(value) if isinstance(value, str) else value_fingerprint(value)


def state_table(
    shown: Shown,
    delivery: str = "d-0",
    since: Mapping[str, int] | None = None,
    confirmed: Mapping[str, int] | None = None,
) -> pa.Table:
    rows = [
        {
            "external_id": who,
            "attribute": name,
            "fingerprint": digest(value),
            "delivery": delivery,
            "kept_since": (since or {}).get(who),
            "confirmed_at": (confirmed or {}).get(who),
        }
        for who, attributes in shown.items()
        for name, value in attributes.items()
    ]
    return pa.Table.from_pylist(rows, STATE)


def state_rows(path: Path) -> dict[tuple[str, str], int | None]:
    rows = pq.read_table(path).to_pylist()
    found = {(row["external_id"], row["attribute"]): row["fingerprint"] for row in rows}
    assert len(found) == len(rows), "an attribute of somebody is there twice"
    return found


ODD = [
    '"',
    "\\",
    '\\"',
    "\x00",
    "\x1f\n\t",
    "\u2028",
    "é",
    "e\u0301",
    "🎁",
    "'; --",
    "null",
    "0",
    " ",
    "\x7f",
    "]},",
]
IDS = st.one_of(
    st.sampled_from([f"u-{n}" for n in range(8)]), st.sampled_from(ODD), st.text(min_size=1, max_size=6)
)
TEXTS = st.one_of(st.text(max_size=8), st.sampled_from([*ODD, "t" * 300]))
FIELD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
    TEXTS,
)
PRIORITIES = st.one_of(st.none(), st.sampled_from([-1.5, 0.0, 2.0, 1e300, math.nan]))


SOURCE_NAMES = st.sampled_from(["scores", "arm", "generated_at", "version"])
# Few different ones, so that many are equal.
SCORES = st.one_of(
    st.none(), st.sampled_from([0.0, 0.5, 0.0117211, 1.0, math.nan]), st.floats(0, 1, width=32)
)


@st.composite
def brazes(draw: st.DrawFn) -> Braze:
    objects = draw(st.booleans())
    return Braze(
        attribute="recs",
        tier_attribute=draw(st.sampled_from([None, "recs_tier"])),
        payload="objects" if objects else "ids",
        item_fields=("name", "price") if objects else (),
        update_existing_only=draw(st.booleans()),
        attributes=[{"name": f"recs_{source}", "from": source} for source in draw(st.sets(SOURCE_NAMES))],
    )


def listed(entries: list[tuple[str, float | None]], *, scored: bool, arm: str | None, **rest: Any) -> Person:
    if arm == OUT:
        return Person(arm=arm, priority=rest["priority"])
    scores = tuple(score for _, score in entries) if scored else None
    return Person(tuple(item for item, _ in entries), scores=scores, arm=arm, **rest)


@st.composite
def cases(draw: st.DrawFn, *, capped: bool = True) -> Case:
    """Make inputs of which many parts agree with each other, so that all kinds of changes happen."""
    braze = draw(brazes())
    item = st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "price", "unsent"), FIELD_VALUES))
    items = draw(st.dictionaries(IDS, item, max_size=6))
    entries = st.tuples(st.sampled_from(list(items)), SCORES) if items else st.nothing()
    person = st.builds(
        listed,
        entries=st.lists(entries, max_size=5) if items else st.just([]),
        scored=st.booleans(),
        tier=st.sampled_from(["personal", "popular", 'sim"ilar', None]),
        priority=PRIORITIES,
        unanswered=st.sampled_from(["", "", "no line"]),
        arm=st.sampled_from([None, "", OWN, "popular", OUT]),
    )
    people = draw(st.dictionaries(IDS, person, max_size=14))
    run = {**RUN, "solution_version_arn": draw(st.sampled_from(["", RUN["solution_version_arn"]]))}
    case = Case(braze, people, items, has_scores=draw(st.booleans()), manifest=run)
    case = replace(case, has_versions=draw(st.booleans()))
    # Of somebody: exactly what is wanted, another list, another attribute, nobody knows, or nothing.
    values = st.one_of(st.just(UNKNOWN), st.lists(st.text(max_size=3), max_size=3))
    attributes = st.dictionaries(
        st.sampled_from(
            ["recs", "recs_tier", "old_recs", "recs_scores", "recs_version", "recs_generated_at", "recs_arm"]
        ),
        st.one_of(values, st.text(max_size=3)),
    )
    shown: dict[str, dict[str, Any]] = draw(st.dictionaries(IDS, attributes, max_size=4))
    for who in people:
        wanted = case.wanted(who)
        match draw(st.sampled_from(["as wanted", "partly", "more", "random", "nothing"])):
            case "as wanted":
                shown[who] = wanted
            case "partly":
                shown[who] = dict(list(wanted.items())[:1])
            case "more":
                shown[who] = {"old_recs": ["1"], **wanted}
            case "random":
                shown[who] = draw(attributes)
            case _:
                shown.pop(who, None)
    return replace(
        case,
        shown={who: attributes for who, attributes in shown.items() if attributes},
        cap=draw(st.one_of(st.none(), st.integers(0, 10))) if capped else None,
        canary_share=draw(st.sampled_from([0.0, 0.01, 0.3, 1.0])),
        chunk_rows=draw(st.sampled_from([1, 3, 50_000])),
        refresh_seconds=draw(st.sampled_from([None, 50, 100])),
        confirmed={
            who: at for who in people if (at := draw(st.sampled_from([None, 0, 900, 901, 950]))) is not None
        },
        since={
            who: age for who in people if (age := draw(st.sampled_from([None, 0, 900, 901, 950]))) is not None
        },
    )
