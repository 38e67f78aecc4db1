"""The page about an export: what a person sees, what a hostile warehouse cannot do, what a screen reader hears."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import report_samples as samples

import recsync.export.report_page
from recsync.export.report_page import page

VOID = {"meta"}
TEXT_TAGS = (
    "html|head|meta|title|style|body|main|nav|header|section|h1|h2|h3|p|ul|li|dl|dt|dd|div|span|strong"
)
PLOT_TAGS = (
    "a|code|bdi|table|caption|thead|tbody|tr|th|td|figure|figcaption|svg|desc|line|rect|details|summary"
)


class Outline(HTMLParser):
    """Tags in order, proved to be nested; visible words; attributes by tag."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(document)
        assert not self._open
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words += data


def svg_of(document: str) -> ElementTree.Element:
    return ElementTree.fromstring(re.search(r"<svg.*</svg>", document, re.DOTALL).group())  # type: ignore[union-attr]


def test_the_summary_comes_first():
    words = Outline(page(samples.interactions())).words
    head = words[: words.index("Findings")]
    for seen in (
        "grocery · INTERACTIONS",
        "Warned",
        "passed with warnings",
        "696,067rows read",
        "694,863exported",
        "1,204quarantined · 0.17%",
        "grocery/interactions.sql",
        "2025-11-15 00:00:00 UTC to 2025-11-29 00:00:00 UTC",
        "grocery/exports/quarantine/interactions/2025-11-15T0000Z.jsonl",
    ):
        assert seen in head


def test_a_share_of_nothing_is_not_shown():
    report = samples.interactions() | {"rows": 0, "quarantined": 3}
    assert "3quarantined SQL file" in Outline(page(report)).words
    report |= {"event_types": [{"event_type": "a", "rows": None}]}
    (bar,) = re.findall(r'<bdi dir="auto">a</bdi>.*?</tr>', page(report), re.DOTALL)
    assert bar.endswith('—</span></td><td class="n"></td>\n</tr>')


def test_findings_come_with_what_stops_first_and_then_by_rows():
    words = Outline(page(samples.stopped())).words
    assert "Stopped" in words
    assert "Nothing of this export was published" in words
    places = [words.index(rule) for rule in ("timestamp unit", "unknown items", "categorical cardinality")]
    assert places == sorted(places)
    assert "1,204 rows · 100%" in words
    assert "Divide the column by 1,000 in the query." in words
    assert "For example: 1763800000000" in words


def test_every_plot_and_table_says_what_it_is():
    document = page(samples.interactions())
    svg = svg_of(document)
    texts = {child.get("id"): child.text for child in svg if child.tag in {"title", "desc"}}
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby", "").split() == list(texts)
    assert texts["volume-title"] == "Rows per hour"
    assert "Without rows: 12 of 336" in str(texts["volume-desc"])
    assert document.count("<table>") == document.count("<table><caption>") >= 5


def test_drift_columns_and_figures():
    words = Outline(page(samples.interactions())).words
    for seen in (
        "Views are 19% of rows, usually 2%",
        "601,204",
        "2025-11-28 23:59:59 UTC",
        "38,211",
        "26 or more",
        "1.31%",
        "512,01180.73%",
        "<0.01%",
    ):
        assert seen in words


@pytest.mark.parametrize(
    ("seconds", "name", "label"),
    [
        (samples.HOUR, "hour", "00:00\n2025-11-15"),
        (samples.DAY, "day", "2025-11-15"),
        (samples.WEEK, "week", "2025-11-15"),
    ],
)
@pytest.mark.parametrize("buckets", [1, 2, 3, 4, 5, 6, 7, 8, 24, 336, 400])
def test_labels_stand_apart_and_bars_inside(buckets, seconds, name, label):
    document = page(samples.interactions(buckets, seconds))
    svg = svg_of(document)
    assert svg[0].text == f"Rows per {name}"
    assert f">{label}</span>" in document
    bars = [{k: float(v) for k, v in bar.items()} for bar in (rect.attrib for rect in svg.iter("rect"))]
    assert all(bar["x"] >= 0 and bar["x"] + bar["width"] <= buckets + 0.01 for bar in bars)
    assert all(bar["y"] >= 0 and bar["y"] + bar["height"] == pytest.approx(100, abs=0.02) for bar in bars)
    # A label is 72 px wide; where the style sheet hides those of class "wide" an axis has 244 px, else 470 px.
    for axis, hidden in ((244, ' class="wide"'), (470, None)):
        edges = [
            (axis * float(place) - 72 * float(shift)) / 100
            for place, shift, kind in re.findall(
                r'<span style="left:([\d.]+)%;transform:translateX\(-([\d.]+)%\)"( class="wide")?>', document
            )
            if kind != hidden
        ]
        assert edges
        assert all(b - a > 72 for a, b in pairwise(edges))
        assert edges[0] >= -0.1
        assert edges[-1] + 72 <= axis + 0.1


