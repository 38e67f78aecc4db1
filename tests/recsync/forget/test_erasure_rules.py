from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.forget import erasure_rules
from recsync.forget.erasure_rules import Redaction, RowCounts, redaction_of
from recsync.forget.people import Identity, People

ANN = People({"1": Identity('a"n,n', ("b-7",)), "2": Identity("zoe")})


def test_csv_rows_of_the_person_are_removed_in_the_dialect_of_personalize() -> None:
    kept = b'ITEM_ID,USER_ID\ni1,an\ni2,"a\\"n,nn"\n"a\\"n,n",bob\n"two\nlines",bob\n'
    text = kept + b'i3,"a\\"n,n"\n"i,\n4","a\\"n,n"\ni5,zoe\n'
    counted = RowCounts()
    # Cut anywhere, also inside a row.
    blocks = [text[n : n + 7] for n in range(0, len(text), 7)]
    assert b"".join(erasure_rules.csv_without(blocks, ANN, counted)) == kept
    assert (counted.kept, counted.removed) == (5, {"1": 2, "2": 1})


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ({"input": {"userId": 'a"n,n'}, "output": {"recommendedItems": ["i"]}}, None),
        # An item may have the id of a person.
        ({"input": {"itemId": "b-7"}, "output": {"recommendedUsers": ["x", 'a"n,n']}},
         {"input": {"itemId": "b-7"}, "output": {"recommendedUsers": ["x"]}}),
        ({"input": {"itemId": "b-7"}, "output": {"usersList": ["x", 'a"n,n']}},
         {"input": {"itemId": "b-7"}, "output": {"usersList": ["x"]}}),
        ({"name": "USER_ID", "smallest": 'a"n,n'}, {"name": "USER_ID", "smallest": "erased"}),
        ({"name": "PRICE", "smallest": 'a"n,n'}, {"name": "PRICE", "smallest": 'a"n,n'}),
        ({"rule": "type", "values": {"USER_ID": 'a"n,n', "ITEM_ID": "i"}}, None),
        ({"reason": "bad", "object": {"external_id": "b-7", "recs": []}}, None),
        ({"reason": "bad", "object": '{"external_id": "b-7"}'}, None),
        ({"reason": "b-7 is not known, b-77 is"}, {"reason": "erased is not known, b-77 is"}),
    ],
)  # fmt: skip
def test_a_json_document_loses_the_person_and_keeps_the_rest(line: Any, left: Any) -> None:
    assert erasure_rules.document_without(line, ANN) == (left, {"1"} if line != left else set())


def test_a_sample_loses_the_persons_payload_only() -> None:
    sample = [{"part": "rest", "object": {"external_id": person}} for person in ("b-7", "b-8")]
    assert erasure_rules.document_without(sample, ANN) == (sample[1:], {"1"})


@pytest.mark.parametrize("error", [b"null", b'"no data"'])
def test_lines_of_a_job_are_removed_and_others_keep_their_bytes(error: bytes) -> None:
    """The fast reader takes lines without an error, the other one the rest."""
    form = b'{"input":{"userId":"%b"},"output":{"recommendedItems":["zoe"],"scores":[0.5]},"error":%b}\n'
    lines = [form % (who, error) for who in (b"zo", b"zoe", b"zo\xc3\xa9", b"zoe")]
    counted = RowCounts()
    text = b"".join(lines)
    blocks = [text[n : n + 50] for n in range(0, len(text), 50)]
    assert b"".join(erasure_rules.json_without(blocks, ANN, counted)) == lines[0] + lines[2]
    assert (counted.kept, counted.removed) == (2, {"2": 2})


@pytest.mark.parametrize(
    "form", [b'{"userId":"%b"}\n', b'{"userId": "%b"}\n', b'{"userId":"%b","filterValues":{}}\n']
)
def test_lines_that_ask_for_somebody_are_removed(form: bytes) -> None:
    """Only the first form has a fast reader."""
    lines = [form % who for who in (b"zo", b"zoe", b'a\\"n,n', b"zo\xc3\xa9")]
    for asked in (lines, [lines[0], lines[1], lines[3]]):
        counted = RowCounts()
        assert b"".join(erasure_rules.json_without([b"".join(asked)], ANN, counted)) == lines[0] + lines[3]
        assert counted.removed == ({"2": 1, "1": 1} if asked is lines else {"2": 1})
        fast = erasure_rules.users_of_lines(b"".join(asked))
        assert (fast is not None) == (form.endswith(b'"}\n') and b": " not in form and asked is not lines)


def test_a_line_that_is_no_json_loses_the_id() -> None:
    counted = RowCounts()
    lines = erasure_rules.json_without([b"not of zoe {\nof bob {"], ANN, counted)
    assert b"".join(lines) == b'"not of erased {"\nof bob {\n'
    assert (counted.kept, counted.removed) == (2, {"2": 1})


def test_parquet_rows_are_removed_or_keep_their_positions_without_content(tmp_path: Path) -> None:
    source, target = tmp_path / "source.parquet", tmp_path / "target.parquet"
    table = pa.table(
        {
            "external_id": ["b-6", "b-7", "b-8"],
            "outcome": ["sent"] * 3,
            "reason": [None, "b-7!", None],
            "object": [b"6", b"7", b"8"],
        }
    )
    pq.write_table(table, source, row_group_size=2)

    assert erasure_rules.parquet_without(source, target, ANN).removed == {"1": 1}
    assert pq.read_table(target)["external_id"].to_pylist() == ["b-6", "b-8"]

    assert erasure_rules.parquet_without(source, target, ANN, stand_in="erased").kept == 3
    assert pq.read_table(target).to_pylist()[1] == {
        "external_id": "erased-1", "outcome": "sent", "reason": "", "object": b"{}"
    }  # fmt: skip


def test_a_parquet_file_without_the_person_is_not_written(tmp_path: Path) -> None:
    source, target = tmp_path / "source.parquet", tmp_path / "target.parquet"
    pq.write_table(pa.table({"item_id": ["b-7"]}), source)
    assert not erasure_rules.parquet_without(source, target, ANN).removed
    assert not target.exists()


@pytest.mark.parametrize(
    ("key", "redaction"),
    [
        ("shop/exports/interactions/2026-11-22T0500Z.csv", Redaction.ROWS),
        ("shop/exports/manifests/2026-11-22T0500Z.json", Redaction.DOCUMENT),
        ("shop/full/r/reports/users.html", Redaction.PAGE),
        ("shop/full/r/staging/users/0000_part_00.gz", Redaction.WHOLE),
        ("shop/exports/ids/users/2026-11-22T0500Z.u64", Redaction.HASHES),
        ("shop/exports/imported/items/2026-11-22T0500Z.5e4ae6e5.u64", Redaction.HASHES),
        ("shop/batch/r/output/users.json.out.gz", Redaction.LINES),
        ("shop/deliveries/d/writes/rest.parquet", Redaction.STAND_IN),
        ("shop/state/last_sent/00000001-d.parquet", Redaction.TABLE),
        ("shop/erasure/0123/request.json", None),
        ("shop/state/erasure-index.parquet", None),
    ],
)
def test_every_key_has_its_redaction(key: str, redaction: Redaction | None) -> None:
    assert redaction_of("shop", key) is redaction
