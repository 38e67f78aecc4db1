"""Draw charts as SVG for the pages: Vega-Lite, rendered on the server, so that pages need no script.

Colours are the style sheet's variables, so one SVG serves light and dark pages. A chart includes its figures for a
table, for screen readers and for copying.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from markupsafe import Markup

from recsync.export.report_page.templates import iso_moment, number, visible

log = logging.getLogger(__name__)

_WIDTH, _HEIGHT = 760, 220
# Colours of series in their order, from the style sheet.
SERIES = tuple(f"var(--s{n})" for n in range(1, 9))
_CONFIG: dict[str, Any] = {
    # The figure has one name and one description, and a table; a name per mark would triple its size.
    "aria": False,
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--soft)", "gridColor": "var(--line)", "tickColor": "var(--line)", "labelFontSize": 12,
        "labelColor": "var(--soft)", "titleColor": "var(--soft)", "titleFontSize": 12, "titleFontWeight": "normal",
        "titlePadding": 14,
    },
    "axisX": {"grid": False, "labelOverlap": "greedy", "labelAngle": 0, "labelSeparation": 8},
    "axisY": {"domain": False, "tickCount": 4},
    "legend": {
        "orient": "top", "title": None, "labelColor": "var(--ink)", "labelFontSize": 12, "labelLimit": 240,
        "columns": 4, "columnPadding": 36, "symbolStrokeWidth": 2,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One figure of a chart.

    :param at: ISO 8601 time, or the name of a place on the axis.
    :param series: name of its series.
    :param value: None is a gap.
    """

    at: str
    series: str
    value: float | None


@dataclass(frozen=True)
class Span:
    """An estimate with its interval at one time.

    :param low: of the inner interval, ``outer_low`` of the outer one; None: there is none yet.
    """

    at: str
    estimate: float | None
    low: float | None
    high: float | None
    outer_low: float | None = None
    outer_high: float | None = None


@dataclass(frozen=True)
class Chart:
    """A chart with its figures.

    :param name: title, also of the table.
    :param description: what it shows, for screen readers.
    :param svg: None when it could not be drawn; the page then shows the table only.
    :param rows: cells as texts; the first is the row's name.
    """

    name: str
    description: str
    svg: Markup | None
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def body(self) -> tuple[tuple[str, ...], ...]:
        """The table's rows, newest first."""
        return self.rows[::-1]


