"""Plan a delivery from the dead letters of an earlier one.

The letters are JSON lines and may be edited: ``object`` is sent and fingerprinted as it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from braze_client.identifiers import EXTERNAL_ID, Identifier, named_in
from braze_client.payloads import MAX_VALUE_BYTES, Json, dumps
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.push.accounts import Outcome
from recsync.push.catalog import known_items
from recsync.push.plan import delivery_name, publish_plan
from recsync.push.plan_format import PARTS, SETTLED, WRITES, PlanFigures
from recsync.push.rendering import NO_ATTRIBUTES, attribute_fingerprint
from recsync.push.store import Deliveries, LastSent, PlanManifest
from recsync.recommend.store import RecommendationsStore
from recsync.storage import duck
from recsync.storage.duck import work_folder
from recsync.suppression.store import PERSON, read_suppression

_SHOWN_PROBLEMS = 10
_NOBODY: Mapping[str, str] = {}


def replay(program_name: str, delivery: str, *, dag_run: str, dry_run: bool = False) -> PlanManifest:
    """Plan to send a delivery's dead letters again, as they are on S3 now.

    Users written by a newer delivery are skipped, and so are lists with items that left the catalog, and lists of users
    whom an experiment holds out by now.

    :raises FatalError: when it has none, when a line is broken, or while another delivery is open.
    """
    context = StageContext.of(program_name)
    deliveries, last_sent = context.store(Deliveries), context.store(LastSent)
    body = deliveries.dead_letters(delivery)
    if body is None:
        raise FatalError(f"Delivery {delivery} has no dead letters.")
    suppression = read_suppression(context)
    state, etag = last_sent.read()
    identifier = Identifier.parse(state.identifier)
    letters = [
        letter
        for letter in parse_letters(body, name=deliveries.dead_letters_uri(delivery), identifier=identifier)
        if not suppression.contains(PERSON, letter.external_id)
    ]
    if state.open_delivery and not dry_run:
        former = deliveries.plan(state.open_delivery)
        if former.dag_run == dag_run:
            return former
        raise FatalError(
            f"Delivery {state.open_delivery} is not complete; let it finish (or clear its run), then replay."
        )
    original = deliveries.plan(delivery)
    catalog = context.program.braze.catalog
    items = known_items(context, catalog) if catalog else None
    with work_folder() as work:
        table = last_sent.download(state, work / "state.parquet")
        held_out = _held_out(context, work) if any(not letter.removal for letter in letters) else {}
        figures = plan_replay(letters, delivery, table, items, work / "plan", work, held_out=held_out)
        manifest = publish_plan(
            context,
            figures,
            work / "plan",
            what=f"replay of {delivery}",
            delivery=delivery_name(original.recommendations),
            recommendations=original.recommendations,
            dag_run=dag_run,
            dry_run=dry_run,
            replay_of=delivery,
            identifier=identifier.tag,
            moment=original.moment,
        )
    if not dry_run:
        last_sent.replace(replace(state, open_delivery=manifest.delivery), etag)
    return manifest


@dataclass(frozen=True)
class Letter:
    """One dead letter.

    :param external_id: the person, by the identifier of the payload.
    :param payload: the attribute object to send; a null value removes an attribute.
    """

    external_id: str
    payload: Json
    in_audience: bool

    @property
    def attributes(self) -> Json:
        return {name: value for name, value in self.payload.items() if name not in NO_ATTRIBUTES}

    @property
    def removal(self) -> bool:
        return all(value is None for value in self.attributes.values())


def parse_letters(body: bytes, *, name: str, identifier: Identifier = EXTERNAL_ID) -> list[Letter]:
    """Read dead letters; ``name`` is the object's, for the errors.

    :param identifier: of the last-sent state; a letter that names a person otherwise cannot be recorded in it.
    :raises FatalError: with the lines that are no letters, at most ten of them.
    """
    letters: dict[str, Letter] = {}
    problems = []
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            letter = _parse(line, identifier)
            if letter.external_id in letters:
                raise ValueError(f"its {identifier.name} is there twice")
            letters[letter.external_id] = letter
        except ValueError as error:
            problems.append(f"{name}, line {number}: {error}")
    if problems:
        raise FatalError(
            "\n".join(["Nothing was sent; mend these lines first:", *problems[:_SHOWN_PROBLEMS]])
        )
    return list(letters.values())


def _parse(line: bytes, identifier: Identifier) -> Letter:
    document = json.loads(line)
    payload = document.get("object") if isinstance(document, dict) else None
    if isinstance(payload, str):
        payload = json.loads(payload)
    if not isinstance(payload, dict):
        payload = {}
    try:
        named_by, person = named_in(payload)
    except ValueError:
        raise ValueError(f"needs an object with {identifier.name}, as JSON or as text") from None
    if named_by != identifier:
        raise ValueError(f"object names the person by {named_by.tag}, and deliveries by {identifier.tag}")
    letter = Letter(person, payload, bool(document.get("in_audience", True)))
    if not letter.attributes:
        raise ValueError("object holds no attribute")
    for attribute, value in letter.attributes.items():
        if not isinstance(value, list | str | None):
            raise ValueError(f"{attribute} must be a list, a text or null, not {type(value).__name__}")
    # What cannot be sent, such as NaN or half a surrogate pair, is a ValueError here.
    if len(dumps(payload)) > MAX_VALUE_BYTES and not letter.removal:
        raise ValueError(f"object is over {MAX_VALUE_BYTES} bytes, which Braze drops silently")
    return letter


def plan_replay(
    letters: Iterable[Letter],
    replayed: str,
    state: Path | None,
    items: Collection[str] | None,
    target: Path,
    work: Path,
    *,
    held_out: Mapping[str, str] = _NOBODY,
) -> PlanFigures:
    """Write the plan's files into ``target``.

    :param replayed: the delivery of the letters; users written by a newer one are skipped.
    :param state: the last-sent state.
    :param items: ids in the Braze catalog; None when there is no catalog.
    :param held_out: people whom an experiment holds out by now, each with the reason; they get no list.
    """
    newer = _newer(state, replayed, work)
    rows: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    settled = []
    for letter in letters:
        why_out = "" if letter.removal else held_out.get(letter.external_id, "")
        reason = why_out or _obstacle(letter, newer, items)
        if not reason:
            rows["removals" if letter.removal else "rest"].append(_row(letter))
        elif letter.in_audience:
            outcome = Outcome.HELD_OUT if why_out else Outcome.SUPPRESSED
            settled.append({"external_id": letter.external_id, "outcome": outcome, "reason": reason})
    (target / "writes").mkdir(parents=True, exist_ok=True)
    for part, written in rows.items():
        pq.write_table(pa.Table.from_pylist(written, WRITES), target / "writes" / f"{part}.parquet")
    pq.write_table(pa.Table.from_pylist(settled, SETTLED), target / "settled.parquet")
    pq.write_table(pa.table({"item_id": [], "fields": [], "used": []}), target / "items.parquet")
    return _figures(rows, settled)


def _held_out(context: StageContext, work: Path) -> dict[str, str]:
    """Return the people whom the newest lists hold out, each with the reason, by external id."""
    store = context.store(RecommendationsStore)
    run = store.latest_run()
    manifest = store.manifest(run) if run else None
    if not manifest or not manifest.held_out:
        return {}
    store.download(manifest.run, work / "lists.parquet")
    table = pq.read_table(
        work / "lists.parquet",
        columns=["external_id", "reason"],
        filters=pc.field("arm").isin(manifest.held_out),
    )
    return dict(zip(table["external_id"].to_pylist(), table["reason"].to_pylist(), strict=True))


def _newer(state: Path | None, replayed: str, work: Path) -> Mapping[str, str]:
    """Return the newer delivery that wrote a user since, by external id."""
    if state is None:
        return {}
    with duck.opened(work) as database:
        return dict(
            database.execute(
                f"SELECT external_id, max(delivery) FROM read_parquet('{state}') WHERE delivery > ? GROUP BY 1",
                [replayed],
            ).fetchall()
        )


def _obstacle(letter: Letter, newer: Mapping[str, str], items: Collection[str] | None) -> str:
    if letter.external_id in newer:
        return f"written by the newer delivery {newer[letter.external_id]}"
    if items is None:
        return ""
    for element in (e for value in letter.attributes.values() if isinstance(value, list) for e in value):
        if isinstance(element, int | float):
            continue
        if not isinstance(element, str):
            return "the list holds objects, and the program sends ids now"
        if element not in items:
            return f"item {element} has left the catalogue"
    return ""


def _row(letter: Letter) -> dict[str, Any]:
    changes = [
        {"attribute": n, "fingerprint": attribute_fingerprint(v)} for n, v in letter.attributes.items()
    ]
    return {
        "external_id": letter.external_id,
        "in_audience": letter.in_audience,
        "removal": letter.removal,
        "object": dumps(letter.payload),
        "data_points": sum(_points(value) for value in letter.attributes.values()),
        "changes": changes,
        "reason": None,
    }


def _points(value: list[Any] | str | None) -> int:
    objects = [element for element in value or () if isinstance(element, dict)]
    return sum(map(len, objects)) if objects else 1


def _figures(rows: Mapping[str, list[dict[str, Any]]], settled: list[dict[str, Any]]) -> PlanFigures:
    written = [row for part in rows.values() for row in part]
    inside = [row for row in written if row["in_audience"]]
    removals = sum(row["removal"] for row in inside)
    outcomes, reasons = (Counter(row[column] for row in settled) for column in ("outcome", "reason"))
    return PlanFigures(
        audience=len(inside) + len(settled),
        rows={part: len(rows[part]) for part in PARTS},
        writes=len(inside) - removals,
        removals=removals,
        left_audience=len(written) - len(inside),
        settled={outcome.value: people for outcome, people in outcomes.items()},
        reasons=dict(sorted(reasons.items())),
        data_points=sum(row["data_points"] for row in written),
        object_bytes=sum(len(row["object"]) for row in written),
    )
