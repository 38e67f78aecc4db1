"""A batch output with error lines, lines out of order, and people missing: everybody is accounted for with a reason."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from shop import NOW, Shop

from recsync.errors import FatalError
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.store import RecommendationsStore

RUN = "20261122T050000-00000000"


def line(user: str, items: list[str], error: str | None = None) -> bytes:
    output = {"recommendedItems": items, "scores": [0.1] * len(items)}
    return json.dumps({"input": {"userId": user}, "output": output, "error": error}).encode()


def build_and_publish_lists(
    shop: Shop, lines: list[bytes] | None
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    from recsync.context import StageContext
    from recsync.recommend.recommend import build_and_publish_lists

    context = StageContext.of(shop.name)
    people = ["good", "failed", "missing", "short", "twice"]
    rows = [{"user_id": who, "external_id": f"braze-{who}"} for who in people]
    context.bucket.put_table(context.keys.audience(RUN), pa.Table.from_pylist(rows, schema=AUDIENCE))
    if lines is not None:
        context.bucket.put(f"{context.keys.batch_output(RUN)}users.json.out", b"\n".join(lines) + b"\n")
        context.bucket.put(f"{context.keys.batch_output(RUN)}_CHECK", b"")
    plan = {
        "run": RUN,
        "created_at": NOW.isoformat(),
        "solution_version_arn": "arn:version",
        "job": "job",
        "input": "",
        "output": context.bucket.uri(context.keys.batch_output(RUN)),
    }
    manifest = build_and_publish_lists(shop.name, plan, ["arn:job"])
    return manifest, shop.published(RUN).lists


def test_everybody_is_accounted_for(shop: Shop) -> None:
    full = [f"p-{n}" for n in range(20)]
    manifest, wanted = build_and_publish_lists(
        shop,
        [
            line("twice", [], "first an error, then an answer"),
            b'{"input": {"userId": ',
            line("failed", [], "User error: Required fields for the provided recipe are userId"),
            line("short", ["p-1", "not in the catalogue", "p-1", "p-2"]),
            line("somebody else", full),
            line("good", ["not in the catalogue", "p-3", "p-3", *full]),
            line("twice", ["p-9", *full]),
            line("twice", ["p-9", *full]),
        ],
    )
    assert wanted["braze-good"]["item_ids"] == ["p-3", "p-0", "p-1", "p-2", "p-4"]
    assert wanted["braze-twice"]["item_ids"][0] == "p-9"
    error, no_line = (f"the batch output has {what} for this person" for what in ("an error", "no line"))
    assert {who: row["unanswered"] for who, row in wanted.items() if row["unanswered"]} == {
        "braze-failed": error,
        "braze-missing": no_line,
    }
    assert (wanted["braze-failed"]["reason"], wanted["braze-missing"]["reason"]) == (error, no_line)
    assert "fewer than 5" in wanted["braze-short"]["reason"]
    assert set(wanted) == {f"braze-{who}" for who in ("good", "failed", "missing", "short", "twice")}
    assert (manifest["users"], manifest["lists"], sum(manifest["suppressed"].values())) == (5, 2, 3)
    assert (manifest["questions"], manifest["answered"]) == (5, 3)
    assert manifest["unanswered"] == {error: 1, no_line: 1}
    assert (manifest["strangers"], manifest["repeated_lines"], manifest["unreadable_lines"]) == (1, 1, 1)
    assert manifest["dropped"] == {"not in the catalogue": 2, "duplicate": 4}


def test_an_output_that_is_mostly_missing_publishes_nothing(shop: Shop) -> None:
    from recsync.context import StageContext

    lines = [line("good", ["p-1"] * 5), line("failed", [], "no"), b"{", line("short", ["p-1"])]
    missing = (
        r"answers to 2 of 5 questions, .*min_answered \(50%\).*2 people: .*no line.*1 people: .*an error"
    )
    with pytest.raises(FatalError, match=missing):
        build_and_publish_lists(shop, lines)
    assert StageContext.of(shop.name).store(RecommendationsStore).latest_run() is None


def test_a_job_without_output_is_an_error(shop: Shop) -> None:
    with pytest.raises(FatalError, match=r"holds no \.out object"):
        build_and_publish_lists(shop, None)
