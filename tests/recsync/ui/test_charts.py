"""Charts: what they show, that every text is text, and that nothing has a colour of its own."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import pytest

from recsync.ui import charts
from recsync.ui.charts import Point, Span, intervals, over_time

DAYS = [f"2026-11-{day:02d}T05:00:00+00:00" for day in range(1, 31)]
HOSTILE = "<script>alert('1')</script>&\u202e"


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.text]


@pytest.mark.parametrize("mark", ["line", "bars"])
def test_a_chart_has_a_name_a_description_and_its_figures(mark):
    points = [Point(at, name, n * 100) for n, at in enumerate(DAYS) for name in ("sent", "kept")]
    chart = over_time("People", points, unit="People", mark=mark)
    assert chart is not None
    assert chart.svg is not None
    root = ElementTree.fromstring(chart.svg)
    title, description = root[0], root[1]
    assert (root.get("role"), root.get("aria-labelledby")) == (
        "img",
        f"{title.get('id')} {description.get('id')}",
    )
    assert title.text == "People"
    assert (
        "30 of them, from 2026-11-01 05:00 UTC to 2026-11-30 05:00 UTC. The last: sent 2,900"
        in description.text
    )
    assert chart.heads == ("Time", "sent", "kept")
    assert chart.body[0] == ("2026-11-30 05:00 UTC", "2,900", "2,900"), "the newest comes first"
    assert {"sent", "kept", "People"} <= set(texts(chart.svg))


def test_colours_are_the_style_sheets_and_nothing_is_loaded():
    points = [Point(at, "sent", 1) for at in DAYS]
    drawn = [
        over_time("A", points, unit="U", mark="bars", limit=("the budget", 3)),
        over_time("B", points, unit="U"),
        intervals("C", [Span(at, 0.1, 0.0, 0.2, -0.1, 0.3) for at in DAYS], unit="U"),
    ]
    for chart in drawn:
        svg = str(chart.svg)
        assert set(re.findall(r'(?:fill|stroke)="([^"]+)"', svg)) - {"none", "transparent"} <= {
            f"var(--{name})" for name in ("s1", "s4", "ink", "soft", "line", "stop")
        }
        assert not re.search(r"(?:href|src|url\(|<style|<script|\son\w+=)", svg)
        assert " width=" not in svg.partition(">")[0]
    ids = re.findall(r'id="([^"]+)"', "".join(str(chart.svg) for chart in drawn))
    assert len(ids) == len(set(ids)) == 6


def test_texts_of_documents_are_text():
    chart = over_time(HOSTILE, [Point(HOSTILE, HOSTILE, 3)], unit="U", mark="bars", limit=(HOSTILE, 2))
    assert chart is not None
    assert "<script" not in chart.svg
    assert "\u202e" not in chart.svg
    assert any(text.startswith("<script>") and "\\u202e" in text for text in texts(chart.svg))


def test_what_has_no_figure_is_no_chart_and_what_has_no_time_is_left_out():
    assert over_time("A", [], unit="U") is None
    assert over_time("A", [Point(DAYS[0], "a", None)], unit="U") is None
    assert over_time("A", [Point("yesterday", "a", 1)], unit="U") is None
    assert intervals("A", [Span(DAYS[0], None, None, None)], unit="U") is None
    one = over_time("A", [Point("yesterday", "a", 1), Point(DAYS[0], "a", 1)], unit="U")
    assert one is not None
    assert len(one.rows) == 1


def test_an_interval_may_be_missing_at_first():
    spans = [Span(DAYS[0], 0.4, None, None), Span(DAYS[1], 0.1, 0.0, 0.2, -0.1, 0.3)]
    chart = intervals("Lift", spans, unit="U", write=lambda value: "—" if value is None else f"{value:+.1%}")
    assert chart is not None
    assert chart.body[1] == ("2026-11-01 05:00 UTC", "+40.0%", "—", "—", "—", "—")
    assert chart.body[0][1:] == ("+10.0%", "+0.0%", "+20.0%", "-10.0%", "+30.0%")
    assert "The last: +10.0%, 95 % interval +0.0% to +20.0%" in chart.description


def test_without_the_library_the_figures_stay(monkeypatch):
    charts._drawn.cache_clear()
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    chart = over_time("A", [Point(DAYS[0], "a", 1)], unit="U")
    charts._drawn.cache_clear()
    assert chart is not None
    assert chart.svg is None
    assert chart.rows == (("2026-11-01 05:00 UTC", "1"),)
