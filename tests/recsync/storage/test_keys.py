from __future__ import annotations

from recsync.program import DatasetType
from recsync.storage.keys import Keys


def test_folders_that_personalize_reads_hold_no_folders() -> None:
    keys = Keys("shop")
    export = keys.export(DatasetType.INTERACTIONS, "2026-11-22T0500Z")
    assert export == "shop/exports/interactions/2026-11-22T0500Z.csv"
    assert not keys.export_manifest("x").startswith("shop/exports/interactions/")
    assert keys.batch_output("r").endswith("/")
    assert not keys.batch_input("r").startswith(keys.batch_output("r"))
