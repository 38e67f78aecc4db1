from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from small_shop import SmallShop

from recsync.errors import FatalError
from recsync.recommend.job_inputs import write_inputs

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
RUN = "20261122T050000-r"


def test_the_audience_and_a_line_for_each_user_are_kept_with_the_run(
    small_shop: SmallShop, tmp_path: Path
) -> None:
    context = small_shop.context
    people, digest = write_inputs(context, RUN, NOW, tmp_path)
    assert people == 2
    assert context.bucket.get(context.keys.batch_input(RUN)) == b'{"userId":"u1"}\n{"userId":"u2"}\n'
    assert context.bucket.etag(context.keys.audience(RUN)) is not None
    assert write_inputs(context, RUN, NOW, tmp_path) == (2, digest)
    small_shop.write_sql("audience", "SELECT 'u1' AS user_id")
    assert write_inputs(context, RUN, NOW, tmp_path)[1] != digest


def test_an_audience_of_nobody_is_refused_before_anything_is_kept(
    small_shop: SmallShop, tmp_path: Path
) -> None:
    small_shop.write_sql("audience", "SELECT user_id FROM people WHERE false")
    with pytest.raises(FatalError, match="returns nobody; an empty audience would remove every list"):
        write_inputs(small_shop.context, RUN, NOW, tmp_path)
    assert small_shop.context.bucket.get(small_shop.context.keys.batch_input(RUN)) is None
