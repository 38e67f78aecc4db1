"""Plots without a library or a script: bars over time as inline SVG, bars of categories inside a table.

The bars stretch with the page while every label is HTML beside them, so that type keeps its size on a narrow screen.
pygal 3.1.3 was tried: 160 KB for 400 bars, a script and today's date in each chart, type that shrinks with it, no
accessible name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recsync.export.report_page.figures import bucket_start, is_number, number, of, period, tick
from recsync.export.report_page.html import Html, element, join, table, text

# A label is at most 72 px wide ("2026-11-22" in 12 px). Tests prove that labels at these shares apart never meet: an
# axis has 244 px on a 360 px screen, and 470 px where the style sheet shows the labels of class "wide".
_APART_NARROW, _APART_WIDE = 0.45, 0.24
# Half a label, in per cent of the narrow axis.
_NEAR_END = 15
_HEIGHT = 100
# Thinner than this of an axis cannot be seen: an outlier centuries away makes one bar of thousands of slots.
_THINNEST = 1 / 400


def time_plot(volume: Mapping[str, Any]) -> Html:
    """Plot rows per hour, day or week; missing buckets are gaps; the figures follow as a table to be opened."""
    seconds = int(volume["bucket_seconds"])
    rows = {int(b["start"]): int(b["rows"]) for b in volume["buckets"]}
    first, last = min(rows), max(rows)
    slots = (last - first) // seconds + 1
    top = _scale_top(max(rows.values()))
    name = f"Rows per {period(seconds)}"
    drawing = element(
        "svg",
        element("title", name, id="volume-title"),
        element("desc", _in_words(rows, slots, seconds), id="volume-desc"),
        *_grid(slots),
        *(
            _bar(start, count, (start - first) // seconds, slots, top, seconds)
            for start, count in sorted(rows.items())
        ),
        viewBox=f"0 0 {slots} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby="volume-title volume-desc",
    )
    figure = element(
        "figure",
        element("figcaption", f"{name}, by TIMESTAMP, in UTC"),
        element(
            "div", *(element("span", label) for label in _heights(top)), class_="high", aria_hidden="true"
        ),
        drawing,
        element("div", *_labels(first, slots, seconds), class_="along", aria_hidden="true"),
    )
    return join(figure, _opened_table(name, rows, seconds))


def bar_table(caption: str, heads: Sequence[str], rows: Sequence[tuple[str, Any]]) -> Html:
    """Show counts of categories as a table with a bar under each name.

    :param heads: of the name, the count and its share of all.
    """
    counts = [count if is_number(count) else 0 for _, count in rows]
    total, largest = sum(counts), max(counts, default=0)

    def line(name: str, count: Any) -> tuple[Any, ...]:
        percent = 100 * count / largest if is_number(count) and largest else 0
        bar = element("span", class_="bar" if percent else "bar none", style=f"width:{percent:.2f}%")
        return join(element("bdi", name, dir="auto"), bar), number(count), of(count, total)

    return element("div", table(caption, heads, [line(*row) for row in rows], numbers=2), class_="bars")


def _scale_top(largest: int) -> int:
    """Round the scale's upper end up to a number that is easily halved."""
    step: int = 10 ** (len(str(largest)) - 1)
    return next(top for factor in (1, 2, 4, 6, 8, 10) if (top := factor * step) >= largest)


def _heights(top: int) -> list[str]:
    # Half of one row would be no number of rows; the place stays, so that the others keep theirs.
    return [f"{top:,}", "" if top % 2 else f"{top // 2:,}", "0"]


def _grid(slots: int) -> list[Html]:
    places = ((0, None), (_HEIGHT // 2, None), (_HEIGHT, "zero"))
    return [element("line", x1=0, x2=slots, y1=y, y2=y, class_=kind) for y, kind in places]


def _bar(start: int, rows: int, slot: int, slots: int, top: int, seconds: int) -> Html:
    """Draw one bar; its tooltip says the figure, and one row in a million is still seen."""
    height = max(_HEIGHT * rows / top, 0.8) if rows else 0
    width = max(0.86, slots * _THINNEST)
    left = min(max(slot + (1 - width) / 2, 0), slots - width)
    tooltip = element("title", f"{bucket_start(start, seconds)} UTC: {_rows(rows)}")
    return element(
        "rect",
        tooltip,
        x=f"{left:.3f}",
        y=f"{_HEIGHT - height:.2f}",
        width=f"{width:.3f}",
        height=f"{height:.2f}",
    )


def _labels(first: int, slots: int, seconds: int) -> list[Html]:
    """Label as many slots as have room, the first and the last before those between."""
    kept: list[tuple[int, bool]] = []
    for slot, apart in (
        (0, _APART_NARROW),
        (slots - 1, _APART_NARROW),
        ((slots - 1) // 2, _APART_NARROW),
        ((slots - 1) // 4, _APART_WIDE),
        ((slots - 1) * 3 // 4, _APART_WIDE),
        ((slots - 1) // 2, _APART_WIDE),
    ):
        if all(abs(slot - other) / slots >= apart for other, _ in kept):
            kept.append((slot, apart == _APART_WIDE))
    return [_label(slot, first + slot * seconds, slots, seconds, wide=wide) for slot, wide in sorted(kept)]


def _label(slot: int, start: int, slots: int, seconds: int, *, wide: bool) -> Html:
    place = 100 * (slot + 0.5) / slots
    # Under the middle of its bar, but near the ends shifted so that it never leaves the axis.
    shift = min(50, place * 50 / _NEAR_END) if place < 50 else max(50, 100 - (100 - place) * 50 / _NEAR_END)
    style = f"left:{place:.2f}%;transform:translateX(-{shift:.2f}%)"
    # A line break that means one; anywhere else it would be shown as an escape.
    return element("span", Html(tick(start, seconds)), style=style, class_="wide" if wide else None)


def _in_words(rows: Mapping[int, int], slots: int, seconds: int) -> str:
    name = period(seconds)
    most, least = max(rows, key=rows.__getitem__), min(rows, key=rows.__getitem__)
    empty = slots - sum(1 for count in rows.values() if count)
    return (
        f"Bars over time, one per {name}, from {bucket_start(min(rows), seconds)} to "
        f"{bucket_start(max(rows), seconds)} UTC. Most: {_rows(rows[most])} at {bucket_start(most, seconds)}. "
        f"Least of those listed: {_rows(rows[least])} at {bucket_start(least, seconds)}. "
        f"Without rows: {empty:,} of {slots:,}. The same figures stand in the table that follows."
    )


def _opened_table(name: str, rows: Mapping[int, int], seconds: int) -> Html:
    lines = [(bucket_start(start, seconds), number(count)) for start, count in sorted(rows.items())]
    listed = table(name, (f"{period(seconds).capitalize()} from (UTC)", "Rows"), lines, numbers=1)
    return element(
        "details", element("summary", "The figures as a table"), element("div", listed, class_="tall")
    )


def _rows(count: int) -> str:
    return text("1 row" if count == 1 else f"{count:,} rows")
