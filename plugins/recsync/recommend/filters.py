"""The filter of a recommend run: its name, each person's values, and deleting former filters.

https://docs.aws.amazon.com/personalize/latest/dg/filter-batch.html
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.refusals import error_code
from airflow_personalize.resource import State, state_of
from airflow_personalize.resources import FILTER
from recsync.context import StageContext
from recsync.errors import RETRIABLE, FatalError
from recsync.program import Program
from recsync.program.filters import render_expression
from recsync.storage.duck import quoted_path
from recsync.warehouse.column_types import Kind
from recsync.warehouse.values import moment, parts

log = logging.getLogger(__name__)
_DIGEST_BYTES = 6
# "filterValues": https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html
MAX_CHARACTERS = 1000
VALUES = pa.schema([("user_id", pa.string()), ("filter_values", pa.string())])
"""Each person's ``filterValues`` as JSON."""


@dataclass(frozen=True)
class FilterPlan:
    """A filter, named after its expression: filters never change, so another expression is another filter."""

    name: str
    expression: str


def active_filter(program: Program, interval_end: datetime) -> FilterPlan | None:
    """Return the filter of a recommend run; None when the program file names none.

    :param interval_end: the moment the run is for, the same for each of its retries.
    """
    if program.filters.recommend is None:
        return None
    expression = render_expression(program.filters.recommend.expression, interval_end)
    digest = hashlib.blake2b(expression.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return FilterPlan(f"{_prefix(program.name)}{digest}", expression)


def filters_to_retire(
    program: Program, found: Iterable[Mapping[str, Any]], unusable: Collection[str], current: str | None
) -> list[Mapping[str, Any]]:
    """Return the filters of this program to delete: all but the current one and the ``filters.keep`` newest before it.

    :param found: summaries of ``ListFilters``, without those that are being deleted.
    :param unusable: names of filters that could not be created; they are deleted, because they block their name.
    :param current: name of the filter in use; None keeps nothing.
    """
    own = re.compile(rf"{re.escape(_prefix(program.name))}[0-9a-f]{{{2 * _DIGEST_BYTES}}}")
    mine = [each for each in found if own.fullmatch(each["name"])]
    failed = [each for each in mine if each["name"] in unusable]
    former = [each for each in mine if each not in failed and each["name"] != current]
    former.sort(key=lambda each: (each["creationDateTime"], each["name"]), reverse=True)
    return [*failed, *former[program.filters.keep if current else 0 :]]


def _prefix(program_name: str) -> str:
    return f"{program_name}-filter-"


def filter_values(given: Mapping[str, str | None], kinds: Mapping[str, Kind]) -> dict[str, str]:
    """Turn the values of an audience row into ``filterValues``.

    Texts are quoted, lists joined with commas; numbers are digits, times epoch seconds (dates at 00:00 UTC), booleans
    the warehouse's own text, as in an exported text field. NULL, empty texts and empty lists are omitted: without its
    value an EXCLUDE does nothing, and an INCLUDE fails the line.

    :param given: the warehouse's text by placeholder.
    :param kinds: of the columns, by placeholder.
    :raises ValueError: for a value that cannot be written so, naming the placeholder and not the value.
    """
    written = {}
    for name, text in given.items():
        if text is None:
            continue
        values = [_written(name, part, kinds[name]) for part in _parts(name, text, kinds[name])]
        if values:
            written[name] = ",".join(values)
            if len(written[name]) > MAX_CHARACTERS:
                raise ValueError(f"${name} is longer than the {MAX_CHARACTERS} characters of a filter value")
    return written


def _parts(name: str, text: str, kind: Kind) -> list[Any]:
    try:
        return [part for part in parts(text, kind) if part not in {None, ""}]
    except (ValueError, TypeError):
        raise ValueError(f"${name} is no text and no list of texts or numbers") from None


def _written(name: str, part: Any, kind: Kind) -> str:
    if isinstance(part, int | float) and not isinstance(part, bool):
        return _digits(name, str(part))
    text = str(part)
    if kind is Kind.MOMENT:
        try:
            return str(int(moment(text).timestamp()))
        except ValueError:
            raise ValueError(f"${name} is no time of the years 1 to 3000") from None
    if kind in {Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT}:
        return _digits(name, text)
    if '"' in text:
        raise ValueError(
            f"${name} holds a double quote, which a filter value cannot; take it out in the query"
        )
    return f'"{text}"'


def _digits(name: str, text: str) -> str:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise ValueError(f"${name} is no finite number")
    digits = f"{found:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def keep_values(
    batches: Iterable[pa.RecordBatch],
    values: Mapping[str, str],
    kinds: Mapping[str, Kind],
    target: Path,
    *,
    name: str,
) -> Iterator[pa.RecordBatch]:
    """Pass on the rows of ``audience.sql`` and write each person's values (``VALUES``).

    :param batches: texts; ``user_id`` and the columns of ``values`` are among them.
    :param values: column by placeholder.
    :param kinds: of the columns, by placeholder.
    :param name: the SQL file, for errors.
    :raises FatalError: for a value that a filter cannot have.
    """
    with pq.ParquetWriter(target, VALUES, compression="zstd") as writer:
        for batch in batches:
            rows = zip(*(batch[column].to_pylist() for column in values.values()), strict=True)
            texts = [_json(dict(zip(values, row, strict=True)), values, kinds, name) for row in rows]
            writer.write_batch(
                pa.RecordBatch.from_arrays([batch["user_id"], pa.array(texts, pa.string())], schema=VALUES)
            )
            yield batch


