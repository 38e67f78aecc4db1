"""Blocks of rows through all checks: rules that are off, the quarantine, limits on bad rows, messages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from check_runs import AT, HOUR, run

GOOD = f"a,x,{AT},buy,1.5\n".encode()
GOOD_ITEM = b"x,red|blue,a shirt,acme,1700000000,3,9.99\n"

REPO = Path(__file__).resolve().parents[4]
HEAVY = {
    "duckdb", "pandas", "polars", "pyarrow.compute", "pyarrow.dataset", "pyarrow.parquet", "scipy", "sqlglot",
}  # fmt: skip
# pyarrow imports pandas where an array is made of Python's values.
EXPORT = """
import sys
sys.path[:0] = ["plugins", "tests/recsync/export/checks"]
from pathlib import Path
import pyarrow, recsync.export.dataset, recsync.warehouse.hooks.postgres
allocated = pyarrow.default_memory_pool().max_memory()
from check_runs import AT, run
rows = "".join(f"u-{n},ITEM-{n},{AT},BUY,{'' if n % 2 else n}\\n" for n in range(100))
print(run(Path(sys.argv[1]), rows.encode()).report.quarantined, allocated, *sys.modules)
"""


def test_an_export_without_broken_rows_imports_no_heavy_library(tmp_path: Path) -> None:
    command = [sys.executable, "-c", EXPORT, str(tmp_path)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    quarantined, allocated, *modules = done.stdout.split("\n")[-2].split()
    assert (quarantined, allocated, sorted(HEAVY.intersection(modules))) == ("0", "0", [])


def test_a_rule_that_is_off_lets_rows_pass(tmp_path: Path) -> None:
    rows = f"a,x,{AT}000,buy,1\nUSER_ID,x,{AT},buy,1\n".encode()
    rules = {"timestamp_unit": "off", "timestamp_range": "off", "keyword": "off"}
    found = run(tmp_path, rows, checks={"rules": rules})
    assert (found.exported, found.report.verdict) == (rows, "passed")


def test_the_quarantine_is_capped_and_the_report_counts_all_rows(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("recsync.export.checks.report.MAX_KEPT_ROWS", 5)
    found = run(tmp_path, b",x,1,buy,1\n" * 7 + GOOD, block_bytes=30)
    assert (len(found.quarantine), found.report.quarantined) == (5, 7)
    assert found.finding("missing")["rows"] == 7


def test_max_quarantined_share_counts_the_rows_of_all_rules(tmp_path: Path) -> None:
    rows = GOOD * 180 + (b",x,1,buy,1\n" + f"a,x,{AT},buy,x\n".encode()) * 1
    lenient = {"missing": "warn", "type": "warn"}
    assert (
        run(tmp_path / "some", rows, checks={"rules": lenient, "max_quarantined_share": 0.02}).report.verdict
        == "warned"
    )
    found = run(tmp_path / "many", rows, checks={"rules": lenient}).report
    assert found.verdict == "stopped"
    assert "max_quarantined_share (0.01)" in (found.stop_message() or "")


def test_tolerated_rows_do_not_stop_an_export_unless_the_rule_allows_none(tmp_path: Path) -> None:
    bad, outside = b",x,1,buy,1\n", f"a,x,{AT - 86_400},buy,1\n".encode()
    found = run(tmp_path / "few", bad * 3 + GOOD, checks={"tolerated_rows": 3}).report
    assert (found.verdict, found.quarantined) == ("warned", 3)
    assert run(tmp_path / "more", bad * 4 + GOOD, checks={"tolerated_rows": 3}).report.verdict == "stopped"
    assert run(tmp_path / "outside", outside + GOOD, checks={"tolerated_rows": 3}).report.verdict == "stopped"


def test_messages_contain_no_record_content(tmp_path: Path) -> None:
    rows = f'"jane@example.com""",x,{AT},buy,1\njane@example.com,x,{AT},buy,1,2\n'.encode()
    report = run(tmp_path, rows).report
    assert "jane" not in (report.stop_message() or "jane")
    assert any("jane" in (finding["example"] or "") for finding in report.to_json()["findings"])


def test_the_stop_message_lists_all_reasons(tmp_path: Path) -> None:
    message = run(tmp_path, f",x,{AT},buy,1\na,x,{AT}000,buy,1\n".encode()).report.stop_message() or ""
    assert "without USER_ID" in message
    assert "milliseconds" in message


def test_an_interval_without_rows_is_sound(tmp_path: Path) -> None:
    found = run(tmp_path, b"")
    assert (found.report.verdict, found.report.rows, found.exported) == ("passed", 0, b"")
    assert HOUR.start.isoformat() == found.report.to_json()["start"]
