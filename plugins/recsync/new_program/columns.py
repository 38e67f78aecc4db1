"""Guess the role of a column from its name, its type and a sample of its values."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from recsync.warehouse.column_types import Kind

NUMBERS = (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT)
# Share of the sampled values that must have a form.
MOST = 0.95
# A value occurs more than once in a column of ids of another table.
_UNIQUE = 0.999


@dataclass(frozen=True)
class Column:
    """One column of a table.

    :param type: the warehouse's name of the type.
    :param filled: rows with a value that is not empty.
    :param distinct: number of different values.
    :param low: lowest value of a number or time, as text.
    :param sample: values of some rows.
    """

    name: str
    kind: Kind
    type: str = ""
    filled: int = 0
    distinct: int = 0
    low: str | None = None
    high: str | None = None
    sample: tuple[str, ...] = ()

    @property
    def is_unique(self) -> bool:
        """True if each value occurs once."""
        return self.filled > 0 and self.distinct >= self.filled * _UNIQUE

    @property
    def lowest(self) -> float | None:
        """Return the lowest value of a number."""
        return float(self.low) if self.kind in NUMBERS and self.low else None


@dataclass(frozen=True)
class Table:
    """One table of the warehouse, with its columns by name."""

    schema: str
    name: str
    rows: int
    columns: Mapping[str, Column] = field(default_factory=dict)

    def empty_share(self, column: str) -> float:
        """Return the share of the rows without a value."""
        return 1 - self.columns[column].filled / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Ref:
    """A column of a table."""

    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True)
class Link:
    """Values of a column that are keys of another table.

    :param key: the unique column.
    :param share: share of the column's values that are among the keys.
    :param coverage: share of the keys that the column has.
    """

    column: Ref
    key: Ref
    share: float
    coverage: float


def words(name: str) -> list[str]:
    """Split the name of a column or table into words, in lower case.

    >>> words("CustomerID"), words("ts_ms"), words("kundenNr2")
    (['customer', 'id'], ['ts', 'ms'], ['kunden', 'nr', '2'])
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.casefold()) if word]


