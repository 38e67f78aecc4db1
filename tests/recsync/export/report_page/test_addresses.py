"""Addresses of report pages, and that they lead to reports only."""

from __future__ import annotations

import pytest

from recsync.export.report_page.addresses import REPORTS, report_key, report_link, report_route
from recsync.program import DatasetType
from recsync.storage.keys import Keys

KEYS = Keys("shop")


@pytest.mark.parametrize("kind", DatasetType)
@pytest.mark.parametrize("full", [False, True])
def test_there_and_back(kind, full):
    exported = KEYS.full("20251122T050000-0a1b2c3d", kind) if full else KEYS.export(kind, "2025-11-22T0500Z")
    key = KEYS.companion(exported, "reports", ".json")
    route = report_route(key)
    assert report_key("shop", route.removeprefix(f"{REPORTS}/shop/")) == key
    assert report_link(key) == f"recsync{route}"


@pytest.mark.parametrize(
    "path",
    [
        "state/champion",
        "exports/manifests/2025-11-22T0500Z",
        "exports/quarantine/interactions/2025-11-22T0500Z",
        "exports/reports/interactions/../../../state/champion",
        "exports/reports/audience/2025-11-22T0500Z",
        "exports/reports/items/2025-11-22T0500Z\n",
        "full/../reports/items",
        "full/run/manifest",
        "../other/exports/reports/items/2025-11-22T0500Z",
        "",
    ],
)
def test_nothing_but_reports(path):
    assert report_key("shop", path) is None