def test_an_outlier_decades_away_is_a_visible_bar():
    plot = {
        "bucket_seconds": samples.WEEK,
        "buckets": [{"start": 0, "rows": 1}, {"start": 2_900 * samples.WEEK, "rows": 10**6}],
    }
    report = samples.interactions() | {"volume": plot}
    small, large = svg_of(page(report)).iter("rect")
    assert float(small.attrib["height"]) > 0.5
    assert float(large.attrib["width"]) > 7
    assert float(large.attrib["x"]) + float(large.attrib["width"]) <= 2_901.01
    assert "2,000,000" not in page(report)


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</style></title></svg><iframe src=//evil>",
        "{{ 7 * 7 }}${7}&lt;b&gt;",
        "a" * 10_000,
    ],
)
def test_values_of_the_warehouse_are_text(attack):
    outline = Outline(page(samples.hostile(attack)))
    assert [tag for tag in outline.tags if not re.fullmatch(f"{TEXT_TAGS}|{PLOT_TAGS}", tag)] == []
    assert not [name for name, _ in outline.attributes if name.startswith("on") or name in {"src", "href"}]
    assert attack[:100] in outline.words


@pytest.mark.parametrize(
    "unseen", ["\u202e", "\u200f", "\u2066", "\ufeff", "\u200b", "\x00", "\x1b", "\ud800", "\u2028", "\x85"]
)
def test_invisible_characters_are_escaped(unseen):
    document = page(samples.hostile(f"id{unseen}gnp.exe"))
    assert unseen not in document
    assert f"id\\u{ord(unseen):04x}gnp.exe" in document
    document.encode()


def test_values_are_kept_apart_from_the_text_around_them():
    assert '<code><bdi dir="auto">עגבניה</bdi></code>' in page(samples.hostile("עגבניה"))


def test_a_dataset_without_times_has_no_plot():
    document = page(samples.users())
    words = Outline(document).words
    assert "<svg" not in document
    assert "everything before 2025-11-29 00:00:00 UTC (full snapshot)" in words
    assert "Volume" not in words
    assert "Event mix" not in words


def test_an_export_that_only_drift_stops_says_where_to_look():
    report = samples.stopped() | {
        "findings": [],
        "drift": [samples.drift("volume", 3, 900.0, "stop", "Too few.")],
    }
    words = Outline(page(report)).words
    assert "None in the rows; see the comparison with earlier exports" in words
    assert "Too few." in words


def test_an_interval_without_rows_says_so():
    assert "no rows to plot" in Outline(page(samples.stopped())).words


@pytest.mark.parametrize("report", [samples.interactions(), samples.users()])
def test_missing_and_null_fields_are_omitted(report):
    for name in report:
        for poorer in (report | {name: None}, {key: part for key, part in report.items() if key != name}):
            assert "<h1>" in page(poorer)
            Outline(page(poorer))
    nulls = {
        name: [dict.fromkeys(line) for line in part]
        for name, part in report.items()
        if isinstance(part, list)
    }
    Outline(page(report | nulls))
    Outline(page({}))


def test_the_page_loads_and_runs_nothing():
    document = page(samples.interactions())
    outline = Outline(document)
    assert "script" not in outline.tags
    assert not {name for name, _ in outline.attributes} & {"src", "href", "onclick", "onload"}
    assert "url(" not in document
    assert "@import" not in document


def test_the_same_report_gives_the_same_bytes():
    assert page(samples.interactions()) == page(samples.interactions())
    assert len(page(samples.interactions(400))) < 100_000


STYLE = Path(recsync.export.report_page.__file__).with_name("style.css").read_text()
COLOURS = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part)) for part in STYLE.split("@media", 1)[:2]]
PAIRS = [
    ("ink", "page"),
    ("ink", "card"),
    ("soft", "page"),
    ("soft", "card"),
    ("accent", "page"),
    ("accent", "card"),
]
PAIRS += [(name, f"{name}-back") for name in ("stop", "warn", "passed", "note")]


@pytest.mark.parametrize("colours", COLOURS, ids=["light", "dark"])
def test_text_is_readable(colours):
    # https://www.w3.org/TR/WCAG22/#contrast-minimum and, for plots, #non-text-contrast
    assert {pair: ratio for pair in PAIRS if (ratio := contrast(colours, *pair)) < 4.5} == {}
    assert contrast(colours, "bar", "card") >= 3


def contrast(colours: dict[str, Any], one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(colours[one]), luminance(colours[other])))
    return (light + 0.05) / (dark + 0.05)
