"""Find which of the fields that Braze gets is the name, price, link and so on of an item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recsync.errors import FatalError
from recsync.new_program.columns import BRAND, IMAGE, PRICE, TITLE, URL, matches, vocabulary, words
from recsync.program import Program

_FORMER = vocabulary(
    "former old was list regular original before previous compare rrp msrp uvp full strike streich statt alt alter "
    "frueher barre avant antes prima vorher"
)


@dataclass(frozen=True)
class ItemFields:
    """Fields of an item in Braze by what they are; None: there is none.

    :param text_prices: prices that are texts are shown as they are.
    """

    name: str
    brand: str | None = None
    price: str | None = None
    former_price: str | None = None
    url: str | None = None
    image: str | None = None
    text_prices: bool = False


def item_fields(program: Program) -> ItemFields:
    """Find the fields: those that the program file names, the others by their names.

    :raises FatalError: when none is the name.
    """
    sent, said = program.braze.sent_fields, dict(program.email.columns)
    found = {part: column for part, column in said.items() if column}
    free = [column for column in sent if column not in found.values()]

    def take(part: str, scores: Mapping[str, float]) -> None:
        best = max(free, key=lambda column: scores[column], default=None)
        if part not in found and best and scores[best] > 0:
            found[part] = best
            free.remove(best)

    # Names hold several words: a former price is a price too, an image's address an address, a brand's name a name.
    take("image", {column: matches(column, IMAGE) for column in free})
    take("former_price", {column: _is_former_price(column) for column in free})
    take("price", {column: matches(column, PRICE) for column in free})
    take("url", {column: matches(column, URL) for column in free})
    take("brand", {column: matches(column, BRAND) for column in free})
    take("name", {column: matches(column, TITLE) for column in free})
    if "name" not in found:
        where = "braze.catalog.fields" if program.braze.payload == "ids" else "braze.item_fields"
        raise FatalError(
            f"{program.name}.yaml: none of the fields that Braze gets ({', '.join(sent) or 'none'}) looks like the "
            f"items' name. Add it to {where}, and if it has another name than 'name' or 'title', say "
            "email.columns.name."
        )
    prices = [sent.get(found[part]) for part in ("price", "former_price") if part in found]
    return ItemFields(**found, text_prices=any(kind == "string" for kind in prices))


def _is_former_price(column: str) -> float:
    parts = {*words(column), "".join(words(column))}
    return matches(column, PRICE) if parts & _FORMER else 0
