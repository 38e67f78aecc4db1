"""A catalog of broken inputs: the rule that each row breaks, one line each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from check_runs import AT, INTERACTIONS, run

from recsync.program import DatasetType

GOOD = f"a,x,{AT},buy,1.5\n".encode()
GOOD_ITEM = b"x,red|blue,a shirt,acme,1700000000,3,9.99\n"
LONG = 2**63

# What a row of interactions is, which rule and column it breaks (None: it is exported), what its example shows.
INTERACTION_CASES: dict[str, tuple[bytes | str, tuple[str, str | None] | None]] = {
    "user null": (f",x,{AT},buy,1", ("missing", "USER_ID")),
    "item null": (f"a,,{AT},buy,1", ("missing", "ITEM_ID")),
    "time null": ("a,x,,buy,1", ("missing", "TIMESTAMP")),
    "event type null": (f"a,x,{AT},,1", ("missing", "EVENT_TYPE")),
    "event type empty": (f'a,x,{AT},"",1', ("missing", "EVENT_TYPE")),
    "value null": (f"a,x,{AT},buy,", None),
    "value empty": (f'a,x,{AT},buy,""', None),
    "user empty": (f'"",x,{AT},buy,1', ("id_empty", "USER_ID")),
    "item empty": (f'a,"",{AT},buy,1', ("id_empty", "ITEM_ID")),
    "user of 256": (f"{'u' * 256},x,{AT},buy,1", None),
    "user of 257": (f"{'u' * 257},x,{AT},buy,1", ("id_length", "USER_ID")),
    "user of 256 letters, 512 bytes": (f"{'é' * 256},x,{AT},buy,1", None),
    "user of 257 letters": (f"{'é' * 257},x,{AT},buy,1", ("id_length", "USER_ID")),
    "quote in user": (f'"a""b",x,{AT},buy,1', ("id_characters", "USER_ID")),
    "newline in user": (f'"a\nb",x,{AT},buy,1', ("id_characters", "USER_ID")),
    "return in item": (f'a,"x\r\ny",{AT},buy,1', ("id_characters", "ITEM_ID")),
    "tab in item": (f"a,x\ty,{AT},buy,1", ("id_characters", "ITEM_ID")),
    "delete in item": (f"a,x\x7fy,{AT},buy,1", ("id_characters", "ITEM_ID")),
    "C1 control in item": (f"a,x\x85y,{AT},buy,1", ("id_characters", "ITEM_ID")),
    "byte order mark in user": (f"a\ufeff,x,{AT},buy,1", ("id_characters", "USER_ID")),
    "byte order mark before user": (f"\ufeffa,x,{AT},buy,1", ("id_characters", "USER_ID")),
    "comma in user": (f'"a,b",x,{AT},buy,1', None),
    "space in user": (f"a b,x,{AT},buy,1", None),
    "accents in user": (f"zoë,x,{AT},buy,1", None),
    "backslash in user": (f"a\\b,x,{AT},buy,1", None),
    "NUL in event type": (f"a,x,{AT},b\0y,1", ("encoding", "EVENT_TYPE")),
    "Latin-1 in user": (b"zo\xeb,x,%d,buy,1" % AT, ("encoding", "USER_ID")),
    "cut UTF-8 in event type": (b"a,x,%d,b\xc3,1" % AT, ("encoding", "EVENT_TYPE")),
    "UTF-8 surrogate in item": (b"a,\xed\xa0\x80,%d,buy,1" % AT, ("encoding", "ITEM_ID")),
    "four cells": (f"a,x,{AT},buy", ("cells", None)),
    "six cells": (f"a,x,{AT},buy,1,2", ("cells", None)),
    "empty line": ("", ("cells", None)),
    "return in the middle": (f"a,x\ry,{AT},buy,1", ("cells", None)),
    "text after a closing quote": (f'"a"b,x,{AT},buy,1', ("cells", None)),
    "quotes within a value": (f'a "b" c,x,{AT},buy,1', ("cells", None)),
    "CR LF": (f"a,x,{AT},buy,1\r", None),
    "word as time": ("a,x,yesterday,buy,1", ("type", "TIMESTAMP")),
    "date as time": ("a,x,2026-11-22 05:00:00,buy,1", ("type", "TIMESTAMP")),
    "decimal time": (f"a,x,{AT}.5,buy,1", ("type", "TIMESTAMP")),
    "exponent as time": ("a,x,1.7e9,buy,1", ("type", "TIMESTAMP")),
    "hexadecimal time": (f"a,x,{hex(AT)},buy,1", ("type", "TIMESTAMP")),
    "spaces around time": (f"a,x, {AT},buy,1", ("type", "TIMESTAMP")),
    "time beyond 64 bits": (f"a,x,{LONG},buy,1", ("type", "TIMESTAMP")),
    "19 digits that fit": (f"a,x,{LONG - 1},buy,1", ("timestamp_unit", "TIMESTAMP")),
    "quoted time": (f'a,x,"{AT}",buy,1', None),
    "milliseconds": (f"a,x,{AT}000,buy,1", ("timestamp_unit", "TIMESTAMP")),
    "microseconds": (f"a,x,{AT}000000,buy,1", ("timestamp_unit", "TIMESTAMP")),
    "nanoseconds": (f"a,x,{AT}000000000,buy,1", ("timestamp_unit", "TIMESTAMP")),
    "days": (f"a,x,{AT // 86400},buy,1", ("timestamp_unit", "TIMESTAMP")),
    "zero": ("a,x,0,buy,1", ("timestamp_positive", "TIMESTAMP")),
    "negative": (f"a,x,-{AT},buy,1", ("timestamp_positive", "TIMESTAMP")),
    "a second before": (f"a,x,{AT - 1},buy,1", ("timestamp_range", "TIMESTAMP")),
    "the first second": (f"a,x,{AT},buy,1", None),
    "the last second": (f"a,x,{AT + 3599},buy,1", None),
    "a second after": (f"a,x,{AT + 3600},buy,1", ("timestamp_range", "TIMESTAMP")),
    "word as value": (f"a,x,{AT},buy,cheap", ("type", "EVENT_VALUE")),
    "NaN": (f"a,x,{AT},buy,NaN", ("type", "EVENT_VALUE")),
    "Infinity": (f"a,x,{AT},buy,Infinity", ("type", "EVENT_VALUE")),
    "inf": (f"a,x,{AT},buy,-inf", ("type", "EVENT_VALUE")),
    "beyond a float": (f"a,x,{AT},buy,1e39", ("type", "EVENT_VALUE")),
    "beyond a double": (f"a,x,{AT},buy,1e999", ("type", "EVENT_VALUE")),
    "decimal comma": (f'a,x,{AT},buy,"1,5"', ("type", "EVENT_VALUE")),
    "exponent as value": (f"a,x,{AT},buy,-1.5e3", None),
    "key word as user": (f"USER_ID,x,{AT},buy,1", ("keyword", "USER_ID")),
    "key word as event type": (f"a,x,{AT},EVENT_TYPE,1", ("keyword", "EVENT_TYPE")),
    "key word within a value": (f"MY_USER_ID,x,{AT},buy,1", None),
    "a header line": ("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE", ("type", "TIMESTAMP")),
    "event type of 1000": (f"a,x,{AT},{'e' * 1000},1", None),
    "event type of 1001": (f"a,x,{AT},{'e' * 1001},1", ("text_length", "EVENT_TYPE")),
}
ITEM_CASES: dict[str, tuple[str, tuple[str, str | None] | None]] = {
    "all null": ("y,,,,,,", None),
    "category of 1000 in parts": (f"y,{'|'.join(['c' * 1000] * 2)},,,,,", None),
    "category of 1001": (f"y,red|{'c' * 1001},,,,,", ("category_length", "CATEGORY")),
    "quote pairs": ('y,,"size 10"" ""wide""",,,,', None),
    "only quotes": ('y,,"""",,,,', None),
    "backslash and newline": ('y,,"a\\b\nc",,,,', None),
    "description of 30,000": (f"y,,{'d' * 30_000},,,,", None),
    "brand of 1001": (f"y,,,{'b' * 1001},,,", ("text_length", "BRAND")),
    "int at its end": (f"y,,,,,{2**31 - 1},", None),
    "int beyond 32 bits": (f"y,,,,,{2**31},", ("type", "STOCK")),
    "int below 32 bits": (f"y,,,,,{-(2**31) - 1},", ("type", "STOCK")),
    "creation in milliseconds": ("y,,,,1700000000000,,", ("timestamp_unit", "CREATION_TIMESTAMP")),
    "creation of zero": ("y,,,,0,,", ("timestamp_positive", "CREATION_TIMESTAMP")),
    "creation in the future": (f"y,,,,{AT * 2},,", None),
    "double beyond a float": ("y,,,,,,1e300", None),
    "description of over 1 MiB": (f"y,,{'d' * 2_000_000},,,,", ("value_length", "DESCRIPTION")),
    "description of 130,000": (f"y,,{'d' * 130_000},,,,", None),
    "brand of over 1 MiB": (f"y,,,{'é' * 600_000},,,", ("value_length", "BRAND")),
    "id of over 1 MiB": (f"{'y' * 1_100_000},,,,,,", ("value_length", "ITEM_ID")),
    "JSON of over 1 MiB": ('y,,"' + '{""a"": 1},' * 200_000 + '",,,,', ("value_length", "DESCRIPTION")),
    "same id": ("x,,,,,,", ("duplicate_id", "ITEM_ID")),
    "same id in other case": ("X,,,,,,", None),
}
LENIENT = {"rules": {"timestamp_range": "warn"}, "max_quarantined_share": 1}


