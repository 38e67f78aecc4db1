"""Rewritten exports are put in place, and manifests and the import state follow."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from small_shop import SmallShop

from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.store import ExportStore
from recsync.forget import staged
from recsync.forget.batch import read_batch
from recsync.forget.erasure_rules import Redaction
from recsync.forget.one_object import ObjectVersion, erase_from_object, put_directly
from recsync.forget.people import Identity, People
from recsync.forget.request import request_erasure
from recsync.forget.staged import StagedObjects, put_staged, update_manifests
from recsync.imports.dataset_state import DatasetState, LastFull
from recsync.imports.store import ImportStore
from recsync.program import DatasetType
from recsync.program.intervals import Interval

KIND = DatasetType.INTERACTIONS
ANN = People({"e1": Identity("ann", ("b-ann",))})
FIVE = Interval(datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC))


def test_manifest_and_import_state_follow_what_was_rewritten_also_after_a_kill(small_shop: SmallShop) -> None:
    context = small_shop.context
    body = b"USER_ID,ITEM_ID\nann,i1\nbob,i2\n"
    snapshot, key = context.keys.full("r1", KIND), context.keys.export(KIND, FIVE.key)
    exported = ExportedObject(key, 2, len(body), "digest-5", context.bucket.put(key, body))
    full = ExportedObject(snapshot, 2, len(body), "digest-full", context.bucket.put(snapshot, body))
    context.store(ExportStore).publish_interval(Manifest(FIVE, {KIND: exported}))
    context.store(ExportStore).publish_full("r1", Manifest(Interval.until(FIVE.start), {KIND: full}))
    last = LastFull(FIVE.start, digest="digest-full", alone=True, snapshot=snapshot, etag=full.etag)
    held = DatasetState(full={KIND: last}, intervals={FIVE.key: {KIND.value: "digest-5"}})
    context.store(ImportStore).change(lambda _: held)
    assert update_manifests(context) == 0
    assert context.store(ImportStore).read() == held

    # Killed between the objects and their manifests: the next try finds nothing to erase, and mends all the same.
    for one in (key, snapshot):
        found = ObjectVersion(one, context.bucket.etag(one) or "", len(body), Redaction.ROWS)
        assert erase_from_object(context.bucket, found, ANN, put_directly(context.bucket)).removed == {
            "e1": 1
        }
    assert update_manifests(context) == 2

    manifest = context.store(ExportStore).interval(FIVE.key)
    assert manifest
    mended = manifest.objects[KIND]
    left = b"USER_ID,ITEM_ID\nbob,i2\n"
    assert (mended.rows, mended.size_bytes, context.bucket.get(key)) == (1, len(left), left)
    context.store(ExportStore).verify([manifest])
    now = context.store(ImportStore).read()
    assert now.intervals[FIVE.key][KIND.value] == mended.digest != "digest-5"
    assert (
        now.full[KIND].etag
        == context.store(ExportStore).full("r1").objects[KIND].etag
        == context.bucket.etag(snapshot)
    )
    assert now.matches(KIND, context.store(ExportStore).full("r1").objects[KIND].digest)
    assert update_manifests(context) == 0
    assert now.full[KIND].until + timedelta(hours=1) == FIVE.end


@pytest.mark.parametrize("most_bytes", [0, 1000])
def test_a_staged_object_replaces_only_the_version_it_was_made_from(
    small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, most_bytes: int
) -> None:
    """By a conditional write, or, where an object is large, by a copy right after a check."""
    monkeypatch.setattr(staged, "CONDITIONAL_BYTES", most_bytes)
    batch = read_batch("shop", request_erasure("shop", "ann"))
    bucket, key, local = batch.context.bucket, "shop/exports/interactions/1.csv", tmp_path / "new.csv"
    former = bucket.put(key, b"USER_ID\nann\nbob\n")
    local.write_bytes(b"USER_ID\nbob\n")
    put_staged(batch)(ObjectVersion(key, former, 0, Redaction.ROWS), local, Counter({"1": 1}))
    objects = StagedObjects(batch)
    (one,) = objects.read()
    assert (one.key, one.base, one.rows, one.size_bytes) == (key, former, 1, 12)
    assert objects.parts() == {one.part}
    assert bucket.get(key) == b"USER_ID\nann\nbob\n"

    (swapped,) = objects.swap_all([one])
    assert bucket.get(key) == b"USER_ID\nbob\n"
    assert swapped.etag == bucket.etag(key)
    # After a kill it is recognised by its ETag.
    assert objects.swap_all(objects.read()) == [swapped]
    bucket.put(key, b"USER_ID\ncid\n")
    assert objects.swap_all(objects.read()) == []
    assert bucket.get(key) == b"USER_ID\ncid\n"
    objects.delete_all()
    assert objects.read() == []
