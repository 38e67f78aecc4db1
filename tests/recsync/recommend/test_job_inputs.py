from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_shop import SmallShop

from recsync.errors import FatalError, RetriableError
from recsync.recommend.job_inputs import write_inputs
from recsync.storage import machine

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
RUN = "20261122T050000-r"


def test_the_audience_and_a_line_for_each_user_are_kept_with_the_run(
    small_shop: SmallShop, tmp_path: Path
) -> None:
    context = small_shop.context
    written = write_inputs(context, RUN, NOW, tmp_path)
    assert (written.people, [*written.parts], written.arms) == (2, [""], None)
    assert context.bucket.get(context.keys.batch_input(RUN)) == b'{"userId":"u1"}\n{"userId":"u2"}\n'
    assert context.bucket.etag(context.keys.audience(RUN)) is not None
    assert write_inputs(context, RUN, NOW, tmp_path) == written
    small_shop.write_sql("audience", "SELECT 'u1' AS user_id")
    assert write_inputs(context, RUN, NOW, tmp_path).parts != written.parts


def test_an_audience_of_nobody_is_refused_before_anything_is_kept(
    small_shop: SmallShop, tmp_path: Path
) -> None:
    small_shop.write_sql("audience", "SELECT user_id FROM people WHERE false")
    with pytest.raises(FatalError, match="returns nobody; an empty audience would remove every list"):
        write_inputs(small_shop.context, RUN, NOW, tmp_path)
    assert small_shop.context.bucket.get(small_shop.context.keys.batch_input(RUN)) is None


def test_a_braze_user_who_comes_twice_is_refused_before_anything_is_kept(
    small_shop: SmallShop, tmp_path: Path
) -> None:
    small_shop.write_sql(
        "audience", "SELECT 'u' || n AS user_id, 'b' || n % 2 AS external_id FROM range(3) t(n)"
    )
    with pytest.raises(FatalError, match=r"audience\.sql returns 1 Braze user\(s\) more than once"):
        write_inputs(small_shop.context, RUN, NOW, tmp_path)
    context = small_shop.context
    assert context.bucket.get(context.keys.batch_input(RUN)) is None
    assert context.bucket.get(context.keys.audience(RUN)) is None


def test_the_disk_is_checked_before_the_audience_is_read_and_before_it_is_sorted(
    small_shop: SmallShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = small_shop.context
    monkeypatch.setattr(machine, "shutil", SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=2_000)))
    with pytest.raises(RetriableError, match=r"Sorting the audience of shop/audience\.sql needs .* TMPDIR"):
        write_inputs(context, RUN, NOW, tmp_path)
    # A run that was published says how much the next one needs, before anything is read.
    context.bucket.put(context.keys.audience("20261121T050000-r"), b"x" * 100)
    context.bucket.put(context.keys.batch_input("20261121T050000-r", "0-of-2/"), b"x" * 600)
    manifest = json.dumps({"run": "20261121T050000-r"}).encode()
    context.bucket.put(context.keys.recommendations_manifest("20261121T050000-r"), manifest)
    with pytest.raises(RetriableError, match=r"as run 20261121T050000-r had needs .* are free\..*TMPDIR"):
        write_inputs(context, RUN, NOW, tmp_path)
    assert context.bucket.get(context.keys.batch_input(RUN)) is None
