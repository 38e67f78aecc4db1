"""The pages about exports, from reports as exports store them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import report_samples as samples

REPORTS, MODELS = "/recsync/reports", "/recsync/models"
KEY = "grocery/exports/reports/interactions/2025-11-15T0000Z.json"
PAGE = f"{REPORTS}/{KEY.removesuffix('.json')}"
ADDRESSES = [REPORTS, f"{REPORTS}/grocery", PAGE]


@pytest.fixture
def report(put):
    put(KEY, samples.interactions())


def test_a_viewer_reads_a_report(visit, report):
    answer = visit(PAGE)
    assert answer.status_code == 200
    assert "696,067" in answer.text
    assert f'<a href="/airflow{REPORTS}/grocery">grocery</a>' in answer.text


def test_the_lists_lead_to_the_newest_reports(visit, put):
    for hour in range(8):
        interval = {
            "start": f"2025-11-15T{hour:02d}:00:00+00:00",
            "end": f"2025-11-15T{hour + 1:02d}:00:00+00:00",
        }
        put(
            f"grocery/exports/reports/interactions/2025-11-15T{hour:02d}00Z.json",
            samples.stopped() | interval,
        )
    put("grocery/full/20251116T000000-0a1b2c3d/reports/users.json", samples.users())
    overview, of_program = visit(REPORTS).text, visit(f"{REPORTS}/grocery").text
    for text, count in ((overview, 6), (of_program, 9)):
        links = re.findall(r'href="/airflow(/recsync/reports/grocery/[^"]+)"', text)
        assert len(links) == count
        assert {visit(link).status_code for link in (links[0], links[-1])} == {200}
        assert text.count("Stopped") == count - 1
    assert "full, until 2025-11-29 00:00:00 UTC" in overview
    assert "2025-11-15 07:00:00 UTC" in overview
    assert "2025-11-15 01:00:00 UTC" not in overview
    assert of_program.index("INTERACTIONS") < of_program.index("USERS")


def test_the_trend_of_rows_bad_rows_and_duration(visit, put):
    for hour in range(3):
        start = f"2025-11-15T{hour:02d}:00:00+00:00"
        document = samples.interactions() | {"start": start, "seconds": 7_500.0, "full": False}
        put(f"grocery/exports/reports/interactions/2025-11-15T{hour:02d}00Z.json", document)
    page = visit(f"{REPORTS}/grocery").text
    assert page.count("<svg") == 3
    assert "Duration of an export" in page
    assert '<td class="n">2.1 h</td>' in page


def test_a_broken_report_is_told(visit, put):
    put(KEY, ["no report"])
    for address, status in ((REPORTS, 200), (f"{REPORTS}/grocery", 200), (PAGE, 502)):
        answer = visit(address)
        assert answer.status_code == status
        assert "A document on S3 is damaged, or of another version: AttributeError" in answer.text


def test_values_of_the_warehouse_are_text_also_in_lists(visit, put):
    put(KEY, samples.hostile("<script>alert('1')</script>"))
    for address in ADDRESSES:
        text = visit(address).text
        assert "<script" not in text
        assert "&lt;script&gt;" in text


def test_no_report_yet(visit):
    assert "No export has written a report yet." in visit(REPORTS).text
    assert "No export has written a report yet." in visit(f"{REPORTS}/grocery").text


def test_a_program_over_the_data_of_another_one_has_no_reports_and_shows_whose_model_it_asks(
    visit, put, report, tmp_path, monkeypatch
):
    include = tmp_path / "include"
    shutil.copytree(Path(__file__).resolve().parents[3] / "include", include)
    (include / "sql" / "winback").mkdir()
    for query in ("audience", "catalogue"):
        (include / "sql" / "winback" / f"{query}.sql").write_text("SELECT 1")
    text = "data: grocery\npersonalize: {model: grocery}\nbraze: {attribute: winback}\n"
    (include / "programs" / "winback.yaml").write_text(text)
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(include))
    overview = visit(REPORTS).text
    assert "696,067" in visit(PAGE).text
    assert "Latest export reports of grocery" in overview
    assert "winback" not in overview
    assert "winback uses the data of grocery" in visit(f"{REPORTS}/winback").text
    assert visit(PAGE.replace("/grocery/", "/winback/")).status_code == 404
    assert "winback: the model of grocery" in visit(MODELS).text
