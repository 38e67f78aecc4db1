"""Lists from an existing output, beside what was sent before."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
from small_shop import SmallShop

from recsync.context import StageContext
from recsync.forget.erasure_rules import redaction_of
from recsync.forget.one_object import ObjectVersion, erase_from_object, put_directly
from recsync.forget.people import Identity, People
from recsync.recommend.recommend import publish_output
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore


def test_lists_leave_out_what_was_sent_lately_and_what_another_program_lists(
    small_shop: SmallShop, tmp_path: Path
) -> None:
    line = {"input": {"userId": "u1"}, "output": {"recommendedItems": ["i1", "i2", "i3"]}, "error": None}
    (tmp_path / "users.out").write_text(json.dumps(line))
    lists = {"length": 1, "min_answered": 0}
    small_shop.write_program("winback", braze={"attribute": "recs_winback"}, recommendations=lists)
    small_shop.write_program(
        recommendations={**lists, "rules": {"not_in": ["winback"], "not_mailed_in_days": 7}}
    )

    def published(program: str) -> tuple[list[list[str]], RecommendationsManifest]:
        manifest = publish_output(program, str(tmp_path / "users.out"))
        store = StageContext.of(program).store(RecommendationsStore)
        names = store.download(manifest.run, tmp_path / "lists.parquet")["item_id"].to_pylist()
        lists = pq.read_table(tmp_path / "lists.parquet")["items"].to_pylist()
        return [[names[item] for item in items] for items in lists], manifest

    first, manifest = published("shop")
    assert (first, len(manifest.notes)) == ([["i1"], []], 2)
    # Published, not sent: it may come again.
    assert published("shop")[0] == [["i1"], []]
    context = small_shop.context
    context.bucket.put_json(
        context.keys.ledger_entry(f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{manifest.run}", 0), {}
    )
    assert published("shop")[0] == [["i2"], []]
    published("winback")
    again, manifest = published("shop")
    assert (again, manifest.notes) == ([["i2"], []], ())
    assert manifest.dropped == {"not_in": 1}
    # Whoever is erased is in none of the lists that later runs look at.
    people = People({"e1": Identity("u1", ("b-u1",))})
    for key in context.bucket.keys(context.keys.all_recommendations):
        if key.endswith(".parquet") and "catalogue" not in key:
            redaction = redaction_of("shop", key)
            assert redaction
            version = ObjectVersion(key, context.bucket.etag(key) or "", 0, redaction)
            result = erase_from_object(context.bucket, version, people, put_directly(context.bucket))
            assert result.removed == {"e1": 1}
            assert b"u1" not in (context.bucket.get(key) or b"")
