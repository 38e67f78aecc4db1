"""Rules about a whole export, its figures, and how it differs from earlier ones."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from check_runs import AT, HOUR, INTERACTIONS, ITEMS, USERS, Run, run

from recsync.program import DatasetType
from recsync.program.data import RULES
from recsync.program.intervals import Interval
from recsync.storage.hash_files import HashFile
from recsync.storage.hashes import Hashes, string_hashes

ITEM_TYPES = DatasetType.ITEMS
FULL = {"full": True, "interval": Interval.until(HOUR.end)}


def id_file(work: Path, hashes: Hashes) -> HashFile:
    return HashFile.write(work / "known.ids", [np.sort(hashes)])


def interactions(rows: int, users: int, *, events: tuple[str, ...] = ("buy",)) -> bytes:
    """Give rows that are all different; every user has as many."""
    return "".join(
        f"u{n % users},i{n % 40},{AT + n % 3600},{events[n % len(events)]},{n}\n" for n in range(rows)
    ).encode()


def full(work: Path, rows: int, users: int, **more: Any) -> Run:
    return run(work, interactions(rows, users), **FULL, **more)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [(DatasetType.INTERACTIONS, INTERACTIONS), (DatasetType.USERS, USERS), (DatasetType.ITEMS, ITEMS)],
)
def test_a_snapshot_without_rows_stops(
    tmp_path: Path, kind: DatasetType, fields: list[dict[str, Any]]
) -> None:
    found = run(tmp_path, b"", kind, **FULL)
    assert f"shop/{kind.folder}.sql returned no row" in (found.report.stop_message() or "")
    assert [column["name"] for column in found.report.to_json()["columns"]] == [f["name"] for f in fields]


@pytest.mark.parametrize(
    ("rows", "users", "rule", "words"),
    [
        (
            999,
            100,
            "min_interactions",
            "returned 999 interactions; Amazon Personalize trains on at least 1000",
        ),
        (1000, 24, "min_users", "24 users with at least 2 interactions"),
        (1000, 25, None, ""),
    ],
)
def test_a_snapshot_too_small_to_train_on_stops(
    tmp_path: Path, rows: int, users: int, rule: str | None, words: str
) -> None:
    found = full(tmp_path, rows, users)
    stopping = [one.rule for one in found.report.findings if one.level == "stop"]
    assert stopping == ([rule] if rule else [])
    assert words in (found.report.stop_message() or "")
    # An increment is added to what is there, so it may be as small as it likes.
    assert run(tmp_path / "increment", interactions(rows, users)).report.verdict == "passed"


def test_a_snapshot_of_users_who_come_once_stops(tmp_path: Path) -> None:
    once = "".join(f"once{n},i,{AT},buy,1\n" for n in range(2600)).encode()
    found = run(tmp_path, interactions(60, 26) + once, **FULL)
    assert "0.99% of 2626" in (found.report.stop_message() or "")


def test_what_is_recommended_is_noted(tmp_path: Path) -> None:
    found = full(tmp_path, 1200, 30)
    assert [(one.rule, one.level) for one in found.report.findings] == [
        ("recommended_interactions", "note"),
        ("recommended_users", "note"),
    ]
    assert found.report.verdict == "passed"


def test_duplicate_rows_count_once(tmp_path: Path) -> None:
    found = run(tmp_path, interactions(600, 30) * 2, **FULL, block_bytes=1000)
    assert found.finding("duplicate_rows")["rows"] == 600
    assert found.finding("duplicate_rows")["level"] == "warn"
    assert "returned 600 interactions" in (found.report.stop_message() or "")
    assert found.report.exported == 1200


@pytest.mark.parametrize(("known", "unknown"), [(["u0", "u1", "u2"], 700), (["u9", "x"], 900), ([], 1000)])
def test_users_unknown_to_the_users_dataset_are_counted_by_their_rows(
    tmp_path: Path, known: list[str], unknown: int
) -> None:
    users = {DatasetType.USERS: id_file(tmp_path, string_hashes(pa.array(known, pa.string())))}
    found = run(tmp_path, interactions(1000, 10), known=users)
    finding = found.finding("unknown_users")
    assert (finding["rows"], finding["share"], finding["level"]) == (unknown, unknown / 1000, "warn")
    assert found.finding("unknown_items") is None


def test_interactions_keep_the_ids_of_datasets_that_the_program_lacks(tmp_path: Path) -> None:
    found = run(tmp_path, interactions(1000, 10), kept_ids=frozenset({DatasetType.USERS}))
    kept = found.checks.write_ids()
    assert list(kept) == [DatasetType.USERS]
    users = np.sort(string_hashes(pa.array([f"u{n}" for n in range(10)])))
    assert np.array_equal(np.fromfile(kept[DatasetType.USERS], "<u8"), users)


def test_the_ids_of_an_items_export_are_known_to_interactions(tmp_path: Path) -> None:
    written = run(tmp_path / "items", b"i0,,,,,,\ni1,,,,,,\n", ITEM_TYPES).checks.write_ids()
    items = np.fromfile(written[ITEM_TYPES], "<u8")
    assert np.array_equal(items, np.sort(string_hashes(pa.array(["i0", "i1"]))))
    known, before = HashFile(written[ITEM_TYPES]), id_file(tmp_path, items[:1])
    found = run(tmp_path / "rows", interactions(40, 4), known={ITEM_TYPES: known}, known_items_before=before)
    assert found.finding("unknown_items")["rows"] == 38
    assert found.report.to_json()["figures"]["new_items_share"] == pytest.approx(39 / 40)


def test_too_many_categories_warn_and_are_counted_after_their_split(tmp_path: Path) -> None:
    rows = "".join(f"i{n},a{n}|b{n % 2},,,,,\n" for n in range(1001)).encode()
    found = run(tmp_path, rows, ITEM_TYPES, block_bytes=1000)
    assert "1003 different categories in CATEGORY" in found.finding("category_values")["text"]
    assert run(tmp_path / "fewer", rows[: rows.index(b"i998")], ITEM_TYPES).finding("category_values") is None


@pytest.mark.parametrize(
    ("category", "rule"),
    [
        *((word, "null_words") for word in ("None", "NULL", "nan", "NaN", "<NA>", "red|None", "N/A")),
        ('"{Action,""Sci-Fi""}"', "category_form"),
        ('"[""Action"", ""Sci-Fi""]"', "category_form"),
        ("['Action'; 'Sci-Fi']", "category_form"),
        ('"{""genre"": ""Action""}"', "category_form"),
        ("a||b", "category_form"),
        ("a|", "category_form"),
        ("Nonesuch|Nanny", None),
        ("(red)", None),
        ("red|blue", None),
    ],
)
def test_categories_that_look_like_a_mistake_warn(tmp_path: Path, category: str, rule: str | None) -> None:
    rows = f"i1,{category},,,,,\ni2,red,,,,,\ni3,{category},,,,,\n".encode() + b"".join(
        b"k%d,red,,,,,\n" % n for n in range(30)
    )
    found = run(tmp_path, rows, ITEM_TYPES, block_bytes=20)
    odd = [one for one in found.report.findings if one.rule in {"null_words", "category_form"}]
    assert [(one.rule, one.column, one.rows, one.level) for one in odd] == (
        [(rule, "CATEGORY", 2, "warn")] if rule else []
    )
    assert found.report.exported == 33


@pytest.mark.parametrize("word", ["None", "null", "NaN", "undefined"])
def test_ids_that_are_null_words_warn(tmp_path: Path, word: str) -> None:
    found = run(
        tmp_path / "a", interactions(400, 10) + f"{word},i1,{AT},buy,1\nu1,{word},{AT},buy,1\n".encode()
    )
    odd = [(one.column, one.rows) for one in found.report.findings if one.rule == "null_words"]
    assert odd == [("USER_ID", 1), ("ITEM_ID", 1)]
    items = run(tmp_path / "b", f"i1,,,,,,\n{word},,,,,,\n".encode(), ITEM_TYPES)
    assert (items.finding("null_words")["column"], items.finding("null_words")["rows"]) == ("ITEM_ID", 1)


def test_a_column_with_gaps_warns_and_one_without_values_too(tmp_path: Path) -> None:
    rows = "".join(f"i{n},red,,{'b' if n % 2 else ''},,,{n}\n" for n in range(10)).encode()
    found = run(tmp_path, rows, ITEM_TYPES)
    assert found.finding("completeness")["column"] == "BRAND"
    assert found.finding("completeness")["share"] == pytest.approx(0.5)
    empty = [one.column for one in found.report.findings if one.rule == "empty_column"]
    assert empty == ["DESCRIPTION", "CREATION_TIMESTAMP", "STOCK"]


def test_a_text_over_the_limit_of_the_service_warns(tmp_path: Path) -> None:
    rows = f"a,,{'d' * 20_001},,,,\nb,,{'é' * 20_000},,,,\n".encode()
    assert run(tmp_path, rows, ITEM_TYPES).finding("textual_length")["rows"] == 1


@pytest.mark.parametrize(
    ("metadata", "events", "stops"), [(0, 10, False), (0, 11, True), (2, 8, False), (2, 9, True)]
)
def test_event_types_and_metadata_together_are_limited(
    tmp_path: Path, metadata: int, events: int, stops: bool
) -> None:
    extra = [{"name": f"M{n}", "type": ["null", "string"]} for n in range(metadata)]
    rows = b"".join(f"a,x,{AT},e{n},1{',m' * metadata}\n".encode() for n in range(events))
    found = run(tmp_path, rows, fields=[*INTERACTIONS, *extra])
    assert (found.report.verdict == "stopped") is stops
    assert (
        f"{events} event types beside {metadata} metadata" in (found.report.stop_message() or "")
    ) is stops


def test_an_object_too_large_to_import_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsync.export.checks.dataset_rules.MAX_INCREMENT_BYTES", 100)
    assert "INCREMENTAL import" in (run(tmp_path, interactions(10, 2)).report.stop_message() or "")
    assert full(tmp_path / "full", 1000, 30).report.stop_message() is None


def test_thresholds_of_the_program_decide(tmp_path: Path) -> None:
    def verdict(name: str, limits: object) -> str:
        (tmp_path / name).mkdir()
        return full(tmp_path / name, 999, 100, checks={"rules": {"min_interactions": limits}}).report.verdict

    assert [verdict(word, word) for word in ("off", "note", "warn", "stop")] == [
        "passed",
        "passed",
        "warned",
        "stopped",
    ]
    assert verdict("limits", {"warn": 1, "stop": None}) == "passed"


def test_the_whole_report(tmp_path: Path) -> None:
    rows = f"b,x,{AT},buy,2.5\nb,y,{AT + 1},view,\na,x,{AT + 3599},view,-1\na,x,{AT},,1\n".encode()
    document = run(
        tmp_path, rows, checks={"rules": {"missing": "warn"}, "max_quarantined_share": 1}
    ).report.to_json()
    assert document == {
        "program": "shop",
        "dataset": "INTERACTIONS",
        "sql": "shop/interactions.sql",
        "start": "2026-11-22T05:00:00+00:00",
        "end": "2026-11-22T06:00:00+00:00",
        "full": False,
        "rows": 4,
        "exported": 3,
        "quarantined": 1,
        "verdict": "warned",
        "findings": [
            {
                "rule": "missing",
                "level": "warn",
                "column": "EVENT_TYPE",
                "rows": 1,
                "share": 0.25,
                "example": None,
                "text": "shop/interactions.sql returns 1 row(s) (25%) without EVENT_TYPE, which Amazon Personalize "
                "takes no row without. Leave such rows out, e.g. WHERE … IS NOT NULL.",
            },
        ],
        "columns": [
            {
                "name": "USER_ID",
                "type": "string",
                "nulls": 0,
                "distinct": 2,
                "smallest": None,
                "largest": None,
            },
            {
                "name": "ITEM_ID",
                "type": "string",
                "nulls": 0,
                "distinct": 2,
                "smallest": None,
                "largest": None,
            },
            {
                "name": "TIMESTAMP",
                "type": "long",
                "nulls": 0,
                "distinct": None,
                "smallest": str(AT),
                "largest": str(AT + 3599),
            },
            {
                "name": "EVENT_TYPE",
                "type": "string",
                "nulls": 0,
                "distinct": 2,
                "smallest": "buy",
                "largest": "view",
            },
            {
                "name": "EVENT_VALUE",
                "type": "float",
                "nulls": 1,
                "distinct": None,
                "smallest": "-1.0",
                "largest": "2.5",
            },
        ],
        "volume": {"bucket_seconds": 3600, "buckets": [{"start": AT, "rows": 3}]},
        "event_types": [{"event_type": "view", "rows": 2}, {"event_type": "buy", "rows": 1}],
        "history": [{"from": 1, "to": 1, "users": 1}, {"from": 2, "to": 2, "users": 1}],
        "figures": {
            "users": 2,
            "items": 2,
            "users_with_two_interactions": 1,
            "duplicate_rows": 0,
            "oldest": AT,
            "newest": AT + 3599,
            "new_items_share": None,
        },
        "drift": [],
        "quarantine": None,
    }


@pytest.mark.parametrize(
    ("days", "size"), [(10, 3600), (300, 86_400), (2000, 604_800), (16_000, 6 * 604_800)]
)
def test_volume_has_no_more_buckets_than_a_page_can_show(tmp_path: Path, days: int, size: int) -> None:
    step = days * 86_400 // 500
    rows = "".join(f"u,i,{AT - n * step},buy,{n}\n" for n in range(501)).encode()
    found = run(tmp_path, rows, **FULL, checks={"rules": {"min_interactions": "off", "min_users": "off"}})
    volume = found.report.to_json()["volume"]
    assert volume["bucket_seconds"] == size
    assert len(volume["buckets"]) <= 401
    assert sum(bucket["rows"] for bucket in volume["buckets"]) == 501
    assert volume["buckets"][0]["start"] <= AT - 500 * step < volume["buckets"][0]["start"] + size


def earlier(count: int, **more: Any) -> list[dict[str, Any]]:
    """Give reports of the hours before: 100 rows, half bought and half viewed, the newest 30 seconds old."""
    reports = []
    for n in range(1, count + 1):
        start, end = HOUR.start - timedelta(hours=n), HOUR.end - timedelta(hours=n)
        reports.append(
            {
                "start": start.isoformat(),
                "end": end.isoformat(),
                "full": False,
                "verdict": "passed",
                "exported": 100,
                "event_types": [{"event_type": "buy", "rows": 50}, {"event_type": "view", "rows": 50}],
                "figures": {"newest": int(end.timestamp()) - 30, "new_items_share": 0.1},
                **more,
            }
        )
    return reports


def hour(rows: int, *, newest: int = 3570, buys: int = 2) -> bytes:
    return "".join(
        f"u{n},i{n % 10},{AT + newest - n % 60},{'buy' if n % buys == 0 else 'view'},1\n" for n in range(rows)
    ).encode()


BEFORE = np.sort(string_hashes(pa.array([f"i{n}" for n in range(9)])))


@pytest.mark.parametrize(
    ("rows", "before", "figures"),
    [
        (hour(100), BEFORE, []),
        (hour(60), BEFORE, []),
        (hour(40), BEFORE, ["volume"]),
        (hour(300), BEFORE, ["volume"]),
        (b"", BEFORE, ["volume"]),
        (hour(100, buys=1), BEFORE, ["event_mix"]),
        (hour(100, newest=1000), BEFORE, ["freshness"]),
        (hour(100), BEFORE[:3], ["new_items"]),
        (hour(100), None, []),
    ],
)
def test_drift_from_the_exports_before_warns(
    tmp_path: Path, rows: bytes, before: np.ndarray | None, figures: list[str]
) -> None:
    known = None if before is None else id_file(tmp_path, before)
    found = run(tmp_path / "a", rows, history=earlier(3), known_items_before=known).report
    assert [one.figure for one in found.drift] == figures
    assert found.verdict == ("warned" if figures else "passed")
    assert all((one.runs, one.level) == (3, "warn") for one in found.drift)
    assert run(tmp_path / "b", rows, history=earlier(2), known_items_before=known).report.drift == ()


@pytest.mark.parametrize(
    "other", [{"full": True}, {"verdict": "stopped"}, {"start": (HOUR.start - timedelta(days=9)).isoformat()}]
)
def test_only_like_exports_are_compared(tmp_path: Path, other: dict[str, Any]) -> None:
    assert run(tmp_path, hour(5), history=earlier(5, **other)).report.drift == ()


def test_drift_may_stop_an_export(tmp_path: Path) -> None:
    found = run(tmp_path, hour(5), history=earlier(5), checks={"drift": {"volume": {"stop": 10}}}).report
    assert "5 rows where 100 are usual" in (found.stop_message() or "")


def test_every_rule_is_tried_by_some_test() -> None:
    here = Path(__file__).parent
    files = [*here.glob("test_*.py"), here.parents[1] / "program" / "test_data.py"]
    tests = "".join(file.read_text() for file in files)
    named_by_words = {"no_rows", "min_user_share", "event_columns", "object_size"}
    assert {rule for rule in RULES if f'"{rule}"' not in tests} <= named_by_words
