from __future__ import annotations

import pytest

from recsync.context import StageContext
from recsync.export.store import ExportStore
from recsync.program.parse import parse_program


def test_a_context_opens_each_store_once(monkeypatch: pytest.MonkeyPatch) -> None:
    program = parse_program("shop", {"braze": {"attribute": "recs"}, "bucket": "some-bucket"})
    context = StageContext(program)
    assert context.keys.program == "shop"
    assert context.bucket.name == "some-bucket"
    assert context.store(ExportStore) is context.store(ExportStore)