def over_time(
    name: str,
    points: Iterable[Point],
    *,
    unit: str,
    mark: Literal["line", "bars"] = "line",
    axis: str = "~s",
    write: Callable[[Any], str] = number,
    colours: Mapping[str, str] | None = None,
    limit: tuple[str, float] | None = None,
    from_zero: bool = True,
    when: str = "Time",
    dots: Collection[str] = (),
) -> Chart | None:
    """Draw series over time: lines, or bars stacked in the order of the series.

    :param unit: title of the vertical axis.
    :param axis: format of its labels: https://d3js.org/d3-format
    :param write: formats a figure for the table.
    :param colours: of series by name; others get :data:`SERIES` in their order.
    :param limit: name and height of a horizontal line.
    :param from_zero: whether the vertical axis begins at 0.
    :param dots: series of a line chart to draw as points without a line.
    :returns: None without a figure.
    """
    points = [point for point in points if point.value is not None]
    if mark == "line":
        points = [replace(point, at=found) for point in points if (found := _utc(point.at))]
    if not points:
        return None
    series = list(dict.fromkeys(point.series for point in points))
    at = sorted({point.at for point in points})
    ticks = _ticks(at) if mark == "bars" else {each: each for each in at}
    values = [
        {"at": ticks[p.at], "series": visible(p.series), "value": p.value, "n": series.index(p.series)}
        for p in sorted(points, key=lambda point: point.at)
    ]
    y: dict[str, Any] = {
        "field": "value", "type": "quantitative", "title": unit, "axis": {"format": axis}, "scale": {"zero": from_zero},
    }  # fmt: skip
    chosen = [(colours or {}).get(each) or SERIES[n % len(SERIES)] for n, each in enumerate(series)]
    encoding = {
        "x": _time_axis(at)
        if mark == "line"
        else {"field": "at", "type": "ordinal", "title": None, "sort": None},
        "y": y,
        "color": {
            "field": "series",
            "type": "nominal",
            "scale": {"domain": [visible(each) for each in series], "range": chosen},
            **({"legend": None} if len(series) == 1 else {}),
        },
        "order": {"field": "n"} if mark == "bars" else {"field": "at"},
    }
    joined = [visible(each) for each in series if each not in dots]
    layers: list[dict[str, Any]] = (
        [{"mark": "bar", "encoding": encoding}]
        if mark == "bars"
        else [
            {
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": encoding,
                "transform": [{"filter": {"field": "series", "oneOf": joined}}],
            },
            {"mark": {"type": "point", "filled": True, "size": 34, "opacity": 1}, "encoding": encoding},
        ]
    )
    if limit:
        layers.append(
            {
                "data": {"values": [{"limit": limit[1], "name": visible(limit[0])}]},
                "mark": {"type": "rule", "color": "var(--stop)", "strokeDash": [5, 4], "strokeWidth": 1.5},
                "encoding": {"y": {"field": "limit", "type": "quantitative"}},
            }
        )
    table = {(point.at, point.series): point.value for point in points}
    rows = tuple(
        (iso_or_name(moment), *(write(table.get((moment, each))) for each in series)) for moment in at
    )
    last = [f"{each} {table[at[-1], each]:,.4g}" for each in series if (at[-1], each) in table]
    described = (
        f"{'Bars' if mark == 'bars' else 'Lines'} of {', '.join(series)} over time, {len(at)} of them, from "
        f"{iso_or_name(at[0])} to {iso_or_name(at[-1])}. The last: {', '.join(last)}. "
    )
    if limit:
        described += f"A line marks {limit[0]}. "
    return _chart(name, described, {"data": {"values": values}, "layer": layers}, (when, *series), rows)


def intervals(
    name: str,
    spans: Sequence[Span],
    *,
    unit: str,
    axis: str = "+.0%",
    write: Callable[[Any], str] = number,
    inner: str = "95 % interval",
    outer: str = "always-valid interval",
) -> Chart | None:
    """Draw an estimate over time with its interval, and with a wider one around it; a line marks 0.

    :param inner: name of ``low`` to ``high``; ``outer`` of the wider one.
    :returns: None without a figure.
    """
    drawn = [each for each in spans if each.estimate is not None]
    known = (replace(each, at=found) for each in drawn if (found := _utc(each.at)))
    spans = sorted(known, key=lambda span: span.at)
    if not spans:
        return None
    at = [span.at for span in spans]
    colour = {"type": "nominal", "scale": {"domain": [outer, inner], "range": ["var(--s4)", "var(--s1)"]}}

    def band(low: str, high: str, label: str, opacity: float) -> dict[str, Any]:
        mark = "area" if len(set(at)) > 1 else "rule"  # one time alone is no area
        return {
            "transform": [{"filter": f"isValid(datum.{low}) && isValid(datum.{high})"}],
            "mark": {"type": mark, "opacity": opacity, **({"strokeWidth": 14} if mark == "rule" else {})},
            "encoding": {
                "x": _time_axis(at),
                "y": {"field": low, "type": "quantitative", "title": unit, "axis": {"format": axis}},
                "y2": {"field": high},
                "color": {"datum": label, **colour},
            },
        }

    layers = [
        band("outer_low", "outer_high", outer, 0.25),
        band("low", "high", inner, 0.35),
        {
            "mark": {"type": "line", "color": "var(--ink)", "point": {"color": "var(--ink)", "size": 26}},
            "encoding": {"x": _time_axis(at), "y": {"field": "estimate", "type": "quantitative"}},
        },
        {
            "data": {"values": [{"zero": 0}]},
            "mark": {"type": "rule", "color": "var(--soft)", "strokeDash": [5, 4]},
            "encoding": {"y": {"field": "zero", "type": "quantitative"}},
        },
    ]
    values = [vars(span) for span in spans]
    rows = tuple(
        (iso_or_name(s.at), *(write(v) for v in (s.estimate, s.low, s.high, s.outer_low, s.outer_high)))
        for s in spans
    )
    newest = spans[-1]
    described = (
        f"A line of the estimate with its {inner} over time, {len(spans)} of them, from {iso_or_name(at[0])} to "
        f"{iso_or_name(at[-1])}. The last: {write(newest.estimate)}, {inner} {write(newest.low)} to "
        f"{write(newest.high)}. "
    )
    heads = ("Time", "Estimate", f"{inner}, low", "high", f"{outer}, low", "high")
    return _chart(name, described, {"data": {"values": values}, "layer": layers}, heads, rows)


