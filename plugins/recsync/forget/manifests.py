"""Keep manifests and the import state true to objects that an erasure rewrote.

What was rewritten is seen by its ETag alone, so a killed run's successor finds what is left to mend.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import replace

from recsync.context import StageContext
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.store import Exports
from recsync.imports.dataset_state import Held
from recsync.imports.store import ImportState
from recsync.program import DatasetType
from recsync.storage.csv_text.exported import records

log = logging.getLogger(__name__)
_BLOCK_BYTES = 4 * 1024 * 1024


def mend(context: StageContext) -> int:
    """Publish rewritten objects anew, and let the import state know them.

    :returns: how many manifests were mended.
    """
    etags = _etags(context)
    digests: dict[str, str] = {}
    manifests = [
        key
        for key in etags
        if key.startswith(context.keys.export_manifests)
        or (key.startswith(context.keys.all_full) and key.endswith("/manifest.json"))
    ]
    mended = sum(_mend(context, key, etags, digests) for key in manifests)
    context.store(ImportState).change(lambda held: _known(held, etags, digests))
    return mended


def _etags(context: StageContext) -> dict[str, str]:
    folders = (f"{context.program.name}/exports/", context.keys.all_full, context.keys.all_imports)
    return {entry["Key"]: entry["ETag"] for folder in folders for entry in context.bucket.listed(folder)}


def _mend(context: StageContext, key: str, etags: Mapping[str, str], digests: dict[str, str]) -> bool:
    body, etag = context.bucket.get_with_etag(key)
    if body is None:
        return False
    manifest = Manifest.from_json(json.loads(body))
    objects = {}
    for kind, exported in manifest.objects.items():
        objects[kind] = exported
        if exported.etag and etags.get(exported.key, exported.etag) != exported.etag:
            objects[kind] = _as_it_is(context, exported, etags[exported.key])
            digests[exported.digest] = objects[kind].digest
    if objects == manifest.objects:
        return False
    document = json.dumps(Manifest(manifest.interval, objects).to_json(), indent=1, sort_keys=True)
    if context.bucket.put_if(key, document.encode(), etag=etag) is None:
        log.info("%s was published by an export just now; it is left to that one.", context.bucket.uri(key))
    return True


def _as_it_is(context: StageContext, exported: ExportedObject, etag: str) -> ExportedObject:
    """Describe an object that was rewritten; its digest is of its bytes, so an export of it looks at its rows."""
    digest, rows, size = hashlib.blake2b(digest_size=16), -1, 0
    for lines in records(context.store(Exports).blocks(exported.key, etag)):
        rows += len(lines)
        size += sum(len(line) + 1 for line in lines)
        for line in lines:
            digest.update(line + b"\n")
    # records() gives a last empty line to nobody: every record of ours ends with a line feed.
    return replace(exported, etag=etag, rows=max(rows, 0), size_bytes=size, digest=digest.hexdigest())


def _known(held: Held, etags: Mapping[str, str], digests: Mapping[str, str]) -> Held:
    """Let the state name the objects as they are now: their rows are what the datasets hold after the deletion."""
    full = {}
    for kind, last in held.full.items():
        etag = etags.get(last.snapshot, last.etag) if last.etag else last.etag
        full[kind] = replace(last, etag=etag, digest=digests.get(last.digest, last.digest))
    intervals = {
        key: {DatasetType(kind).value: digests.get(one, one) for kind, one in known.items()}
        for key, known in held.intervals.items()
    }
    return replace(held, full=full, intervals=intervals)
