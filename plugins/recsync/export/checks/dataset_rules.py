"""Rules about an export as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recsync.export.checks.context import CheckContext
from recsync.export.checks.figures import Figures
from recsync.export.checks.odd_texts import CATEGORY_FORM, NULL_WORDS
from recsync.export.checks.texts import rows_and_share
from recsync.program import DatasetType
from recsync.program.columns import Role, columns_of, metadata_columns
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
class Broken:
    """A rule that may be broken; its limits decide.

    :param text: goes on after the name of the SQL file.
    :param rows: how many rows break it; None when it is about the whole export.
    :param quiet: whether less than its limits is not worth a note.
    """

    rule: str
    text: str
    column: str | None = None
    rows: int | None = None
    quiet: bool = False


def dataset_rules(context: CheckContext, figures: Figures, rows: int, size_bytes: int) -> Iterator[Broken]:
    """Try every rule about the whole.

    :param rows: how many rows the query returned, the bad ones too.
    """
    if context.full and not rows:
        yield Broken("no_rows", "returned no row: a FULL import would empty the dataset. Is the table empty?")
        return
    if context.full and context.dataset_type is DatasetType.INTERACTIONS:
        yield from _minimums(figures)
    yield from _ids(context, figures)
    yield from _odd_texts(figures)
    yield from _columns(figures)
    yield from _events(context, figures)
    yield from _size(context, size_bytes)


def _minimums(figures: Figures) -> Iterator[Broken]:
    users = figures.users
    if users is None:
        return
    # Amazon Personalize makes one of rows that are the same.
    interactions = figures.rows - figures.duplicate_rows
    if interactions < MIN_INTERACTIONS:
        yield Broken(
            "min_interactions",
            f"returned {interactions} interactions; Amazon Personalize trains on at least {MIN_INTERACTIONS}. {_WAIT}",
        )
    elif interactions < RECOMMENDED_INTERACTIONS:
        yield Broken(
            "recommended_interactions",
            f"returned {interactions} interactions; Amazon Personalize recommends at least {RECOMMENDED_INTERACTIONS}.",
        )
    if users.with_two < MIN_USERS_WITH_TWO:
        yield Broken(
            "min_users",
            f"returned {users.with_two} users with at least 2 interactions; Amazon Personalize trains on at least "
            f"{MIN_USERS_WITH_TWO}. {_WAIT}",
        )
    elif users.with_two < MIN_SHARE_WITH_TWO * users.distinct:
        yield Broken(
            "min_user_share",
            f"returned {users.with_two} users with at least 2 interactions, {users.with_two / users.distinct:.2%} of "
            f"{users.distinct}; Amazon Personalize trains on at least {MIN_SHARE_WITH_TWO:.0%}. Are the user ids new "
            "for every session?",
        )
    if users.distinct < RECOMMENDED_USERS:
        yield Broken(
            "recommended_users",
            f"returned {users.distinct} users; Amazon Personalize recommends at least {RECOMMENDED_USERS}.",
        )


def _ids(context: CheckContext, figures: Figures) -> Iterator[Broken]:
    if not figures.rows:
        return
    repeated = figures.duplicate_rows
    if repeated:
        yield Broken(
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
            yield Broken(
                rule,
                f"returns {rows_and_share(ids.unknown_rows, ids.unknown_rows / figures.rows)} whose {column} is not in "
                f"the {rule.removeprefix('unknown_')} dataset: their metadata cannot be used and filters do not see "
                "them. Are the ids written alike in both queries?",
                column=column,
                rows=ids.unknown_rows,
            )


def _odd_texts(figures: Figures) -> Iterator[Broken]:
    rows = {(NULL_WORDS, column): count for column, count in figures.null_ids.items()}
    rows |= {
        (rule, name): count for name, one in figures.summaries.items() for rule, count in one.odd.items()
    }
    for (rule, column), count in rows.items():
        if count:
            what = rows_and_share(count, count / figures.rows)
            yield Broken(rule, _ODD_TEXTS[rule].format(what=what, column=column), column=column, rows=count)


def _columns(figures: Figures) -> Iterator[Broken]:
    for name, summary in figures.summaries.items():
        nulls = summary.nulls
        if figures.rows and nulls == figures.rows:
            yield Broken(
                "empty_column", f"returns no value of {name} at all. Leave the field out?", column=name
            )
        elif nulls:
            yield Broken(
                "completeness",
                f"returns {rows_and_share(nulls, nulls / figures.rows)} without {name}; Amazon Personalize recommends "
                "that at least 70 % have a value.",
                column=name,
                rows=nulls,
                quiet=True,
            )
        if summary.many_values or (
            summary.column.role is Role.CATEGORY and (summary.distinct or 0) > MAX_CATEGORIES
        ):
            count = "very many" if summary.distinct is None else summary.distinct
            yield Broken(
                "category_values",
                f"returns {count} different categories in {name}; Amazon Personalize recommends at most "
                f"{MAX_CATEGORIES}. Use coarser ones.",
                column=name,
            )
        if summary.too_long:
            yield Broken(
                "textual_length",
                f"returns {rows_and_share(summary.too_long, summary.too_long / figures.rows)} whose {name} has over "
                f"{MAX_TEXTUAL_CHARACTERS} characters; Amazon Personalize reads no further.",
                column=name,
                rows=summary.too_long,
            )


def _events(context: CheckContext, figures: Figures) -> Iterator[Broken]:
    metadata = metadata_columns(columns_of(context.schema))
    if (
        context.dataset_type is DatasetType.INTERACTIONS
        and figures.event_type_names + metadata > MAX_EVENT_COLUMNS
    ):
        yield Broken(
            "event_columns",
            f"returns {figures.event_type_names} event types beside {metadata} metadata field(s); Amazon Personalize "
            f"allows {MAX_EVENT_COLUMNS} of both together. Map event types to fewer ones or leave some out.",
            column="EVENT_TYPE" if figures.event_type_names else None,
        )


def _size(context: CheckContext, size_bytes: int) -> Iterator[Broken]:
    most, mode = (MAX_FULL_BYTES, "FULL") if context.full else (MAX_INCREMENT_BYTES, "INCREMENTAL")
    if size_bytes > most:
        yield Broken(
            "object_size",
            f"returns {size_bytes / 10**9:.1f} GB; one {mode} import of Amazon Personalize takes {most / 10**9:.0f} "
            "GB. Return fewer columns or rows.",
        )