def _json(
    given: Mapping[str, str | None], values: Mapping[str, str], kinds: Mapping[str, Kind], name: str
) -> str:
    try:
        return json.dumps(filter_values(given, kinds))
    except ValueError as error:
        raise FatalError(
            f"{name} returns a value that filters.recommend cannot use: {error}. ({dict(values)})"
        ) from None


def add_values(connection: duckdb.DuckDBPyConnection, lines: Path, values: Path, *, lists: bool) -> None:
    """Add each person's ``filterValues`` to the lines of a job's input, which are sorted by person.

    Of a person's different values in the audience, always the same one is taken.

    :param lines: JSON lines with ``userId``.
    :param lists: whether they hold an ``itemList`` too.
    """
    plain = lines.with_suffix(".plain")
    lines.rename(plain)
    columns = "{'userId': 'VARCHAR'" + (", 'itemList': 'VARCHAR[]'}" if lists else "}")
    connection.execute(
        f"""
        COPY (
            SELECT lines.*, coalesce(given.filter_values, '{{}}')::JSON AS "filterValues"
            FROM read_json({quoted_path(plain)}, columns = {columns}, format = 'newline_delimited') lines
            LEFT JOIN (
                SELECT user_id, min(filter_values) AS filter_values FROM read_parquet({quoted_path(values)})
                GROUP BY user_id
            ) given ON given.user_id = lines."userId"
            ORDER BY lines."userId"
        ) TO {quoted_path(lines)} (FORMAT json)
        """
    )
    plain.unlink()


def make_room(program_name: str, plan: dict[str, Any]) -> dict[str, str]:
    """Delete former filters before a run's own is created, so that their number stays below the service's limit.

    :param plan: of ``prepare.prepare``.
    :returns: arguments of the filter: ``name``, ``expression`` and ``dataset_group_arn``.
    """
    retire_filters(program_name, plan["solution_version_arn"], plan["filter"]["name"])
    hook = _hook(StageContext.of(program_name))
    return {
        **plan["filter"],
        "dataset_group_arn": hook.dataset_group_of_version(plan["solution_version_arn"]),
    }


def retire_filters(program_name: str, solution_version_arn: str, current: str | None) -> list[str]:
    """Delete the filters of this program that are neither current nor among the newest, nor used by a running job.

    :param solution_version_arn: any version of the dataset group.
    :param current: name of the filter that must stay.
    :returns: ARNs of those deleted.
    """
    context = StageContext.of(program_name)
    hook = _hook(context)
    found = hook.listed(FILTER, datasetGroupArn=hook.dataset_group_of_version(solution_version_arn))
    candidates = to_retire(context.program, found, current)
    return [each["filterArn"] for each in candidates if _delete(hook, each["filterArn"])]


def to_retire(
    program: Program, found: Iterable[Mapping[str, Any]], current: str | None
) -> list[Mapping[str, Any]]:
    """Choose the filters of a program that may go, from the summaries of ``ListFilters``."""
    there = [each for each in found if state_of(each) is not State.GONE]
    failed = {each["name"] for each in there if state_of(each) is State.FAILED}
    return filters_to_retire(program, there, failed, current)


def _delete(hook: PersonalizeHook, arn: str) -> bool:
    try:
        return hook.delete(FILTER, arn)
    except RETRIABLE as error:
        cause = error.__cause__
        if not isinstance(cause, ClientError) or error_code(cause) != "ResourceInUseException":
            raise
        log.info("Filter %s stays: a running job uses it", arn)
        return False


def _hook(context: StageContext) -> PersonalizeHook:
    return PersonalizeHook(aws_conn_id=context.program.aws)
