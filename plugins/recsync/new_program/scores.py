"""Score how likely a column is the one that is looked for, by its name, its type and its values; 0 if it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Collection

from recsync.new_program import columns as looks
from recsync.new_program.columns import Column, Table
from recsync.new_program.time_forms import time_form
from recsync.warehouse.column_types import Kind

# Lower scores say nothing.
LIKELY = 1.0
# At most this many event types, because types and metadata columns together may be ten.
_MAX_EVENTS = 9
_MAX_CATEGORIES = 1_000
# Of several times, the one at which a person did something, and those of what came after it.
_DONE = looks.vocabulary(
    "order purchase bought created placed event timestamp occurred played clicked viewed rated booked invoice "
    "transaction bestell auftrag gekauft visited"
)
_AFTERWARDS = looks.vocabulary(
    "updated modified changed approved shipped shipping deliver estimated limit due cancel refund return fulfilled "
    "expires expiry deleted loaded synced received ingested processed checkout birth geaendert liefer versand end"
)
# Ids that change for one person, or that name more than one, and those of parts or of pages.
_LESS = looks.vocabulary(
    "session anonymous visitor device company account firma variant style model page document offer material"
)
# A column with one of these words describes a thing and does not identify it.
_ATTRIBUTES = looks.vocabulary(
    "price preis name title titel category kategorie count qty quantity menge anzahl agent segment status "
    "score rating image url description beschreibung email mail amount group gruppe bezeichnung brand "
    "marke age city country type typ level rank position"
)


def id_score(column: Column, meant: Collection[str]) -> float:
    """Score a column as the id of what some words name, such as users; 0 if it cannot be one."""
    if not looks.is_id(column) or column.distinct < 2:
        return 0.0
    score = looks.matches(column.name, meant)
    if score and any(word in "".join(looks.words(column.name)) for word in _LESS):
        score -= 0.5
    describes = score < 4 and any(word in _ATTRIBUTES for word in looks.words(column.name))
    return score - 2 * describes


def time_preference(name: str) -> float:
    """Return how much sooner a time is that of the event than of something that came after it."""
    bare = "".join(looks.words(name))
    later = any(word in bare for word in _AFTERWARDS)
    return -1.0 if later else 0.5 * any(word in bare for word in _DONE)


def time_score(column: Column, rows: int, meant: Collection[str]) -> float:
    """Score a column as a time.

    :param rows: of its table.
    """
    form = time_form(column)
    if form is None:
        return 0.0
    named = looks.matches(column.name, meant)
    # Numbers are ids as often as times.
    if form.helper.startswith("epoch_") and form.helper != "epoch_text" and not named:
        return 0.5
    return 1.5 + min(named, 3) + 0.5 * (column.filled == rows) + time_preference(column.name)


def event_score(column: Column) -> float:
    """Score a column as the type of an event."""
    few = column.kind is Kind.TEXT and 2 <= column.distinct <= _MAX_EVENTS
    return looks.matches(column.name, looks.EVENT) if few and column.filled else 0.0


def value_score(column: Column) -> float:
    """Score a column as the value of an event: a rating, a quantity or an amount."""
    if column.kind not in looks.NUMBERS or time_form(column) or column.distinct < 2:
        return 0.0
    order = 1 if looks.matches(column.name, {"rating", "stars", "score", "bewertung"}) else 0
    return looks.matches(column.name, looks.VALUE) and 1 + order


def image_score(column: Column) -> float:
    """Score a column as the address of an image."""
    return 3.0 * looks.is_image(column)


def url_score(column: Column) -> float:
    """Score a column as the address of an item's page."""
    is_page = looks.is_url(column) and not looks.is_image(column)
    return (1.0 + looks.matches(column.name, looks.URL)) * is_page


def price_score(column: Column) -> float:
    """Score a column as a price: a number, or a text with one."""
    fits = column.kind in looks.NUMBERS or looks.price_mark(column) is not None
    if not fits or time_form(column) or ((column.lowest or 0) < 0 and column.distinct < 2):
        return 0.0
    return looks.matches(column.name, looks.PRICE) + 0.5 * (
        column.kind is Kind.TEXT and _has_currency(column)
    )


def _has_currency(column: Column) -> bool:
    signs = ("€", "$", "£", "¥", "eur", "usd", "gbp", "chf")
    return any(sign in value.casefold() for value in column.sample for sign in signs)