def vocabulary(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_ID_ENDINGS = (
    "identifier", "nummer", "number", "numero", "code", "key", "uuid", "hash", "num", "id", "nr", "no", "sk", "pk",
)  # fmt: skip
# What people call the same thing, in several languages; a name may have an ending such as "id" or "nr".
USER = vocabulary(
    "user usr customer cust client member visitor reader shopper account person people household buyer "
    "contact profile subscriber reviewer viewer listener player guest consumer patient company uid mpid "
    "anonymous kunde kunden nutzer benutzer besteller abonnent mitglied gast firma debitor leser "
    "utilisateur acheteur usuario cliente utente klant gebruiker session"
)
ITEM = vocabulary(
    "item product prod article sku movie film book isbn asin ean gtin upc song track content news post "
    "video listing stock stockcode variant style material offer course recipe game property hotel "
    "restaurant business show episode page document merchandise plu doc model produkt artikel art ware "
    "buch kurs rezept angebot hotel produit producto prodotto articulo articolo beitrag"
)
TIME = vocabulary(
    "time timestamp ts date datetime dt at created ordered when day moment occurred purchased visited "
    "event datum zeit zeitpunkt zeitstempel tag bestellt gekauft fecha heure hora orderdate utc epoch ms millis unix"
)
EVENT = vocabulary("event action behavior behaviour interaction type typ ereignis aktion evento activity")
VALUE = vocabulary(
    "rating score stars bewertung sterne note quantity qty menge anzahl amount betrag revenue umsatz "
    "total value spend price preis"
)
QUANTITY = vocabulary("quantity qty menge anzahl units stueck count cantidad quantite")
PRICE = vocabulary(
    "price preis prix precio prezzo prijs cost msrp uvp vk verkaufspreis listenpreis unitprice amount brutto"
)
TITLE = vocabulary(
    "title titel name bezeichnung headline label titre nombre nome designation productname produktname "
    "artikelname description beschreibung heading caption"
)
IMAGE = vocabulary("image img picture photo thumbnail thumb bild poster cover foto imagen")
URL = vocabulary("url link href permalink uri slug landing")
CATEGORY = vocabulary(
    "category categories cat kategorie genre genres department section topic group gruppe warengruppe "
    "productgroup collection tag tags kind class abteilung ressort rubrik categorie categoria family "
    "subcategory type typ"
)
BRAND = vocabulary(
    "brand marke manufacturer hersteller vendor publisher author autor studio label marque marca"
)
CREATED = vocabulary(
    "created added published release released launch launched since first erstellt angelegt date datum "
    "veroeffentlicht veroffentlicht erschienen creation insert inserted available online"
)
CONSENT = vocabulary(
    "consent optin newsletter subscribed subscribe subscription marketing einwilligung permission "
    "mailable optout unsubscribed abonniert gdpr dsgvo"
)
OPT_OUT = vocabulary("optout unsubscribed unsubscribe abgemeldet blocked donotmail")
STOCK = vocabulary(
    "stock available availability active lieferbar verfuegbar verfugbar bestand instock aktiv enabled "
    "sellable"
)
EXTERNAL = vocabulary("externalid brazeid brazeexternalid crmid")
_PERSONAL = vocabulary(
    "email mail phone telefon tel mobile name vorname nachname firstname lastname surname address adresse "
    "street strasse birth birthday birthdate geburtstag dob zip plz postcode postal iban password ip "
    "device token ssn fax"
)


def matches(name: str, meant: Collection[str]) -> float:
    """Score how well a name fits some words: 4 with an ending such as ``id``, 3 alone, 2 among others, else 0.

    >>> matches("customer_id", USER), matches("userid", USER), matches("userAgent", USER), matches("colour", USER)
    (4, 4, 2, 0)
    """
    parts = words(name)
    bare = "".join(parts)
    for ending in _ID_ENDINGS:
        head = bare.removesuffix(ending)
        if head != bare and _known(head, meant):
            return 4
    if _known(bare, meant):
        return 3
    ends = any(bare.endswith(word) for word in meant if len(word) >= 4)
    return 2 if ends or any(_known(part, meant) for part in parts) else 0


def _known(word: str, meant: Collection[str]) -> bool:
    # Singular and plural, such as customers and Artikeln.
    return word in meant or any(word.removesuffix(end) in meant for end in ("s", "n", "en") if len(word) > 4)


def is_id(column: Column) -> bool:
    """True if values of the column can be ids: texts or whole numbers."""
    if column.kind in {Kind.FLOAT, Kind.DECIMAL}:
        return bool(column.sample) and all(float(value).is_integer() for value in column.sample)
    return column.kind in {Kind.TEXT, Kind.INTEGER, Kind.UNKNOWN}


def is_personal(column: Column) -> bool:
    """True if the column holds what identifies a person, which a model has no use for."""
    return bool({*words(column.name), "".join(words(column.name))} & _PERSONAL) or is_email(column)


def mostly(pattern: str, sample: Sequence[str]) -> bool:
    """True if nearly all of some values have a form."""
    return _share(pattern, sample) >= MOST


def _share(pattern: str, sample: Sequence[str]) -> float:
    compiled = re.compile(pattern)
    return sum(bool(compiled.search(value)) for value in sample) / len(sample) if sample else 0.0


def is_email(column: Column) -> bool:
    """True if the values are e-mail addresses."""
    return mostly(r"^[^@\s]+@[^@\s]+\.[^@\s]+$", column.sample)


def is_image(column: Column) -> bool:
    """True if the values are addresses of images, or addresses under such a name."""
    if not is_url(column):
        return False
    image = mostly(r"(?i)\.(jpe?g|png|webp|gif|avif|svg)(\?|$)", column.sample)
    return image or matches(column.name, IMAGE) > 0


def is_url(column: Column) -> bool:
    """True if the values are web addresses."""
    return mostly(r"(?i)^https?://\S+$", column.sample)


def price_mark(column: Column) -> str | None:
    """Return the mark before the decimal places of a text with prices; None for other texts."""
    amount = r"^\s*[^\d\s]{0,4}\s*\d[\d.,]*\s*[^\d\s]{0,4}\s*$"
    if column.kind is not Kind.TEXT or not mostly(amount, column.sample):
        return None
    commas, points = (_share(rf"{mark}\d{{1,2}}\D*$", column.sample) for mark in (",", r"\."))
    return "," if commas > points else "."


def flag_values(column: Column) -> tuple[str, ...] | None:
    """Return the texts of a yes-or-no column that mean yes, in lower case; None for other columns."""
    values = {value.strip().casefold() for value in column.sample}
    yes = {
        "true", "t", "yes", "y", "1", "ja", "j", "on", "opted_in", "opt_in", "opted-in", "subscribed", "granted",
        "active", "oui", "si", "sí",
    }  # fmt: skip
    no = {
        "false", "f", "no", "n", "0", "nein", "off", "opted_out", "opt_out", "opted-out", "unsubscribed", "denied",
        "inactive", "non", "pending", "",
    }  # fmt: skip
    if column.kind is Kind.BOOLEAN:
        return ("true",)
    return tuple(sorted(values & yes)) if values & yes and values <= yes | no else None


def is_opt_out(column: Column) -> bool:
    """True if "yes" in a column of consent means that there is none."""
    bare = "".join(words(column.name))
    return any(word in bare for word in OPT_OUT)
