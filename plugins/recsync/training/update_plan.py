"""Plan an UPDATE: an INCREMENTAL import of the published rows that were not imported yet, and a training.

With ``personalize.update_by: events`` the same rows are streamed instead, and nothing is trained.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from recsync.context import StageContext
from recsync.evaluation.store import ChampionStore
from recsync.export.manifest import Manifest
from recsync.export.store import ExportStore, ReportStore
from recsync.imports.dataset_state import DatasetState, Late
from recsync.imports.full import late_window
from recsync.imports.new_rows import (
    INCREMENT_INTERACTIONS,
    Choice,
    Reader,
    importable,
    new_interactions,
    newest_rows,
    unchanged,
    up_to_limit,
    whole,
)
from recsync.imports.plans import StreamPlan, Taken, UpdatePlan
from recsync.imports.store import ImportStore, reconcile
from recsync.program import DatasetType, names
from recsync.storage.duck import work_folder
from recsync.training.decision import NothingToTrain, decide_update
from recsync.training.training_triggers import new_items

log = logging.getLogger(__name__)

_EVENTS = DatasetType.INTERACTIONS
_BLOCK_BYTES = 4 * 1024 * 1024


def plan_update(program_name: str, run_id: str, created_at: datetime) -> dict[str, Any]:
    """Gather pending rows into one folder per dataset, which INCREMENTAL imports read.

    The same pending rows of the same run always go into the same folders with the same bytes.

    :returns: JSON of the :class:`UpdatePlan`.
    :raises NothingToTrain: with the reason.
    """
    context = StageContext.of(program_name)
    if not context.program.personalize.can_update:
        raise NothingToTrain(
            f"Recipe {context.program.personalize.recipe} knows no trainingMode=UPDATE; only "
            "aws-user-personalization does. The next train_full takes the new rows."
        )
    state = _state(context)
    champion = context.store(ChampionStore).read()
    if champion is None:
        raise NothingToTrain("There is no champion yet; an UPDATE needs an ACTIVE FULL version.")
    with work_folder() as work:
        choices, repeated, read = _new_rows(context, state, work)
        ready = importable(choices)
        _log(ready, repeated)
        if not ready[_EVENTS].rows and choices[_EVENTS].rows:
            log.info(
                "interactions: %d rows wait for more or for the next FULL; one import takes at least %d",
                choices[_EVENTS].rows,
                INCREMENT_INTERACTIONS,
            )
        decision = decide_update(
            choices, new_items(context, state, choices), created_at, context.program.train_update
        )
        if not decision.train:
            raise NothingToTrain(decision.why)
        log.info("UPDATE: %s", decision.why)
        run = f"{names.run_key(run_id, created_at.isoformat())}-{_digest(ready)}"
        return UpdatePlan(
            run,
            decision.why,
            champion.solution_version_arn.rsplit("/", 1)[0],
            locations={
                kind: _gather(context, run, kind, choice, read, work) for kind, choice in ready.items()
            },
            rows={kind.folder: choice.rows for kind, choice in ready.items()},
            taken={kind: _taken(context, run, kind, choice) for kind, choice in ready.items()},
            after={kind: state.version(kind) for kind in ready},
        ).to_json()


def plan_stream(program_name: str, run_id: str, created_at: datetime) -> dict[str, Any]:
    """Gather pending rows, however few, into objects that a run streams; otherwise as :func:`plan_update`.

    :returns: JSON of the :class:`StreamPlan`.
    :raises NothingToTrain: with the reason.
    """
    context = StageContext.of(program_name)
    state = _state(context)
    if context.store(ChampionStore).read() is None:
        raise NothingToTrain("There is no champion yet, so no list would change; the rows wait.")
    with work_folder() as work:
        choices, repeated, read = _new_rows(context, state, work)
        _log(choices, repeated)
        if not any(choice.rows for choice in choices.values()):
            raise NothingToTrain("Nothing is pending: everything that was exported is streamed or imported.")
        run = f"{names.run_key(run_id, created_at.isoformat())}-{_digest(choices)}"
        for kind, choice in choices.items():
            _gather(context, run, kind, choice, read, work)
        return StreamPlan(
            run,
            rows={kind.folder: choice.rows for kind, choice in choices.items()},
            taken={kind: _taken(context, run, kind, choice) for kind, choice in choices.items()},
            after={kind: state.version(kind) for kind in choices},
        ).to_json()


def _new_rows(
    context: StageContext, state: DatasetState, work: Path
) -> tuple[dict[DatasetType, Choice], dict[DatasetType, list[Manifest]], Reader]:
    """Choose the pending rows, and remember intervals without any.

    :param work: folder for the files of those that are not whole objects.
    :returns: the rows, the unchanged objects of users and items, and a reader of published objects.
    """
    pending = _pending(context, state)
    read = _reader(context, [m for manifests in pending.values() for m in manifests])
    choices = {_EVENTS: up_to_limit(new_interactions(pending[_EVENTS], state, read, work))}
    repeated: dict[DatasetType, list[Manifest]] = {}
    for kind in context.program.dataset_types[1:]:
        repeated[kind] = unchanged(pending[kind], kind, state.full[kind].digest if kind in state.full else "")
        choices[kind] = up_to_limit(whole(m, kind) for m in pending[kind] if m not in repeated[kind])
    _record_nothing_new(context, state, choices, repeated)
    return choices, repeated, read


def _state(context: StageContext) -> DatasetState:
    """Read the dataset state, if new rows can be taken at all."""
    if running := reconcile(context):
        raise NothingToTrain(
            f"An import of an earlier run is under way: {', '.join(running)}. The rows wait."
        )
    state = context.store(ImportStore).read()
    if _EVENTS not in state.full:
        raise NothingToTrain("There was no FULL import yet; the first train_full takes everything before it.")
    last = state.full[_EVENTS]
    if state.snapshot is None or context.bucket.etag(state.snapshot) == last.etag:
        return state
    log.warning(
        "%s was changed since it was imported; rows that arrived late for intervals before %s wait for the next FULL.",
        context.bucket.uri(state.snapshot),
        last.until.isoformat(),
    )
    return replace(state, full={**state.full, _EVENTS: replace(last, snapshot="")})


def _pending(context: StageContext, state: DatasetState) -> dict[DatasetType, list[Manifest]]:
    late = late_window(context)
    # One more than the overlap: an interval that ends inside of it begins before.
    earliest = min(Late(late.cron, late.intervals + 1).opens(last.until) for last in state.full.values())
    manifests = context.store(ExportStore).intervals_since(earliest)
    pending = {kind: state.pending_intervals(kind, manifests, late) for kind in context.program.dataset_types}
    context.store(ExportStore).verify({m.interval: m for found in pending.values() for m in found}.values())
    return pending


def _reader(context: StageContext, manifests: Sequence[Manifest]) -> Reader:
    """Return a reader that reads published objects only as they were published."""
    etags = {exported.key: exported.etag for m in manifests for exported in m.objects.values()}

    def read(key: str) -> Iterator[bytes]:
        if key in etags:
            yield from context.store(ExportStore).blocks(key, etags[key])
            return
        stream = context.bucket.stream(key)
        while block := stream.read(_BLOCK_BYTES):
            yield block

    return read


def _record_nothing_new(
    context: StageContext,
    state: DatasetState,
    choices: Mapping[DatasetType, Choice],
    repeated: Mapping[DatasetType, list[Manifest]],
) -> None:
    """Remember intervals that turned out to hold nothing new, so that the next plan need not read them again."""
    nothing_new = {
        kind: {piece.interval.key: piece.source.digest for piece in choice.nothing_new}
        | {m.interval.key: m.objects[kind].digest for m in repeated.get(kind, ())}
        for kind, choice in choices.items()
    }

    def change(now: DatasetState) -> DatasetState:
        for kind, digests in nothing_new.items():
            # Another FULL import since then makes the comparison worthless.
            if digests and kind in now.full and now.full[kind].until == state.full[kind].until:
                now = now.with_known(kind, digests)
        return now

    context.store(ImportStore).change(change)


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
    """Digest the taken rows, so that other rows of a cleared run get folders and jobs of their own."""
    digest = hashlib.blake2b(digest_size=4)
    for kind, choice in choices.items():
        for piece in choice.taken:
            digest.update(f"{kind}/{piece.interval.key}/{piece.digest}\n".encode())
    return digest.hexdigest()


def _gather(
    context: StageContext, run: str, kind: DatasetType, choice: Choice, read: Reader, work: Path
) -> str:
    """Write the import objects of one dataset.

    :returns: URI of their folder; empty when there are none.
    """
    if not choice.taken:
        return ""
    contents = (
        ((piece, piece.content) for piece in choice.taken)
        if kind is _EVENTS
        else newest_rows(choice.taken, kind, read, work)
    )
    for piece, content in contents:
        key = context.keys.import_object(run, kind, piece.interval.key)
        if content is None:
            context.store(ExportStore).copy(piece.source, key)
        else:
            context.bucket.upload(key, content)
    if kind is DatasetType.ITEMS:
        for piece in choice.taken:
            context.store(ReportStore).keep_ids(piece.source.key, piece.source.digest)
    return context.bucket.uri(context.keys.import_folder(run, kind))


def _taken(context: StageContext, run: str, kind: DatasetType, choice: Choice) -> tuple[Taken, ...]:
    return tuple(
        Taken(
            piece.interval.key,
            piece.source.digest,
            context.keys.import_object(run, kind, piece.interval.key),
        )
        for piece in choice.taken
    )