def title_score(column: Column) -> float:
    """Score a column as the name of an item."""
    named = looks.matches(column.name, looks.TITLE)
    text = column.kind is Kind.TEXT and not (looks.is_url(column) or looks.is_email(column))
    if not named or not text or looks.matches(column.name, looks.CATEGORY | looks.BRAND) >= 3:
        return 0.0
    words = set(looks.words(column.name))
    long = bool(words & {"description", "beschreibung", "desc"})
    other = bool(words & (looks.CATEGORY | looks.BRAND | looks.USER))
    return max(0.0, named - 1.5 * long - 2 * other + 0.5 * bool(words & looks.ITEM))


def feature_score(column: Column) -> float:
    """Score a column as one that sorts rows into groups, the fewer the better."""
    rows = max(1, column.filled)
    few = 2 <= column.distinct <= min(_MAX_CATEGORIES, max(20, rows // 2))
    plain = column.kind is Kind.TEXT and not looks.is_url(column) and not time_form(column)
    if not few or not plain or looks.price_mark(column) or looks.flag_values(column):
        return 0.0
    return 1.0 + 1.0 / column.distinct


def group_score(meant: Collection[str]) -> Callable[[Column], float]:
    """Return the score of a column as a group that some words name, such as brands."""
    return lambda column: looks.matches(column.name, meant) if feature_score(column) else 0.0


def stock_score(column: Column) -> float:
    """Score a column as the one that says whether an item can be had."""
    if not looks.matches(column.name, looks.STOCK):
        return 0.0
    number = column.kind in looks.NUMBERS and not time_form(column)
    if looks.flag_values(column) is None and not number:
        return 0.0
    some = [value for value in column.sample if value not in {"0", "false", "False"}]
    # A column that says "no" of nearly everything means something else.
    return 2.0 if len(some) >= 0.05 * len(column.sample) else 0.0


def email_score(column: Column) -> float:
    """Score a column as the e-mail address."""
    return 3.0 * looks.is_email(column)


def consent_score(column: Column) -> float:
    """Score a column as the consent to e-mails."""
    named = looks.matches(column.name, looks.CONSENT | looks.OPT_OUT) or any(
        word in "".join(looks.words(column.name)) for word in ("optin", "optout", "newsletter", "consent")
    )
    # The time of a consent, or of an unsubscription, says as much as yes or no.
    if not named or (looks.flag_values(column) is None and time_form(column) is None):
        return 0.0
    mail = bool(set(looks.words(column.name)) & {"email", "mail", "newsletter"})
    return 2.0 + mail


def external_id_score(column: Column) -> float:
    """Score a column as the person's ``external_id`` in Braze."""
    return looks.matches(column.name, looks.EXTERNAL) * column.is_unique


def is_like_people(table: Table) -> bool:
    """True if the rows of a table seem to be people."""
    return looks.matches(table.name, looks.USER) >= 2 or any(
        looks.is_email(column) or looks.matches(column.name, looks.CONSENT)
        for column in table.columns.values()
    )


def is_like_items(table: Table) -> bool:
    """True if the rows of a table seem to be items."""
    found = table.columns.values()
    return looks.matches(table.name, looks.ITEM) >= 2 or (
        any(looks.is_image(column) or looks.matches(column.name, looks.PRICE) for column in found)
        and any(looks.matches(column.name, looks.TITLE) for column in found)
    )


def is_key(column: Column) -> bool:
    """True if the values of a column seem to be the keys of its table."""
    # Keys with a few repeated rows are keys too: the SQL then takes one row for each.
    nearly = column.filled > 1 and column.distinct >= 0.8 * column.filled
    plain = looks.is_id(column) and not looks.is_url(column) and not looks.is_email(column)
    return nearly and plain and column.kind is not Kind.MOMENT


def may_lead_to(column: Column, key: Column) -> bool:
    """True if the values of a column may be those of a key of another table."""
    if not looks.is_id(column) or column.distinct < 2 or looks.is_url(column) or looks.is_email(column):
        return False
    numbers = [each.kind in looks.NUMBERS for each in (column, key)]
    # Times and ids are both whole numbers. A number and a text are compared as texts.
    if all(numbers) and column.low and column.high and key.low and key.high:
        return float(column.low) <= float(key.high) and float(key.low) <= float(column.high)
    forms = {_form(value) for value in key.sample[:200]}
    return any(_form(value) in forms for value in column.sample[:200])


def _form(value: str) -> tuple[bool, bool]:
    return any(map(str.isdigit, value)), any(map(str.isalpha, value))
