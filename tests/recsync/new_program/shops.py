"""Data of differently shaped shops, as folders of CSV files, with what a new program should make of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

NOW = datetime.now(UTC).replace(microsecond=0)
PEOPLE, THINGS, EVENTS = 80, 60, 1_600


@dataclass(frozen=True)
class Shop:
    """One shop.

    :param tables: lines of each CSV file, the header first.
    :param chosen: choices by key that are right.
    :param answers: the answers that only a person knows.
    :param events: rows of the interactions that are events.
    """

    tables: Callable[[], dict[str, list[str]]]
    chosen: dict[str, str]
    answers: dict[str, object] = field(default_factory=dict)
    events: int = EVENTS


def write(shop: Shop, folder: Path) -> None:
    """Write the CSV files of a shop."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in shop.tables().items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _events(seed: int = 7, days: int = 60) -> Iterator[tuple[int, int, datetime]]:
    """Yield person, thing and time; people of a kind like things of a kind."""
    chance = random.Random(seed)
    for _ in range(EVENTS):
        person = chance.randrange(PEOPLE)
        thing = (
            chance.randrange(THINGS)
            if chance.random() < 0.3
            else (chance.randrange(THINGS // 4) * 4 + person % 4)
        )
        yield person, thing, NOW - timedelta(seconds=chance.randrange(3_600, days * 86_400))


def _csv(header: str, rows: Iterator[Sequence[object]], mark: str = ",") -> list[str]:
    return [header, *(mark.join(str(value) for value in row) for row in rows)]


def fashion() -> dict[str, list[str]]:
    return {
        "orders": _csv(
            "order_id,customer_id,sku,qty,ts_ms,paid",
            (
                (f"O{n:06}", f"C{p:04}", f"SKU-{t:03}", 1 + n % 3, int(at.timestamp() * 1000) + n % 1000, '"19,90 €"')
                for n, (p, t, at) in enumerate(_events())
            ),
        ),
        "products": _csv(
            "sku,product_name,price_eur,image_url,product_url,category,brand,in_stock,added_on",
            (
                (
                    f"SKU-{t:03}", f"Shirt {t}", f'"{1 + t % 3}.{t:03},90 €"', f"https://cdn.shop.test/{t}.jpg",
                    f"https://shop.test/p/{t}", ("shirts", "shoes", "hats", "bags")[t % 4], f"Brand {t % 5}",
                    "true" if t % 10 else "false", f"2026-0{1 + t % 9}-11",
                )
                for t in range(THINGS)
            ),
        ),
        "customers": _csv(
            "customer_id,email,first_name,country,newsletter_opt_in",
            (
                (f"C{p:04}", f"p{p}@example.org", f"Name{p}", ("DE", "FR", "AT")[p % 3], "true" if p % 4 else "false")
                for p in range(PEOPLE)
            ),
        ),
    }  # fmt: skip


def movies() -> dict[str, list[str]]:
    return {
        "ratings": _csv(
            "userId,movieId,rating,timestamp",
            ((p + 1, t + 1, 0.5 + t % 10 / 2, int(at.timestamp())) for p, t, at in _events(days=900)),
        ),
        "movies": _csv(
            "movieId,title,genres",
            (
                (t + 1, f"Film {t} (199{t % 10})", ("Drama|War", "Comedy", "Action|Drama", "War")[t % 4])
                for t in range(THINGS)
            ),
        ),
        "links": _csv("movieId,imdbId,tmdbId", ((t + 1, f"0{114_709 + t}", 862 + t) for t in range(THINGS))),
        "tags": _csv(
            "userId,movieId,tag,timestamp",
            ((p + 1, t + 1, f"tag {t % 9}", int(at.timestamp())) for p, t, at in list(_events(3))[:200]),
        ),
    }


def news() -> dict[str, list[str]]:
    return {
        "clicks": _csv(
            "click_id,reader,article,clicked_at,device",
            (
                (n, f"r-{p}", f"a{t}", f"{at + timedelta(hours=1):%Y-%m-%dT%H:%M:%S} +0100", ("app", "web")[n % 2])
                for n, (p, t, at) in enumerate(_events())
            ),
        ),
        "articles": _csv(
            "id,headline,section,link,published_at",
            (
                (f"a{t}", f"Headline {t}", ("politics", "sports", "culture")[t % 3], f"https://news.test/{t}",
                 f"2026-10-{1 + t % 28:02}T06:00:00+01:00")
                for t in range(THINGS)
            ),
        ),
    }  # fmt: skip


def wholesale() -> dict[str, list[str]]:
    made = list(_events())
    orders = [made[n : n + 4] for n in range(0, EVENTS, 4)]
    return {
        "auftraege": _csv(
            "auftragsnr;kundennr;auftragsdatum;status",
            (
                (500_000 + n, f"K{lines[0][0]:05}", f"{lines[0][2]:%d.%m.%Y %H:%M}", "geliefert")
                for n, lines in enumerate(orders)
            ),
            ";",
        ),
        "positionen": _csv(
            "auftragsnr;pos;artikelnr;menge;einzelpreis",
            (
                (500_000 + n, place + 1, f"{t + 1000}", 1 + t % 20, f"{t % 3}.{t:03},50")
                for n, lines in enumerate(orders)
                for place, (_, t, _) in enumerate(lines)
            ),
            ";",
        ),
        "artikel": _csv(
            "artikelnr;bezeichnung;warengruppe;hersteller;listenpreis",
            (
                (f"{t + 1000}", f"Schraube {t}", ("Metall", "Holz", "Stein")[t % 3], f"Firma {t % 6}",
                 f"{t % 3}.{t:03},50")
                for t in range(THINGS)
            ),
            ";",
        ),
        "kunden": _csv(
            "kundennr;firma;email;einwilligung;branche",
            (
                (f"K{p:05}", f"Firma {p}", f"einkauf{p}@example.org", "ja" if p % 3 else "nein", ("Bau", "Hof")[p % 2])
                for p in range(PEOPLE)
            ),
            ";",
        ),
    }  # fmt: skip


def retail() -> dict[str, list[str]]:
    """Write one table, as the "Online Retail" data set has it: no items, no customers, returns, empty ids."""
    return {
        "online_retail": _csv(
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
            (
                (
                    f"{'C' if n % 50 == 0 else ''}{536_365 + n // 5}", f"{85_123 + t}{'A' if t % 7 == 0 else ''}",
                    f"LANTERN {t}", -1 if n % 50 == 0 else 1 + n % 12,
                    f"{at.month}/{at.day}/{at.year} {at.hour}:{at:%M}",
                    f"{1 + t % 9}.55", "" if n % 8 == 0 else f"{17_000 + p}.0", "United Kingdom" if p % 5 else "France",
                )
                for n, (p, t, at) in enumerate(_events())
            ),
        ),
    }  # fmt: skip


def clickstream() -> dict[str, list[str]]:
    """Write one table of events, as the "eCommerce behavior" data set has it."""
    return {
        "events": _csv(
            "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session",
            (
                (
                    f"{at:%Y-%m-%d %H:%M:%S} UTC", ("view", "view", "cart", "purchase")[n % 4], 1_003_461 + t,
                    2_053_013_555_631_882_655 + t % 4, ("electronics.phone", "", "kids.toys", "auto")[t % 4],
                    f"brand{t % 5}", f"{10 + t}.99", 520_088_904 + p, f"{p:08x}-{n // 9:04x}-11e9-bd4e",
                )
                for n, (p, t, at) in enumerate(_events())
            ),
        ),
    }  # fmt: skip


def streaming() -> dict[str, list[str]]:
    """Write tables whose ids are all whole numbers, with sessions, second times and the time of an opt-out."""
    return {
        "plays": _csv(
            "id,session_id,user_id,track_id,updated_at,played_at,ms_played",
            (
                (n, n // 6, p + 1, t + 1, f"{NOW:%Y-%m-%dT%H:%M:%S}Z", f"{at:%Y-%m-%dT%H:%M:%S}.123Z", t * 1_000)
                for n, (p, t, at) in enumerate(_events())
            ),
        ),
        "tracks": _csv(
            "id,title,artist,genre,duration_ms,cover_url,created_at",
            (
                (t + 1, f"Song {t}", f"Band {t % 9}", ("rock", "jazz")[t % 2], 200_000 + t, f"https://cdn.test/{t}.png",
                 f"2026-0{1 + t % 9}-01T00:00:00Z")
                for t in range(THINGS)
            ),
        ),
        "users": _csv(
            "id,email,unsubscribed_at,external_id,plan",
            (
                (p + 1, f"p{p}@example.org", "" if p % 4 else "2026-05-05T00:00:00Z", f"ext-{p}", "free")
                for p in range(PEOPLE)
            ),
        ),
    }  # fmt: skip


def short_dates() -> dict[str, list[str]]:
    """Write one file with a year of two digits, separated by semicolons, from a shop's till."""
    return {
        "kaeufe": _csv(
            "Kunde;Artikel;Datum;Betrag",
            ((f"K{p}", f"A{t}", f"{at:%d.%m.%y}", "12,90") for p, t, at in _events()),
            ";",
        ),
    }


def library() -> dict[str, list[str]]:
    """Write loans, whose time has a unit and no word for time in its name, with books and readers."""
    return {
        "books": _csv(
            "sku,book_name,genre,cover_url",
            ((f"bk-{t}", f"Book {t}", f"genre {t % 4}", f"https://img.example.com/{t}.jpg") for t in range(THINGS)),
        ),
        "loans": _csv(
            "loan_no,reader_no,sku,loaned_ms",
            (
                (n, 70_000 + p, f"bk-{t}", round(at.timestamp() * 1000))
                for n, (p, t, at) in enumerate(_events())
            ),
        ),
        "readers": _csv(
            "reader_no,mail_address,newsletter",
            ((70_000 + p, f"r{p}@example.com", "yes" if p % 9 else "no") for p in range(PEOPLE)),
        ),
    }  # fmt: skip


def unnamed() -> dict[str, list[str]]:
    """Write a log whose columns say nothing, with dates that can be read in two ways."""
    days = [datetime(2026, 1 + n % 10, 1 + n % 12, tzinfo=UTC) for n in range(EVENTS)]
    return {
        "log": _csv(
            "a,b,c",
            ((f"x{p}", f"y{t}", f"{day:%d/%m/%Y}") for (p, t, _), day in zip(_events(), days, strict=True)),
        ),
    }


SHOPS = {
    "fashion": Shop(
        fashion,
        {
            "interactions": "orders", "user": "orders.customer_id", "item": "orders.sku", "time": "orders.ts_ms",
            "value": "orders.qty", "items": "products", "title": "products.product_name", "price": "products.price_eur",
            "image": "products.image_url", "url": "products.product_url", "category": "products.category",
            "brand": "products.brand", "created": "products.added_on", "in_stock": "products.in_stock",
            "customers": "customers", "email": "customers.email", "consent": "customers.newsletter_opt_in",
        },
    ),
    "movies": Shop(
        movies,
        {
            "interactions": "ratings", "user": "ratings.userid", "item": "ratings.movieid",
            "time": "ratings.timestamp", "value": "ratings.rating", "items": "movies", "title": "movies.title",
            "category": "movies.genres", "customers": "none",
        },
    ),
    "news": Shop(
        news,
        {
            "interactions": "clicks", "user": "clicks.reader", "item": "clicks.article", "time": "clicks.clicked_at",
            "items": "articles", "title": "articles.headline", "category": "articles.section", "url": "articles.link",
            "created": "articles.published_at", "customers": "none",
        },
    ),
    "wholesale": Shop(
        wholesale,
        {
            "interactions": "positionen", "orders": "auftraege", "user": "auftraege.kundennr",
            "item": "positionen.artikelnr", "time": "auftraege.auftragsdatum", "value": "positionen.menge",
            "items": "artikel", "title": "artikel.bezeichnung", "price": "artikel.listenpreis",
            "category": "artikel.warengruppe", "brand": "artikel.hersteller", "customers": "kunden",
            "email": "kunden.email", "consent": "kunden.einwilligung",
        },
    ),
    "retail": Shop(
        retail,
        {
            "interactions": "online_retail", "user": "online_retail.customerid", "item": "online_retail.stockcode",
            "time": "online_retail.invoicedate", "value": "online_retail.quantity", "items": "none",
            "title": "online_retail.description", "price": "online_retail.unitprice", "customers": "none",
        },
        events=sum(n % 8 != 0 and n % 50 != 0 for n in range(EVENTS)),
    ),
    "clickstream": Shop(
        clickstream,
        {
            "interactions": "events", "user": "events.user_id", "item": "events.product_id",
            "time": "events.event_time", "event": "events.event_type", "items": "none", "price": "events.price",
            "brand": "events.brand", "customers": "none",
        },
    ),
    "streaming": Shop(
        streaming,
        {
            "interactions": "plays", "user": "plays.user_id", "item": "plays.track_id", "time": "plays.played_at",
            "items": "tracks", "title": "tracks.title", "image": "tracks.cover_url", "category": "tracks.genre",
            "created": "tracks.created_at", "customers": "users", "email": "users.email",
            "consent": "users.unsubscribed_at", "external_id": "users.external_id",
        },
    ),
    "short_dates": Shop(
        short_dates,
        {
            "interactions": "kaeufe", "user": "kaeufe.kunde", "item": "kaeufe.artikel", "time": "kaeufe.datum",
            "items": "none", "customers": "none",
        },
    ),
    "library": Shop(
        library,
        {
            "interactions": "loans", "user": "loans.reader_no", "item": "loans.sku", "time": "loans.loaned_ms",
            "items": "books", "title": "books.book_name", "category": "books.genre", "image": "books.cover_url",
            "customers": "readers", "email": "readers.mail_address", "consent": "readers.newsletter",
        },
    ),
    "unnamed": Shop(
        unnamed,
        {"interactions": "log", "user": "log.a", "item": "log.b", "time": "log.c", "month_first": "false"},
        {"interactions": "log", "user": "a", "item": "b", "month_first": False},
    ),
}  # fmt: skip
