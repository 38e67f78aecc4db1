"""The page about one export: one HTML document that loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from recsync.export.report_page.templates import (
    DAY_SECONDS,
    duration,
    environment,
    is_number,
    moment,
    number,
    rows,
    share,
    utc,
)

Report = Mapping[str, Any]

_ENVIRONMENT = environment()
_LEVELS = ("stop", "warn", "note")
_FIGURES = {
    "users": ("Users", number),
    "items": ("Items", number),
    "users_with_two_interactions": ("Users with two interactions or more", number),
    "duplicate_rows": ("Duplicate rows", number),
    "oldest": ("Oldest row", moment),
    "newest": ("Newest row", moment),
    "new_items_share": ("Share of new items", share),
}
_DRIFT = {
    "volume": ("Rows", number),
    "event_mix": ("Event mix: share of another type than usual", share),
    "freshness": ("Age of the newest row at the interval's end", duration),
    "new_items": ("Share of new items", share),
}
# A label is at most 72 px wide ("2026-11-22" in 12 px). Tests prove that labels at these shares apart never meet: an
# axis has 244 px on a 360 px screen, and 470 px where the style sheet shows the labels of class "wide".
_APART_NARROW, _APART_WIDE = 0.45, 0.24
# Half a label, in percent of the narrow axis.
_NEAR_END = 15
# The narrowest visible bar, as a share of the axis: an outlier centuries away makes thousands of slots.
_THINNEST = 1 / 400
_PERIODS = {3600: "hour", DAY_SECONDS: "day", 7 * DAY_SECONDS: "week"}


def page(report: Report, *, trail: Iterable[tuple[str, str]] = ()) -> str:
    """Render the report of one export; missing and null fields are omitted.

    :param trail: label and address of the pages above this one; none for the page on S3.
    """
    volume, known = report.get("volume") or {}, report.get("figures") or {}
    return _ENVIRONMENT.get_template("report.html").render(
        title=f"{report.get('program')} · {report.get('dataset')} · {report.get('verdict')}",
        trail=trail,
        report=report,
        findings=sorted(report.get("findings") or (), key=_urgency),
        drift=[_drift(line) for line in report.get("drift") or ()],
        volume=_time_plot(volume) if volume.get("buckets") else None,
        event_mix=_bars(
            (str(name) if (name := each.get("event_type")) not in {None, ""} else "(none)", each.get("rows"))
            for each in report.get("event_types") or ()
        ),
        history=_bars(
            (_span(each.get("from"), each.get("to")), each.get("users"))
            for each in report.get("history") or ()
        ),
        figures=[
            (label, write(known[name]))
            for name, (label, write) in _FIGURES.items()
            if known.get(name) is not None
        ],
    )


def _urgency(finding: Report) -> tuple[int, int]:
    level = finding.get("level")
    return _LEVELS.index(level) if level in _LEVELS else len(_LEVELS), -int(finding.get("rows") or 0)


def _drift(line: Report) -> dict[str, Any]:
    label, write = _DRIFT.get(str(line.get("figure")), (line.get("figure"), number))
    return {**line, "label": label, "now": write(line.get("now")), "usual": write(line.get("usual"))}


def _span(first: Any, last: Any) -> str:
    if first == last:
        return number(first)
    return f"{number(first)} or more" if last is None else f"{number(first)} to {number(last)}"


def _bars(counts: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Lay out the bars of categories, the largest as 100 percent of the width."""
    listed = [(name, count, count if is_number(count) else 0) for name, count in counts]
    total, largest = sum(n for *_, n in listed), max((n for *_, n in listed), default=0)
    return [
        {
            "name": name,
            "count": count,
            "percent": 100 * n / largest if largest else 0,
            "share": share(n / total) if is_number(count) and total else "",
        }
        for name, count, n in listed
    ]


def _time_plot(volume: Report) -> dict[str, Any]:
    """Lay out a plot of rows per hour, day or week; missing buckets are gaps.

    pygal 3.1.3 was tried: 160 KB for 400 bars, a script and today's date in each chart, type that shrinks with it, no
    accessible name.
    """
    seconds = int(volume["bucket_seconds"])
    counts = dict(sorted((int(bucket["start"]), int(bucket["rows"])) for bucket in volume["buckets"]))
    first, last = min(counts), max(counts)
    slots = (last - first) // seconds + 1
    largest = max(counts.values())
    step = 10 ** (len(str(largest)) - 1)
    top = next(top for factor in (1, 2, 4, 6, 8, 10) if (top := factor * step) >= largest)
    period = _PERIODS.get(seconds, f"{seconds:,} seconds")
    return {
        "name": f"Rows per {period}",
        "period": period,
        "description": _description(counts, slots, seconds, period),
        "slots": slots,
        # Half of one row is no number of rows; the empty label keeps the others in place.
        "heights": [f"{top:,}", "" if top % 2 else f"{top // 2:,}", "0"],
        "bars": [
            {"start": _tick(start, seconds), "count": count}
            | _bar((start - first) // seconds, count, slots, top)
            for start, count in counts.items()
        ],
        "labels": _labels(first, slots, seconds),
    }


def _bar(slot: int, count: int, slots: int, top: int) -> dict[str, float]:
    """Place one bar; 1 row in a million is still visible."""
    width = max(0.86, slots * _THINNEST)
    left = min(max(slot + (1 - width) / 2, 0), slots - width)
    return {"left": left, "width": width, "height": max(100 * count / top, 0.8) if count else 0}


def _labels(first: int, slots: int, seconds: int) -> list[dict[str, Any]]:
    """Label as many slots as have room, the first and the last before those between."""
    kept: dict[int, bool] = {}
    for slot, apart in (
        (0, _APART_NARROW),
        (slots - 1, _APART_NARROW),
        ((slots - 1) // 2, _APART_NARROW),
        ((slots - 1) // 4, _APART_WIDE),
        ((slots - 1) * 3 // 4, _APART_WIDE),
        ((slots - 1) // 2, _APART_WIDE),
    ):
        if all(abs(slot - other) / slots >= apart for other in kept):
            kept[slot] = apart == _APART_WIDE
    labels = []
    for slot, wide in sorted(kept.items()):
        place = 100 * (slot + 0.5) / slots
        # Under the middle of its bar, but near the ends shifted so that it never leaves the axis.
        half = min(50, min(place, 100 - place) * 50 / _NEAR_END)
        shift = half if place < 50 else 100 - half
        lines = _tick(first + slot * seconds, seconds).split()[::-1]
        labels.append({"place": place, "shift": shift, "lines": lines, "wide": wide})
    return labels


def _tick(start: int, bucket_seconds: int) -> str:
    """Write the start of a bucket: the date, and the hour where buckets are shorter than days."""
    found = utc(start)
    if not found:
        return f"{start:,}"
    return f"{found:%Y-%m-%d}" if bucket_seconds >= DAY_SECONDS else f"{found:%Y-%m-%d %H:%M}"


def _description(counts: Mapping[int, int], slots: int, seconds: int, period: str) -> str:
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    first, last, highest, lowest = (_tick(at, seconds) for at in (min(counts), max(counts), most, least))
    return (
        f"Bars over time, one per {period}, from {first} to {last} UTC. Most: {rows(counts[most])} at {highest}. "
        f"Least of those listed: {rows(counts[least])} at {lowest}. "
        f"Without rows: {slots - sum(map(bool, counts.values())):,} of {slots:,}. The table below has the same figures."
    )
