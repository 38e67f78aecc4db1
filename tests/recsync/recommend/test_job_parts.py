from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shop import SmallShop

from recsync.errors import FatalError
from recsync.recommend.job_parts import JobPart, _parts, part_folders, upload_parts


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(40, 400), st.integers(1, 30))
def test_parts_hold_every_line_once_and_keep_both_limits(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], max_bytes: int, max_lines: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.json"
    whole = b"".join(b"x" * length + b"\n" for length in lengths)
    path.write_bytes(whole)
    found = _parts(path, max_bytes, max_lines)
    pieces = [whole[start:end] for start, end, _ in found]
    assert b"".join(pieces) == whole
    assert all(piece.endswith(b"\n") and len(piece) <= max_bytes for piece in pieces)
    counts = [count for *_, count in found]
    assert counts == [piece.count(b"\n") for piece in pieces]
    assert max(counts) <= max_lines
    if len(whole) <= max_bytes and len(lengths) <= max_lines:
        assert len(found) == 1


def test_one_part_has_the_place_it_always_had(small_shop: SmallShop, tmp_path: Path) -> None:
    bucket, lines = small_shop.context.bucket, tmp_path / "lines.json"
    lines.write_bytes(b"a\nbb\nccc\n")
    (only,) = upload_parts(bucket, lines, lambda folder: f"{folder}in", max_bytes=9)
    assert (only.folder, only.lines, bucket.get("in")) == ("", 3, b"a\nbb\nccc\n")
    first, second = upload_parts(bucket, lines, lambda folder: f"{folder}in", max_bytes=8)
    assert [first.folder, second.folder] == part_folders(2) == ["1-of-2/", "2-of-2/"]
    assert (bucket.get("1-of-2/in"), bucket.get("2-of-2/in")) == (b"a\nbb\n", b"ccc\n")
    assert len({only.digest, first.digest, second.digest}) == 3
    assert lines.exists()
    with pytest.raises(FatalError, match="a line of more than 3 bytes"):
        upload_parts(bucket, lines, lambda folder: f"{folder}in", max_bytes=3)


def test_a_plan_of_an_earlier_release_is_one_job() -> None:
    former = {"job": "j", "input": "s3://b/i", "output": "s3://b/o/", "run": "r"}
    assert JobPart.all_of(former) == [JobPart("j", "s3://b/i", "s3://b/o/")]
    parts = [JobPart("a", "i", "o", 2), JobPart("b", "i2", "o2", 1)]
    assert JobPart.all_of({**former, **JobPart.plan(parts)}) == parts
