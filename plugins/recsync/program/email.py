"""The program file: how the e-mail shows an item. The e-mail kit and the preview read it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from recsync.formatting import closest
from recsync.program.section import IncludePath, Strict, matching

ColumnName = Annotated[str, Field(min_length=1)]
_UTM = matching(r"[A-Za-z0-9_.\-]{1,100}", "be letters, digits, _, . and -")


def _currency(value: str) -> str:
    # Babel takes 60 ms to load, and most program files name no currency.
    from babel.numbers import list_currencies

    known = list_currencies()
    if value not in known:
        found = value.upper() if value.upper() in known else closest(value.upper(), sorted(known))
        raise ValueError(f"must be a currency of ISO 4217; {f'write {found}' if found else 'such as EUR'}")
    return value


def _locale(value: str) -> str:
    from babel import Locale, UnknownLocaleError

    try:
        Locale.parse(value)
    except (ValueError, UnknownLocaleError):
        raise ValueError("must be a language and a country, such as en_US or de_DE") from None
    return value


class EmailColumns(Strict):
    """Which sent field is which part of an item; None: recognised by its name."""

    name: ColumnName | None = None
    brand: ColumnName | None = None
    price: ColumnName | None = None
    former_price: ColumnName | None = None
    url: ColumnName | None = None
    image: ColumnName | None = None


class Utm(Strict):
    """Parameters added to every link.

    :param campaign: None: the program's name.
    """

    source: Annotated[str, _UTM] = "braze"
    medium: Annotated[str, _UTM] = "email"
    campaign: Annotated[str, _UTM] | None = None


class Email(Strict):
    """How the e-mail shows the items.

    :param items: how many of the list it shows.
    :param currency: ISO 4217; None: no prices are shown, because a number without a currency says nothing.
    :param locale: how prices are written.
    :param free: shown instead of a price of 0; None: an item with a price of 0 has no price in the e-mail.
    :param template: the program's own template below ``include/``; None: the one of the kit.
    """

    items: int = Field(default=4, ge=1, le=50)
    currency: Annotated[str, AfterValidator(_currency)] | None = None
    locale: Annotated[str, AfterValidator(_locale)] = "en_US"
    free: Annotated[str, Field(min_length=1, max_length=30)] | None = None
    template: IncludePath | None = None
    columns: EmailColumns = EmailColumns()
    utm: Utm = Utm()
