"""An export beside the earlier ones of the same dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, Protocol

from recsync.export.checks.context import CheckContext
from recsync.export.checks.figures import Figures
from recsync.export.checks.report import DriftFinding
from recsync.program.checks import Level

Document = Mapping[str, Any]
# Below this, how fresh the newest row is says nothing: clocks and batches of the source.
_FRESH_SECONDS = 60


class _Limits(Protocol):
    @property
    def warn(self) -> float | None: ...

    @property
    def stop(self) -> float | None: ...


def drift_findings(context: CheckContext, figures: Figures) -> Iterator[DriftFinding]:
    """Compare volume, event mix, freshness and new items with the median of the earlier exports.

    Only reports of the same kind (snapshot, or interval of the same length) that were not stopped are compared with.
    """
    earlier = _comparable(context)
    if len(earlier) < context.settings.drift.min_exports:
        return
    yield from _volume(context, figures, earlier)
    yield from _event_mix(context, figures, earlier)
    yield from _freshness(context, figures, earlier)
    yield from _new_items(context, figures, earlier)


def _volume(context: CheckContext, figures: Figures, earlier: Sequence[Document]) -> Iterator[DriftFinding]:
    usual = float(median(report["exported"] for report in earlier))
    # One row more or less is no drift where hardly any are usual.
    ratio = (max(figures.rows, usual) + 1) / (min(figures.rows, usual) + 1)
    level = _level(context.settings.drift.volume, ratio)
    if level:
        text = f"{context.sql} returns {figures.rows} rows where {usual:.0f} are usual."
        yield DriftFinding("volume", figures.rows, usual, len(earlier), level, text)


def _event_mix(
    context: CheckContext, figures: Figures, earlier: Sequence[Document]
) -> Iterator[DriftFinding]:
    mixes = [mix for mix in (_mix(report["event_types"]) for report in earlier) if mix]
    now = _mix(figures.event_types)
    if not now or len(mixes) < context.settings.drift.min_exports:
        return
    names = sorted(now.keys() | {name for mix in mixes for name in mix})
    medians = {name: median(mix.get(name, 0.0) for mix in mixes) for name in names}
    total = sum(medians.values()) or 1.0
    differences = {name: now.get(name, 0.0) - medians[name] / total for name in names}
    # Total variation distance: the share of events that would have to be of another type.
    distance = sum(map(abs, differences.values())) / 2
    level = _level(context.settings.drift.event_mix, distance)
    if level:
        most = max(names, key=lambda name: abs(differences[name]))
        text = (
            f"{context.sql} returns another mix of event types than usual: {distance:.0%} of the events would have to "
            f"be of another type; most of all {most}, {now.get(most, 0.0):.0%} of the events where "
            f"{medians[most] / total:.0%} are usual."
        )
        yield DriftFinding("event_mix", distance, 0.0, len(mixes), level, text)


def _freshness(
    context: CheckContext, figures: Figures, earlier: Sequence[Document]
) -> Iterator[DriftFinding]:
    ages = [
        datetime.fromisoformat(report["end"]).timestamp() - report["figures"]["newest"]
        for report in earlier
        if report["figures"]["newest"] is not None
    ]
    if figures.newest is None or len(ages) < context.settings.drift.min_exports:
        return
    usual, now = median(ages), context.interval.end.timestamp() - figures.newest
    level = _level(context.settings.drift.freshness, now / max(usual, _FRESH_SECONDS))
    if level:
        text = (
            f"{context.sql} returns no row newer than {now:.0f} seconds before the end of the interval, where "
            f"{usual:.0f} are usual. Is the warehouse late?"
        )
        yield DriftFinding("freshness", now, usual, len(ages), level, text)


def _new_items(
    context: CheckContext, figures: Figures, earlier: Sequence[Document]
) -> Iterator[DriftFinding]:
    shares = [
        share for share in (report["figures"]["new_items_share"] for report in earlier) if share is not None
    ]
    now = figures.new_items_share
    if now is None or len(shares) < context.settings.drift.min_exports:
        return
    usual = median(shares)
    level = _level(context.settings.drift.new_items, abs(now - usual))
    if level:
        text = (
            f"{context.sql} returns {now:.0%} new items where {usual:.0%} are usual. Are item ids still written as "
            "before?"
        )
        yield DriftFinding("new_items", now, usual, len(shares), level, text)


def _level(limits: _Limits, distance: float) -> Level | None:
    if limits.stop is not None and distance > limits.stop:
        return "stop"
    return "warn" if limits.warn is not None and distance > limits.warn else None


def _mix(event_types: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    total: int = sum(one["rows"] for one in event_types)
    return {one["event_type"]: one["rows"] / total for one in event_types} if total else {}


def _comparable(context: CheckContext) -> list[Document]:
    length = context.interval.end - context.interval.start

    def same_kind(report: Document) -> bool:
        if report["full"] or context.full:
            return bool(report["full"]) and context.full
        span = datetime.fromisoformat(report["end"]) - datetime.fromisoformat(report["start"])
        return span == length

    return [report for report in context.history if report["verdict"] != "stopped" and same_kind(report)]
