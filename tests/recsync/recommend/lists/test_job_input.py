"""The lines that jobs are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.errors import FatalError
from recsync.recommend.lists import job_input
from recsync.recommend.lists.audience import AUDIENCE
from recsync.storage.duck import opened


def people(folder: Path, *users: str) -> Path:
    rows = [{"user_id": user, "external_id": user} for user in users]
    pq.write_table(pa.Table.from_pylist(rows, schema=AUDIENCE), folder / "audience.parquet")
    return folder / "audience.parquet"


def batches(*rows: tuple[str | None, ...]) -> list[pa.RecordBatch]:
    """Rows of texts, two in a batch."""
    names = ["item_id"] if len(rows[0]) == 1 else ["user_id", "item_id"]
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return pa.Table.from_arrays(columns, names).to_batches(max_chunksize=2)


def pairs(folder: Path, rows: list[tuple[str, ...]]) -> Path:
    assert job_input.write_pairs(batches(*rows), folder / "pairs.parquet", name="q.sql") == len(rows)
    return folder / "pairs.parquet"


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_seeds_are_those_of_the_audience_in_the_querys_order_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_input, "MAX_SEEDS", 2)
    found = pairs(tmp_path, [("b", "z"), ("a", "y"), ("b", "y"), ("b", "z"), ("b", "x"), ("other", "w")])
    with opened(tmp_path) as connection:
        audience, seeds = people(tmp_path, "a", "b", "c"), tmp_path / "seeds.parquet"
        assert job_input.write_seeds(connection, found, audience, seeds) == 2
        job_input.write_item_lines(connection, seeds, tmp_path / "lines.json")
    assert [tuple(row.values()) for row in pq.read_table(seeds).to_pylist()] == [
        ("a", "y", 0),
        ("b", "z", 0),
        ("b", "y", 1),
    ]
    assert lines(tmp_path / "lines.json") == [{"itemId": "y"}, {"itemId": "z"}]


@pytest.mark.parametrize("rows_per_part", [1, 1_000_000])
def test_each_user_has_an_own_list_to_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_per_part: int
) -> None:
    monkeypatch.setattr(job_input, "_ROWS_PER_PART", rows_per_part)
    found = pairs(tmp_path, [("b", "z"), ("a", 'y"'), ("b", "x"), ("b", "z"), ("other", "w")])
    with opened(tmp_path) as connection:
        audience = people(tmp_path, "a", "b", "c")
        written = job_input.write_ranking_lines(
            connection, found, audience, tmp_path / "lines.json", tmp_path / "asked.parquet", name="q.sql"
        )
    assert written == 2
    assert pq.read_table(tmp_path / "asked.parquet")["user_id"].to_pylist() == ["a", "b"]
    assert sorted(lines(tmp_path / "lines.json"), key=lambda line: line["userId"]) == [
        {"userId": "a", "itemList": ['y"']},
        {"userId": "b", "itemList": ["z", "x"]},
    ]


def test_a_list_without_users_is_ranked_for_everybody(tmp_path: Path) -> None:
    with opened(tmp_path) as connection:
        audience, found = people(tmp_path, "b", "a", "b"), pairs(tmp_path, [("z",), ("x",), ("z",)])
        job_input.write_ranking_lines(
            connection, found, audience, tmp_path / "lines.json", tmp_path / "asked", name="q.sql"
        )
    assert lines(tmp_path / "lines.json") == [{"userId": user, "itemList": ["z", "x"]} for user in "ab"]


def test_lists_that_cannot_be_ranked_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as connection:
        audience, target = people(tmp_path, "a"), tmp_path / "lines.json"
        many = pairs(tmp_path, [("a", str(n)) for n in range(501)])
        with pytest.raises(
            FatalError, match="returns 501 items for one list; Amazon Personalize ranks at most 500"
        ):
            job_input.write_ranking_lines(
                connection, many, audience, target, tmp_path / "asked", name="q.sql"
            )
    other = pairs(tmp_path, [("other", "x")])
    nobody = pytest.raises(FatalError, match="no candidate for anybody of the audience")
    with opened(tmp_path) as connection, nobody:
        job_input.write_ranking_lines(connection, other, audience, target, tmp_path / "asked", name="q.sql")
    with pytest.raises(FatalError, match="returns a row without user_id or item_id"):
        job_input.write_pairs(batches(("a", None)), tmp_path / "x.parquet", name="q.sql")


@pytest.mark.parametrize(("attributes", "most"), [(False, 500), (True, 10)])
def test_a_segment_job_takes_so_many_questions(tmp_path: Path, attributes: bool, most: int) -> None:
    target = tmp_path / "segments.parquet"
    rows = [(str(n), "item") if attributes else (str(n),) for n in range(most + 1)]
    job_input.write_segments(rows[:most], target, attributes=attributes, name="s.sql")
    with opened(tmp_path) as connection:
        job_input.write_segment_lines(connection, target, tmp_path / "lines.json", attributes=attributes)
    key = "itemAttributes" if attributes else "itemId"
    assert lines(tmp_path / "lines.json") == [{key: str(n)} for n in range(most)]
    for wrong in (rows, []):
        with pytest.raises(FatalError, match=rf"returns {len(wrong)} .*takes 1 to {most}"):
            job_input.write_segments(wrong, target, attributes=attributes, name="s.sql")