@pytest.mark.parametrize("case", INTERACTION_CASES)
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "among good rows"])
def test_interactions(tmp_path: Path, case: str, alone: bool) -> None:
    text, broken = INTERACTION_CASES[case]
    row = (text if isinstance(text, bytes) else text.encode()) + b"\n"
    around = b"" if alone else GOOD * 3
    # The mark at the very beginning of a stream belongs to the stream.
    before = GOOD if alone and row.startswith(b"\xef\xbb\xbf") else around
    check(tmp_path, DatasetType.INTERACTIONS, before, row, around, broken)


@pytest.mark.parametrize("case", ITEM_CASES)
def test_items(tmp_path: Path, case: str) -> None:
    text, broken = ITEM_CASES[case]
    check(tmp_path, DatasetType.ITEMS, GOOD_ITEM, text.encode() + b"\n", b"z,,,,,,\n", broken)


def check(
    work: Path,
    kind: DatasetType,
    before: bytes,
    row: bytes,
    after: bytes,
    broken: tuple[str, str | None] | None,
) -> None:
    found = run(work, before + row + after, kind)
    good = before.count(b"\n") + after.count(b"\n")
    if broken is None:
        assert found.quarantine == []
        assert found.report.verdict in {"passed", "warned"}
        assert found.report.exported == len(found.rows) == good + 1
        return
    rule, column = broken
    assert found.exported == before + after
    assert (found.report.rows, found.report.exported, found.report.quarantined) == (good + 1, good, 1)
    (line,) = found.quarantine
    assert (line["rule"], line["column"], line["row"]) == (rule, column, before.count(b"\n") + 1)
    finding = found.finding(rule)
    assert (finding["column"], finding["rows"], finding["share"]) == (column, 1, 1 / (good + 1))
    assert finding["level"] == "stop"
    assert finding["text"].startswith(f"shop/{kind.folder}.sql returns 1 row(s) (")
    assert column is None or column in finding["text"]
    assert finding["text"] in (found.report.stop_message() or "")
    # Above the thresholds of the program, the same row only warns.
    again = (
        run(work / "lenient", GOOD * 200 + row, checks=LENIENT) if kind is DatasetType.INTERACTIONS else None
    )
    if again:
        assert (again.report.verdict, again.report.stop_message()) == ("warned", None)
        assert again.exported == GOOD * 200


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (f"{AT}000", "looks like milliseconds.*divide by 1000"),
        (f"{AT}000000", "looks like microseconds.*divide by 1000000"),
        (f"{AT}000000000", "looks like nanoseconds.*divide by 1000000000"),
        (f"{AT // 60}", "larger than seconds"),
        (f"{AT + 3600}", r"outside the interval \[2026-11-22T05:00:00\+00:00, 2026-11-22T06:00:00\+00:00\)"),
    ],
)
def test_the_message_about_a_time_names_the_unit_and_what_to_do_and_not_the_value(
    tmp_path: Path, value: str, words: str
) -> None:
    report = run(tmp_path, f"a,x,{value},buy,1\n".encode()).report
    message = report.stop_message() or ""
    assert re.search(words, message)
    assert value not in message
    assert [finding.example for finding in report.findings if finding.example] == [value]
    assert "TIMESTAMP" in message


