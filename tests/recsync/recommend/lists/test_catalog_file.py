from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsync.program import Rules
from recsync.recommend.lists.catalog import BAD_ID, BAD_VALUE, DUPLICATE, read_catalog
from recsync.recommend.lists.catalog_file import load_catalog, write_catalog
from recsync.warehouse.column_types import Kind

ROWS = pa.RecordBatch.from_pydict(
    {
        "item_id": ["b", "a", "c", "a", "", "d"],
        "brand": ["x", "y", "y", "x|z", "x", None],
        "stocked": ["t", "f", "t", "t", "t", "perhaps"],
    }
)
KINDS = {"item_id": Kind.TEXT, "brand": Kind.TEXT, "stocked": Kind.BOOLEAN}


@pytest.mark.parametrize(
    "rules",
    [
        Rules(),
        Rules(in_stock="stocked", max_per={"brand": 1}, diversity={"by": "brand", "strength": 0.5}),
    ],
)
def test_a_catalog_is_read_as_it_was_written(rules: Rules, tmp_path: Path) -> None:
    catalog = read_catalog([ROWS], KINDS, {"brand": None, "stocked": None}, rules, name="catalogue.sql")
    write_catalog(catalog, tmp_path / "catalog.parquet")
    found = load_catalog(tmp_path / "catalog.parquet")
    assert found.table.equals(catalog.table, check_metadata=True)
    assert found.flags.keys() == catalog.flags.keys()
    for name, flags in catalog.flags.items():
        np.testing.assert_array_equal(found.flags[name], flags, strict=True)
    assert (found.values is None, found.groups is None) == (catalog.values is None, catalog.groups is None)
    if catalog.values and found.values and catalog.groups is not None:
        for name, values in vars(catalog.values).items():
            np.testing.assert_array_equal(getattr(found.values, name), values, strict=True)
        np.testing.assert_array_equal(found.groups, catalog.groups)
    report = found.report
    assert (report.rows, report.items, report.quarantined) == (6, 3, 1)
    for rule in (BAD_ID, BAD_VALUE, DUPLICATE):
        assert report.count(rule) == catalog.report.count(rule) > 0
    assert report.texts == catalog.report.texts
