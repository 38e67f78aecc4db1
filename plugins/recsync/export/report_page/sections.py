"""The parts of the page about one export, most urgent first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recsync.export.report_page.figures import duration, is_number, iso_moment, moment, number, of, share
from recsync.export.report_page.html import Html, element, join, section, table, text, value
from recsync.export.report_page.plots import bar_table, time_plot

Report = Mapping[str, Any]

VERDICTS = {
    "passed": ("✓\u00a0Passed", "Every check passed."),
    "warned": ("!\u00a0Warned", "The export passed with warnings; read the findings below."),
    "stopped": (
        "✕\u00a0Stopped",
        "Nothing of this export was published, and no import reads it; what an earlier run published stays.",
    ),
}
_LEVELS = {"stop": "✕\u00a0Stop", "warn": "!\u00a0Warning", "note": "Note"}
_TIME_COLUMNS = ("TIMESTAMP", "CREATION_TIMESTAMP")
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


def verdict(report: Report) -> Html:
    """Show a verdict as a label in words and colour."""
    name = report.get("verdict")
    label, _ = VERDICTS.get(str(name), (name or "unknown", ""))
    return element("strong", label, class_=name if name in VERDICTS else "note")


def summary(report: Report) -> Html:
    """Say what was exported, what became of it, and where from."""
    rows, quarantined = report.get("rows"), report.get("quarantined")
    share_of_rows = of(quarantined, rows) if quarantined else ""
    tiles = (
        ("rows read", rows, ""),
        ("exported", report.get("exported"), ""),
        ("quarantined", quarantined, join(" · ", share_of_rows) if share_of_rows else ""),
    )
    _, sentence = VERDICTS.get(str(report.get("verdict")), ("", ""))
    return element(
        "header",
        element("p", "Export report", class_="soft"),
        element("h1", report.get("program"), " · ", report.get("dataset")),
        element("div", element("p", verdict(report)), element("p", sentence), class_="verdict"),
        element(
            "ul",
            *(element("li", element("strong", number(n)), name, more) for name, n, more in tiles),
            class_="tiles",
        ),
        _described(_origin(report)),
    )


def findings(report: Report) -> Html:
    """List what was found and what to do about it: what stops first, then by rows."""
    order = list(_LEVELS)

    def urgency(finding: Report) -> tuple[int, int]:
        level, rows = finding.get("level"), finding.get("rows") or 0
        return order.index(level) if level in order else len(order), -int(rows)

    found = sorted(report.get("findings") or (), key=urgency)
    if not found:
        elsewhere = " in the rows; see the comparison with earlier exports." if report.get("drift") else "."
        return section("Findings", element("p", "None", elsewhere))
    return section("Findings", element("ul", *map(_finding, found), class_="findings"))


def drift(report: Report) -> Html:
    """Compare with earlier exports."""
    rows = [_drift_row(line) for line in report.get("drift") or ()]
    if not rows:
        sentence = "Nothing differs from earlier exports, or there is none to compare with."
        return section("Compared with earlier exports", element("p", sentence, class_="soft"))
    heads = ("Figure", "Level", "This export", "Usual", "Compared with")
    return section(
        "Compared with earlier exports",
        table("Figures of this export and of earlier ones", heads, rows, numbers=3),
    )


def plots(report: Report) -> Html:
    """Plot volume, event mix and history length; a dataset without times or events has none."""
    volume, parts = report.get("volume") or {}, []
    if volume.get("buckets"):
        parts.append(section("Volume", time_plot(volume)))
    elif report.get("dataset") == "INTERACTIONS":
        parts.append(section("Volume", element("p", "This export holds no rows to plot.", class_="soft")))
    beside = [part for part in (_event_mix(report), _history(report)) if part]
    return join(*parts, element("div", *beside, class_="side") if beside else "")


def columns(report: Report) -> Html:
    """Show each column of the exported object."""
    rows = [_column_row(column) for column in report.get("columns") or ()]
    if not rows:
        return text("")
    heads = ("Column", "Type", "Smallest", "Largest", "Empty", "Distinct")
    return section("Columns", table("Columns of the exported rows", heads, rows, numbers=2))


def figures(report: Report) -> Html:
    """Show the figures of the whole export that are known."""
    known = report.get("figures") or {}
    rows = [
        (label, write(known[name]))
        for name, (label, write) in _FIGURES.items()
        if known.get(name) is not None
    ]
    return section("Figures", _described(rows)) if rows else text("")


def _described(rows: Sequence[tuple[str, Any]]) -> Html:
    return element("dl", *(join(element("dt", name), element("dd", what)) for name, what in rows))


def _origin(report: Report) -> Sequence[tuple[str, Any]]:
    start, end = iso_moment(report.get("start")), iso_moment(report.get("end"))
    span = (
        join("everything before ", end, " (full snapshot)")
        if report.get("full")
        else join(start, " to ", end)
    )
    quarantine = report.get("quarantine")
    return (
        ("SQL file", value(report.get("sql"))),
        ("Interval", span),
        ("Quarantined rows", value(quarantine) if quarantine else "none"),
    )


def _finding(finding: Report) -> Html:
    rows, column = finding.get("rows"), finding.get("column")
    count = f"{rows:,} row{'' if rows == 1 else 's'}" if is_number(rows) and rows else ""
    part = share(finding.get("share")) if count and is_number(finding.get("share")) else ""
    heading = element(
        "h3",
        _level(finding.get("level")),
        element("span", str(finding.get("rule", "")).replace("_", " ")),
        value(column) if column else "",
        element("span", count, join(" · ", part) if part else "", class_="soft") if count else "",
    )
    example = finding.get("example")
    shown = (
        ""
        if example is None
        else element("p", element("span", "For example: ", class_="soft"), value(example))
    )
    return element("li", heading, element("p", finding.get("text")), shown)


def _level(level: Any) -> Html:
    return element("span", _LEVELS.get(level, level), class_=level if level in _LEVELS else "note")


def _drift_row(line: Report) -> tuple[Any, ...]:
    name, write = _DRIFT.get(str(line.get("figure")), (line.get("figure"), number))
    now, usual = write(line.get("now")), write(line.get("usual"))
    remark = element("div", line.get("text"), class_="remark")
    return join(name, remark), _level(line.get("level")), now, usual, number(line.get("runs"))


def _event_mix(report: Report) -> Html:
    rows = [(event.get("event_type"), event.get("rows")) for event in report.get("event_types") or ()]
    if not rows:
        return text("")
    return section(
        "Event mix", bar_table("Rows per event type", ("Event type", "Rows", "Share"), _named(rows))
    )


def _history(report: Report) -> Html:
    rows = [
        (_span(part.get("from"), part.get("to")), part.get("users")) for part in report.get("history") or ()
    ]
    if not rows:
        return text("")
    caption = "Users by their number of interactions in this export"
    return section("History length", bar_table(caption, ("Interactions", "Users", "Share"), rows))


def _named(rows: Sequence[tuple[Any, Any]]) -> list[tuple[str, Any]]:
    return [(str(name) if name not in {None, ""} else "(none)", count) for name, count in rows]


def _span(first: Any, last: Any) -> str:
    if first == last:
        return str(number(first))
    return f"{number(first)} or more" if last is None else f"{number(first)} to {number(last)}"


def _column_row(column: Report) -> tuple[Any, ...]:
    smallest, largest = (_extreme(column.get("name"), column.get(side)) for side in ("smallest", "largest"))
    name = element("code", column.get("name"))
    return (
        name,
        text(column.get("type")),
        smallest,
        largest,
        number(column.get("nulls")),
        number(column.get("distinct")),
    )


def _extreme(name: Any, extreme: Any) -> Html:
    """Show an extreme as it is; a time of the schema's reserved columns also as a time."""
    shown = value(extreme)
    if name in _TIME_COLUMNS and str(extreme).isascii() and str(extreme).isdigit():
        return join(shown, element("div", moment(int(extreme)), class_="time"))
    return shown
