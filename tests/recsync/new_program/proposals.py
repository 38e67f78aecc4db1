"""Proposals of small programs, and the files that are written of them."""

from __future__ import annotations

from typing import Any

from recsync.new_program.columns import Column, Ref, Table
from recsync.new_program.proposal import Proposal
from recsync.new_program.render import files
from recsync.new_program.time_forms import TimeForm
from recsync.warehouse import dialects
from recsync.warehouse.column_types import Kind
from recsync.warehouse.dialects import Dialect

EPOCH = TimeForm("epoch", "a timestamp")


def column(name: str, kind: Kind = Kind.TEXT, *, filled: int = 100, **more: Any) -> Column:
    return Column(name, kind, more.pop("type", "text"), filled, more.pop("distinct", 50), **more)


def table(name: str, *columns: Column, schema: str = "public") -> Table:
    return Table(schema, name, 100, {each.name: each for each in columns})


def proposal(lines: Table, form: TimeForm = EPOCH, **more: Any) -> Proposal:
    user, item, time = (Ref(lines.name, name) for name in list(lines.columns)[:3])
    return Proposal(lines, user, item, time, form, **more)


def written(found: Proposal, dialect: Dialect = dialects.POSTGRES, **more: Any) -> dict[str, str]:
    return {
        path.removeprefix("sql/shop/"): text for path, text in files("shop", found, dialect, **more).items()
    }


CLICKS = table("clicks", column("reader"), column("article"), column("at", Kind.MOMENT, type="timestamp"))
ITEMS = table(
    "articles",
    column("id", filled=100, distinct=100, sample=("a1", "a2")),
    column("title", filled=90),
    column("section"),
    column("price_cents", Kind.INTEGER),
    column("published", Kind.MOMENT, type="timestamptz"),
    column("stock", Kind.INTEGER),
)
FIELDS = {
    name: Ref("articles", its)
    for name, its in {"title": "title", "category": "section", "price": "price_cents"}.items()
}
WITH_ITEMS = proposal(
    CLICKS, items=ITEMS, item_id=Ref("articles", "id"), fields=FIELDS, created=Ref("articles", "published"),
    created_form=EPOCH, in_stock=Ref("articles", "stock"),
)  # fmt: skip
