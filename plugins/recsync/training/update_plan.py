"""What an INCREMENTAL import takes: the rows of published intervals that the datasets do not hold yet."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from recsync.context import StageContext
from recsync.evaluation.champion_store import ChampionStore
from recsync.export.manifest import Manifest
from recsync.export.report_store import Reports
from recsync.export.store import Exports
from recsync.imports.choice import INCREMENT_INTERACTIONS, Choice, importable, unchanged, up_to_limit
from recsync.imports.dataset_state import Held, Late, Taken
from recsync.imports.full import late_window
from recsync.imports.new_rows import Reader, new_interactions, whole
from recsync.imports.newest import newest_rows
from recsync.imports.pending_imports import settle
from recsync.imports.store import ImportState
from recsync.program import DatasetType, names
from recsync.training.training_triggers import new_items
from recsync.training.update_training import decide_update

log = logging.getLogger(__name__)

_EVENTS = DatasetType.INTERACTIONS
_BLOCK_BYTES = 4 * 1024 * 1024


class NothingToTrain(Exception):  # ruff: ignore[error-suffix-on-exception-name] - an outcome, not an error: the run is skipped with this reason
    """There is nothing worth a billed run; the text says why."""


def plan_update(program_name: str, run_id: str, created_at: datetime) -> dict[str, Any]:
    """Gather what the datasets lack into folders that INCREMENTAL imports read, each dataset on its own terms.

    The same pending rows of the same run always go into the same folders with the same bytes.

    :returns: per dataset the folder to import (empty when it lacks nothing), what was taken of which interval, why
        it is worth a run, and the champion's solution, which is trained.
    :raises NothingToTrain: with the reason.
    """
    context = StageContext.of(program_name)
    held = _held(context)
    champion = context.store(ChampionStore).read()
    if champion is None:
        raise NothingToTrain("There is no champion yet; an UPDATE needs an ACTIVE FULL version.")
    pending = _pending(context, held)
    read = _reader(context, [m for manifests in pending.values() for m in manifests])
    choices = {_EVENTS: up_to_limit(new_interactions(pending[_EVENTS], held, read))}
    repeated: dict[DatasetType, list[Manifest]] = {}
    for kind in context.program.dataset_types[1:]:
        repeated[kind] = unchanged(pending[kind], kind, held.full[kind].digest if kind in held.full else "")
        choices[kind] = up_to_limit(whole(m, kind) for m in pending[kind] if m not in repeated[kind])
    _note_what_is_not_new(context, held, choices, repeated)
    ready = importable(choices)
    _log(ready, repeated)
    if not ready[_EVENTS].rows and choices[_EVENTS].rows:
        log.info(
            "interactions: %d rows wait for more or for the next FULL; one import takes at least %d",
            choices[_EVENTS].rows,
            INCREMENT_INTERACTIONS,
        )
    fresh = new_items(context, held, choices)
    decision = decide_update(choices, fresh, created_at, context.program.train_update)
    if not decision.train:
        raise NothingToTrain(decision.why)
    log.info("UPDATE: %s", decision.why)
    run = f"{names.run_key(run_id, created_at.isoformat())}-{_digest(ready)}"
    return {
        "run": run,
        "mode": "UPDATE",
        "why": decision.why,
        "solution_arn": champion.solution_version_arn.rsplit("/", 1)[0],
        "locations": {kind.value: _gather(context, run, kind, ready[kind], read) for kind in ready},
        "rows": {kind.folder: choice.rows for kind, choice in ready.items()},
        "taken": {kind.value: _taken(context, run, kind, choice) for kind, choice in ready.items()},
        "after": {kind.value: held.standing(kind) for kind in ready},
    }


def _held(context: StageContext) -> Held:
    """Read what the datasets hold, if an UPDATE is possible at all."""
    if not context.program.personalize.can_update:
        raise NothingToTrain(
            f"Recipe {context.program.personalize.recipe} knows no trainingMode=UPDATE; only "
            "aws-user-personalization does. The next train_full takes the new rows."
        )
    if running := settle(context):
        raise NothingToTrain(f"An import of a former run is under way: {', '.join(running)}. The rows wait.")
    held = context.store(ImportState).read()
    if _EVENTS not in held.full:
        raise NothingToTrain("There was no FULL import yet; the first train_full takes everything before it.")
    return _with_snapshot_that_is_there(context, held)


def _with_snapshot_that_is_there(context: StageContext, held: Held) -> Held:
    """Forget the snapshot if it is not the one that was imported any more."""
    last = held.full[_EVENTS]
    if held.snapshot is None or context.bucket.etag(held.snapshot) == last.etag:
        return held
    log.warning(
        "%s is not what was imported any more; rows that arrived late for intervals before %s wait for the next FULL.",
        context.bucket.uri(held.snapshot),
        last.until.isoformat(),
    )
    return replace(held, full={**held.full, _EVENTS: replace(last, snapshot="")})


def _pending(context: StageContext, held: Held) -> dict[DatasetType, list[Manifest]]:
    late = late_window(context)
    # One more than the overlap: what ends inside of it begins before.
    earliest = min(Late(late.cron, late.intervals + 1).opens(last.until) for last in held.full.values())
    manifests = context.store(Exports).intervals_since(earliest)
    pending = {kind: held.pending(kind, manifests, late) for kind in context.program.dataset_types}
    context.store(Exports).verify({m.interval: m for found in pending.values() for m in found}.values())
    return pending


def _reader(context: StageContext, manifests: Sequence[Manifest]) -> Reader:
    """Read published objects only as they were published, and import objects as they are."""
    etags = {exported.key: exported.etag for m in manifests for exported in m.objects.values()}

    def read(key: str) -> Iterator[bytes]:
        if key in etags:
            yield from context.store(Exports).blocks(key, etags[key])
            return
        stream = context.bucket.stream(key)
        while block := stream.read(_BLOCK_BYTES):
            yield block

    return read


def _note_what_is_not_new(
    context: StageContext,
    held: Held,
    choices: Mapping[DatasetType, Choice],
    repeated: Mapping[DatasetType, list[Manifest]],
) -> None:
    """Remember intervals that turned out to hold nothing new, so that the next plan need not read them again."""
    nothing_new = {
        kind: {piece.interval.key: piece.source.digest for piece in choice.nothing_new}
        | {m.interval.key: m.objects[kind].digest for m in repeated.get(kind, ())}
        for kind, choice in choices.items()
    }

    def noted(now: Held) -> Held:
        for kind, digests in nothing_new.items():
            # A FULL import in between would make what was found out here about the former one worthless.
            if (
                digests
                and now.full.get(kind, None) is not None
                and now.full[kind].until == held.full[kind].until
            ):
                now = now.nothing_new(kind, digests)
        return now

    context.store(ImportState).change(noted)


def _log(choices: Mapping[DatasetType, Choice], repeated: Mapping[DatasetType, list[Manifest]]) -> None:
    for kind, choice in choices.items():
        for manifest in repeated.get(kind, ()):
            log.info("%s of %s: not imported again, unchanged", kind.folder, manifest.interval.key)
        for piece in choice.nothing_new:
            log.info("%s of %s: not imported again, no new rows", kind.folder, piece.interval.key)
        for piece in choice.taken:
            why = "all rows" if piece.content is None else "the rows that arrived late"
            log.info("%s of %s: %d rows to import, %s", kind.folder, piece.interval.key, piece.rows, why)
        for piece in choice.too_large:
            log.warning(
                "%s of %s: %d bytes are more than an INCREMENTAL import takes; they wait for the next FULL. Export in "
                "shorter intervals to avoid it.",
                kind.folder,
                piece.interval.key,
                piece.size_bytes,
            )
        if choice.rest_waits:
            log.warning(
                "%s: more is pending than one INCREMENTAL import takes; the newer intervals wait for the next run. A "
                "FULL import takes everything at once.",
                kind.folder,
            )


def _digest(choices: Mapping[DatasetType, Choice]) -> str:
    """Sum up what is taken: other rows of a run that is cleared get other folders and jobs of their own."""
    digest = hashlib.blake2b(digest_size=4)
    for kind, choice in choices.items():
        for piece in choice.taken:
            digest.update(f"{kind}/{piece.interval.key}/{piece.digest}\n".encode())
    return digest.hexdigest()


def _gather(context: StageContext, run: str, kind: DatasetType, choice: Choice, read: Reader) -> str:
    """Write the import objects of one dataset.

    :returns: the URI of their folder; empty when there are none.
    """
    if not choice.taken:
        return ""
    contents = (
        ((piece, piece.content) for piece in choice.taken)
        if kind is _EVENTS
        else newest_rows(choice.taken, kind, read)
    )
    for piece, content in contents:
        key = context.keys.import_object(run, kind, piece.interval.key)
        if content is None:
            context.store(Exports).copy(piece.source, key)
        elif content:
            context.bucket.put(key, content)
        if kind is DatasetType.ITEMS:
            context.store(Reports).keep_ids(piece.source.key, piece.source.digest)
    return context.bucket.uri(context.keys.import_folder(run, kind))


def _taken(context: StageContext, run: str, kind: DatasetType, choice: Choice) -> list[dict[str, str]]:
    return [
        asdict(
            Taken(
                piece.interval.key,
                piece.source.digest,
                context.keys.import_object(run, kind, piece.interval.key),
            )
        )
        for piece in choice.taken
    ]