def test_a_row_is_counted_once_for_its_first_rule(tmp_path: Path) -> None:
    found = run(tmp_path, b",x,yesterday,,NaN\n" + GOOD)
    assert found.rules == [("missing", "USER_ID")]
    assert found.quarantine[0]["values"] == {
        "USER_ID": None,
        "ITEM_ID": "x",
        "TIMESTAMP": "yesterday",
        "EVENT_TYPE": None,
        "EVENT_VALUE": "NaN",
    }


def test_rows_chosen_by_their_ingestion_may_be_older_but_not_from_the_future(tmp_path: Path) -> None:
    rows = f"a,x,{AT - 90_000},buy,1\na,x,{AT + 3600},buy,1\na,x,{AT + 3601},buy,1\n".encode()
    found = run(tmp_path, rows, select_by="ingestion_time")
    assert [(line["rule"], line["row"]) for line in found.quarantine] == [("timestamp_range", 3)]


def test_the_second_row_of_an_id_is_left_out_across_blocks(tmp_path: Path) -> None:
    rows = [f"u{n % 40},{n}\n".encode() for n in range(100)]
    found = run(tmp_path, b"".join(rows), DatasetType.USERS, block_bytes=50)
    assert found.exported == b"".join(rows[:40])
    assert {line["rule"] for line in found.quarantine} == {"duplicate_id"}
    assert [line["row"] for line in found.quarantine] == list(range(41, 101))
    assert [path.stat().st_size for path in found.checks.write_ids().values()] == [40 * 8]


def test_a_byte_order_mark_of_the_stream_is_dropped(tmp_path: Path) -> None:
    found = run(tmp_path, b"\xef\xbb\xbf" + GOOD)
    assert (found.exported, found.quarantine) == (GOOD, [])


@pytest.mark.parametrize(
    ("impression", "broken"),
    [("i" * 1000 + "|" + "j" * 1000, []), ("j|" + "i" * 1001, ["impression_length"])],
)
def test_impressions_are_measured_after_their_split(
    tmp_path: Path, impression: str, broken: list[str]
) -> None:
    fields = [*INTERACTIONS, {"name": "IMPRESSION", "type": ["null", "string"]}]
    found = run(tmp_path, f"a,x,{AT},buy,1,{impression}\n".encode(), fields=fields)
    assert [rule for rule, _ in found.rules] == broken
