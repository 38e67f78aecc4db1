"""Rules about an export as a whole, and its comparison with earlier exports (drift)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from recsync.export.checks.profile import CATEGORY_FORM, NULL_WORDS, ExportFigures
from recsync.export.checks.report import CheckContext, DriftFigure, DriftFinding, rows_and_share
from recsync.program import DatasetType
from recsync.program.avro import Role
from recsync.program.data import Level
from recsync.program.intervals import Interval
from recsync.warehouse.values import MAX_TEXTUAL_CHARACTERS

# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
MIN_INTERACTIONS = 1_000
MIN_USERS_WITH_TWO = 25
MIN_SHARE_WITH_TWO = 0.01
MAX_EVENT_COLUMNS = 10
MAX_FULL_BYTES = 100 * 10**9
MAX_INCREMENT_BYTES = 10**9
# https://docs.aws.amazon.com/personalize/latest/dg/preparing-training-data.html
RECOMMENDED_INTERACTIONS = 50_000
RECOMMENDED_USERS = 1_000
MAX_CATEGORIES = 1_000
_ODD_TEXTS = {
    NULL_WORDS: "returns {what} whose {column} is a word for a missing value, such as None, NULL or nan, as a text. "
    "Return NULL, or leave such rows out.",
    CATEGORY_FORM: "returns {what} whose {column} looks like an array or JSON, or has an empty part between |. Join "
    "categories with |, e.g. array_to_string(column, '|').",
}
_WAIT = "Widen the query or wait for more data."


@dataclass(frozen=True)
class Violation:
    """A violation of a rule; the program's limits give its level.

    :param text: without its first word, the name of the SQL file.
    :param rows: how many rows break the rule; None when it is about the whole export.
    :param low_priority: leave it out below the limit for a warning.
    """

    rule: str
    text: str
    column: str | None = None
    rows: int | None = None
    low_priority: bool = False


def dataset_rules(
    context: CheckContext, figures: ExportFigures, rows: int, size_bytes: int
) -> Iterator[Violation]:
    """Check each rule about the whole export.

    :param rows: how many rows the query returned, including bad ones.
    """
    if context.full and not rows:
        yield Violation(
            "no_rows", "returned no row: a FULL import would empty the dataset. Is the table empty?"
        )
        return
    if context.full and context.dataset_type is DatasetType.INTERACTIONS:
        yield from _minimums(figures)
    yield from _ids(figures)
    yield from _odd_texts(figures)
    yield from _columns(context, figures)
    yield from _events(context, figures)
    yield from _size(context, size_bytes)


def _minimums(figures: ExportFigures) -> Iterator[Violation]:
    users = figures.users
    if users is None:
        return
    # Amazon Personalize counts equal rows once.
    interactions = figures.rows - figures.duplicate_rows
    if interactions < MIN_INTERACTIONS:
        yield Violation(
            "min_interactions",
            f"returned {interactions} interactions; Amazon Personalize trains on at least {MIN_INTERACTIONS}. {_WAIT}",
        )
    elif interactions < RECOMMENDED_INTERACTIONS:
        yield Violation(
            "recommended_interactions",
            f"returned {interactions} interactions; Amazon Personalize recommends at least {RECOMMENDED_INTERACTIONS}.",
        )
    if users.with_two < MIN_USERS_WITH_TWO:
        yield Violation(
            "min_users",
            f"returned {users.with_two} users with at least 2 interactions; Amazon Personalize trains on at least "
            f"{MIN_USERS_WITH_TWO}. {_WAIT}",
        )
    elif users.with_two < MIN_SHARE_WITH_TWO * users.distinct:
        yield Violation(
            "min_user_share",
            f"returned {users.with_two} users with at least 2 interactions, {users.with_two / users.distinct:.2%} of "
            f"{users.distinct}; Amazon Personalize trains on at least {MIN_SHARE_WITH_TWO:.0%}. Are the user ids new "
            "for every session?",
        )
    if users.distinct < RECOMMENDED_USERS:
        yield Violation(
            "recommended_users",
            f"returned {users.distinct} users; Amazon Personalize recommends at least {RECOMMENDED_USERS}.",
        )


def _ids(figures: ExportFigures) -> Iterator[Violation]:
    if not figures.rows:
        return
    repeated = figures.duplicate_rows
    if repeated:
        yield Violation(
            "duplicate_rows",
            f"returns {rows_and_share(repeated, repeated / figures.rows)} that are the same as another row; Amazon "
            "Personalize counts such rows once. Does a join multiply rows?",
            rows=repeated,
        )
    for rule, column, ids in (
        ("unknown_users", "USER_ID", figures.users),
        ("unknown_items", "ITEM_ID", figures.items),
    ):
        if ids is not None and ids.unknown_rows:
            yield Violation(
                rule,
                f"returns {rows_and_share(ids.unknown_rows, ids.unknown_rows / figures.rows)} whose {column} is not in "
                f"the {rule.removeprefix('unknown_')} dataset: their metadata cannot be used and filters do not see "
                "them. Are the ids written alike in both queries?",
                column=column,
                rows=ids.unknown_rows,
            )


def _odd_texts(figures: ExportFigures) -> Iterator[Violation]:
    rows = {(NULL_WORDS, column): count for column, count in figures.null_ids.items()}
    rows |= {
        (rule, name): count for name, one in figures.summaries.items() for rule, count in one.odd.items()
    }
    for (rule, column), count in rows.items():
        if count:
            what = rows_and_share(count, count / figures.rows)
            yield Violation(
                rule, _ODD_TEXTS[rule].format(what=what, column=column), column=column, rows=count
            )


def _columns(context: CheckContext, figures: ExportFigures) -> Iterator[Violation]:
    for name, summary in figures.summaries.items():
        nulls = 0 if name in context.sparse else summary.nulls
        if figures.rows and nulls == figures.rows:
            yield Violation(
                "empty_column", f"returns no value of {name} at all. Leave the field out?", column=name
            )
        elif nulls:
            yield Violation(
                "completeness",
                f"returns {rows_and_share(nulls, nulls / figures.rows)} without {name}; Amazon Personalize recommends "
                "that at least 70 % have a value.",
                column=name,
                rows=nulls,
                low_priority=True,
            )
        if summary.many_values or (
            summary.column.role is Role.CATEGORY and (summary.distinct or 0) > MAX_CATEGORIES
        ):
            count = "very many" if summary.distinct is None else summary.distinct
            yield Violation(
                "category_values",
                f"returns {count} different categories in {name}; Amazon Personalize recommends at most "
                f"{MAX_CATEGORIES}. Use coarser ones.",
                column=name,
            )
        if summary.too_long:
            yield Violation(
                "textual_length",
                f"returns {rows_and_share(summary.too_long, summary.too_long / figures.rows)} whose {name} has over "
                f"{MAX_TEXTUAL_CHARACTERS} characters; Amazon Personalize reads no further.",
                column=name,
                rows=summary.too_long,
            )


def _events(context: CheckContext, figures: ExportFigures) -> Iterator[Violation]:
    types, metadata = figures.event_type_names, context.schema.metadata_columns
    if context.dataset_type is DatasetType.INTERACTIONS and types + metadata > MAX_EVENT_COLUMNS:
        yield Violation(
            "event_columns",
            f"returns {types} event types beside {metadata} metadata field(s); Amazon Personalize allows "
            f"{MAX_EVENT_COLUMNS} of both together. Map event types to fewer ones or leave some out.",
            column="EVENT_TYPE" if types else None,
        )


def _size(context: CheckContext, size_bytes: int) -> Iterator[Violation]:
    most, mode = (MAX_FULL_BYTES, "FULL") if context.full else (MAX_INCREMENT_BYTES, "INCREMENTAL")
    if size_bytes > most:
        yield Violation(
            "object_size",
            f"returns {size_bytes / 10**9:.1f} GB; one {mode} import of Amazon Personalize takes {most / 10**9:.0f} "
            "GB. Return fewer columns or rows.",
        )


Document = Mapping[str, Any]
# Below this, the age of the newest row depends on clocks and batches of the source.
_FRESH_SECONDS = 60


@dataclass(frozen=True)
class _Change:
    """How far a figure is from its median in earlier exports.

    :param distance: compared with the limits of ``checks.drift``.
    :param runs: how many earlier exports have the figure.
    :param text: without its first word, the name of the SQL file.
    """

    now: float
    usual: float
    distance: float
    runs: int
    text: str


def drift_findings(context: CheckContext, figures: ExportFigures) -> Iterator[DriftFinding]:
    """Compare volume, event mix, freshness and new items with the median of the earlier exports.

    Only reports of the same kind (snapshot, or interval of the same length) that were not stopped are compared with.
    """
    settings, earlier = context.settings.drift, _comparable(context)
    if len(earlier) < settings.min_exports:
        return
    changes: dict[DriftFigure, _Change | None] = {
        "volume": _volume(figures, earlier),
        "event_mix": _event_mix(figures, earlier),
        "freshness": _freshness(context.interval, figures, earlier),
        "new_items": _new_items(figures, earlier),
    }
    for figure, change in changes.items():
        if change is None or change.runs < settings.min_exports:
            continue
        limits = getattr(settings, figure)
        levels: tuple[Level, ...] = ("stop", "warn")
        for level in levels:
            limit = getattr(limits, level)
            if limit is not None and change.distance > limit:
                text = f"{context.sql} {change.text}"
                yield DriftFinding(figure, change.now, change.usual, change.runs, level, text)
                break


def _volume(figures: ExportFigures, earlier: Sequence[Document]) -> _Change:
    usual = float(median(report["exported"] for report in earlier))
    # One row more or less is no drift where hardly any are usual.
    ratio = (max(figures.rows, usual) + 1) / (min(figures.rows, usual) + 1)
    text = f"returns {figures.rows} rows where {usual:.0f} are usual."
    return _Change(figures.rows, usual, ratio, len(earlier), text)


def _event_mix(figures: ExportFigures, earlier: Sequence[Document]) -> _Change | None:
    mixes = [mix for mix in (_mix(report["event_types"]) for report in earlier) if mix]
    now = _mix(figures.event_types)
    if not now or not mixes:
        return None
    names = sorted(now.keys() | {name for mix in mixes for name in mix})
    medians = {name: median(mix.get(name, 0.0) for mix in mixes) for name in names}
    total = sum(medians.values()) or 1.0
    differences = {name: now.get(name, 0.0) - medians[name] / total for name in names}
    # Total variation distance: the share of events that would have to be of another type.
    distance = sum(map(abs, differences.values())) / 2
    most = max(names, key=lambda name: abs(differences[name]))
    text = (
        f"returns another mix of event types than usual: {distance:.0%} of the events would have to be of another "
        f"type; most of all {most}, {now.get(most, 0.0):.0%} of the events where {medians[most] / total:.0%} are usual."
    )
    return _Change(distance, 0.0, distance, len(mixes), text)


def _freshness(interval: Interval, figures: ExportFigures, earlier: Sequence[Document]) -> _Change | None:
    ages = [
        datetime.fromisoformat(report["end"]).timestamp() - report["figures"]["newest"]
        for report in earlier
        if report["figures"]["newest"] is not None
    ]
    if figures.newest is None or not ages:
        return None
    usual, now = median(ages), interval.end.timestamp() - figures.newest
    text = (
        f"returns no row newer than {now:.0f} seconds before the end of the interval, where {usual:.0f} are usual. Is "
        "the warehouse late?"
    )
    return _Change(now, usual, now / max(usual, _FRESH_SECONDS), len(ages), text)


def _new_items(figures: ExportFigures, earlier: Sequence[Document]) -> _Change | None:
    found = (report["figures"]["new_items_share"] for report in earlier)
    shares = [share for share in found if share is not None]
    now = figures.new_items_share
    if now is None or not shares:
        return None
    usual = median(shares)
    text = f"returns {now:.0%} new items where {usual:.0%} are usual. Are item ids still written as before?"
    return _Change(now, usual, abs(now - usual), len(shares), text)


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
