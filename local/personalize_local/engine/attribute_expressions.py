"""Read what a segment of attributes asks for: `ITEMS.GENRES = "Comedy" AND ITEMS.GENRES = "Action"`.

Only `=` and `AND` exist: https://docs.aws.amazon.com/personalize/latest/dg/item-attribute-affinity-recipe.html
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lark import Lark, Tree, UnexpectedInput

from personalize_local.engine.interactions import BoolArray

_GRAMMAR = r"""
start: condition ("AND"i condition)*
condition: "ITEMS"i "." NAME "=" VALUE
NAME: /[A-Za-z_][A-Za-z0-9_]*/
VALUE: /"[^"]*"|'[^']*'/
%ignore /\s+/
"""
_PARSER = Lark(_GRAMMAR, parser="lalr")


class ExpressionError(ValueError):
    """Say what is wrong with one expression, in a sentence fit for an output line."""


@dataclass(frozen=True)
class Condition:
    """Ask for the items whose column holds a value, alone or among others parted by `|`."""

    column: str
    value: str


def parse_attributes(text: str) -> list[Condition]:
    """Read an expression; raise :class:`ExpressionError`."""
    try:
        tree = _PARSER.parse(text)
    except UnexpectedInput as error:
        place = getattr(error, "column", None) or len(text) + 1
        raise ExpressionError(
            f"Invalid itemAttributes expression at character {place}: expected"
            ' ITEMS.<column> = "<value>", joined by AND'
        ) from error
    conditions = (part.children for part in tree.children if isinstance(part, Tree))
    return [Condition(str(name), str(value)[1:-1]) for name, value in conditions]


def matching(items: pa.Table, conditions: list[Condition], hidden: str | None = None) -> BoolArray:
    """Mark the rows that meet all conditions.

    :param hidden: the textual column, which cannot be asked for.
    :raises ExpressionError: for a column that does not exist, or is textual.
    """
    found = np.ones(items.num_rows, dtype=np.bool_)
    by_name = {name.upper(): name for name in items.column_names if name not in {"ITEM_ID", hidden}}
    for condition in conditions:
        name = by_name.get(condition.column.upper())
        if name is None:
            raise ExpressionError(f"Items has no column {condition.column} that can be asked for")
        found &= holds(items.column(name), condition.value)
    return found


def holds(column: pa.ChunkedArray, value: str) -> BoolArray:
    """Mark the cells that hold the value; empty cells hold none."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        fenced = pc.binary_join_element_wise("|", column, "|", "")
        hit = pc.match_substring(fenced, f"|{value}|")
    else:
        try:
            hit = pc.equal(pc.cast(column, pa.float64()), float(value))
        except ValueError:
            return np.zeros(len(column), dtype=np.bool_)
    return np.asarray(pc.fill_null(hit, fill_value=False).to_numpy(zero_copy_only=False), dtype=np.bool_)