def _utc(at: str) -> str | None:
    """Write a time of a document in UTC; None for another text."""
    try:
        return datetime.fromisoformat(at).astimezone(UTC).isoformat()
    except ValueError:
        return None


def iso_or_name(at: str) -> str:
    """Write an ISO 8601 time as the pages do, without seconds of 0; other texts stay as they are."""
    try:
        datetime.fromisoformat(at)
    except ValueError:
        return at
    return at if len(at) < len("2026-11-22T05") else str(iso_moment(at)).replace(":00 UTC", " UTC")


def _ticks(at: Sequence[str]) -> dict[str, str]:
    """Write short times for an axis of thirty bars: the date, and the time if dates repeat."""
    found: dict[str, datetime] = {}
    for each in at:
        try:
            found[each] = datetime.fromisoformat(each).astimezone(UTC)
        except ValueError:
            return {name: visible(name) for name in at}
    if min(map(len, at)) < len("2026-11-22T05"):
        return {each: each for each in at}
    form = "%m-%d" if len({moment.date() for moment in found.values()}) == len(at) else "%m-%d %H:%M"
    ticks = {each: f"{moment:{form}}" for each, moment in found.items()}
    return ticks if len(set(ticks.values())) == len(at) else {each: iso_or_name(each) for each in at}


def _time_axis(at: Sequence[str]) -> dict[str, Any]:
    moments = [datetime.fromisoformat(each) for each in (min(at), max(at))]
    days = (moments[1] - moments[0]).total_seconds() / 86_400 or 30
    form = "%H:%M" if days < 1 else "%m-%d %H:%M" if days < 4 else "%Y-%m-%d"
    count = min(6, max(2, len(set(at))))
    return {
        "field": "at",
        "type": "temporal",
        "scale": {"type": "utc"},
        "title": None,
        "axis": {"format": form, "tickCount": count},
    }


def _chart(
    name: str,
    description: str,
    spec: dict[str, Any],
    heads: tuple[str, ...],
    rows: tuple[tuple[str, ...], ...],
) -> Chart:
    described = f"{description}The table below has the same figures."
    whole = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": _WIDTH,
        "height": _HEIGHT,
        "autosize": {"type": "fit", "contains": "padding"},
        "config": _CONFIG,
        **spec,
    }
    return Chart(name, described, _drawn(json.dumps(whole, sort_keys=True), name, described), heads, rows)


@lru_cache(maxsize=128)
def _drawn(spec: str, name: str, description: str) -> Markup | None:
    """Render a specification; equal ones are cached.

    The first rendering of a process takes 0.4 s, later ones 20 to 60 ms, during which it holds the GIL.
    """
    try:
        import vl_convert  # 10 MB, and 90 MB more with the first chart

        svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    except (ImportError, ValueError):
        log.warning("The chart %r could not be drawn; its table is shown alone.", name, exc_info=True)
        return None
    # Also unique for two charts with the same name on one page.
    mark = hashlib.sha256(f"{name}{spec}".encode()).hexdigest()[:12]
    opened = Markup(
        '<svg role="img" aria-labelledby="t{0} d{0}" {1}><title id="t{0}">{2}</title><desc id="d{0}">{3}</desc>'
    ).format(mark, Markup(_box(svg)), visible(name), visible(description))  # ruff: ignore[unsafe-markup-use] - digits
    # Vega escapes the texts of the figures.
    return opened + Markup(svg.partition(">")[2])  # ruff: ignore[unsafe-markup-use]


def _box(svg: str) -> str:
    """Return the view box alone: the width is the page's."""
    found = re.search(r'viewBox="[\d. -]+"', svg)
    return found[0] if found else ""
