"""Read applied state: what Braze would show, never what is still on its way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from braze_local.profiles import complete

Json = dict[str, Any]
_decode = msgspec.json.decode
_encode = msgspec.json.encode
# Sorts after every string that starts with the prefix it is put behind.
LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Catalog:
    """Hold one catalogue's definition; `fields` maps names to types in column order, `id` first."""

    id: int
    name: str
    description: str
    fields: dict[str, str]
    updated_at: str


class Reader:
    """Answer every question about applied state from one SQLite connection of its own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def profile(self, external_id: str) -> Json | None:
        """Return one profile document, or None."""
        return self._profile("SELECT document FROM profiles WHERE external_id = ?", external_id)

    def profile_by_braze_id(self, braze_id: str) -> Json | None:
        """Return one profile document, or None."""
        return self._profile("SELECT document FROM profiles WHERE braze_id = ?", braze_id)

    def profile_by_alias(self, label: str, name: str) -> Json | None:
        """Return the profile that carries this alias, or None."""
        return self._profile(
            "SELECT document FROM aliases JOIN profiles USING (braze_id) WHERE label = ? AND name = ?",
            label,
            name,
        )

    def profiles_by_email(self, email: str) -> list[Json]:
        """Return every profile with this e-mail address."""
        return self._profiles("SELECT document FROM profiles WHERE email = ? ORDER BY id", email)

    def profiles_by_phone(self, phone: str) -> list[Json]:
        """Return every profile with this phone number."""
        return self._profiles("SELECT document FROM profiles WHERE phone = ? ORDER BY id", phone)

    def profiles_by_external_id(self, external_ids: Iterable[str]) -> dict[str, Json]:
        """Return those of the profiles that exist, by external_id."""
        rows = self._connection.execute(
            "SELECT external_id, document FROM profiles"
            " WHERE external_id IN (SELECT value FROM json_each(?))",
            (_encode(list(external_ids)).decode(),),
        )
        return {external_id: complete(_decode(document)) for external_id, document in rows}

    def existing(self, external_ids: Iterable[str]) -> set[str]:
        """Return those of the ids that are profiles, in one step of SQLite."""
        (found,) = self._connection.execute(
            "SELECT json_group_array(external_id) FROM profiles"
            " WHERE external_id IN (SELECT value FROM json_each(?))",
            (_encode(list(external_ids)).decode(),),
        ).fetchone()
        return set(_decode(found))

    def profiles(self, *, limit: int, offset: int, prefix: str = "") -> list[Json]:
        """Return one page of the profiles with this prefix, by external_id; those without one come first."""
        if prefix:
            return self._profiles(
                "SELECT document FROM profiles WHERE external_id >= ? AND external_id < ?"
                " ORDER BY external_id LIMIT ? OFFSET ?",
                prefix,
                prefix + LAST_CHARACTER,
                limit,
                offset,
            )
        return self._profiles(
            "SELECT document FROM profiles ORDER BY external_id LIMIT ? OFFSET ?", limit, offset
        )

    def profile_count(self, prefix: str = "") -> int:
        """Count the profiles, or those whose external_id starts with the prefix."""
        if prefix:
            return self._number(
                "SELECT COUNT(*) FROM profiles WHERE external_id >= ? AND external_id < ?",
                prefix,
                prefix + LAST_CHARACTER,
            )
        return self._number("SELECT COUNT(*) FROM profiles")

    def catalogs(self) -> list[Catalog]:
        """Return every catalogue in the order of creation."""
        rows = self._connection.execute(
            "SELECT id, name, description, fields, updated_at FROM catalogs ORDER BY id"
        )
        return [Catalog(row[0], row[1], row[2], _decode(row[3]), row[4]) for row in rows]

    def item_count(self, catalog_id: int) -> int:
        """Count the items of a catalogue."""
        return self._number("SELECT COUNT(*) FROM items WHERE catalog_id = ?", catalog_id)

    def catalog_bytes(self) -> int:
        """Add up the size of every item of every catalogue."""
        return self._number("SELECT COALESCE(SUM(LENGTH(document)), 0) FROM items")

    def items(self, catalog_id: int, *, limit: int, offset: int) -> list[Json]:
        """Return one page of a catalogue's items by id."""
        return self._documents(
            "SELECT document FROM items WHERE catalog_id = ? ORDER BY id LIMIT ? OFFSET ?",
            catalog_id,
            limit,
            offset,
        )

    def items_by_id(self, catalog_id: int, ids: Iterable[str]) -> dict[str, Json]:
        """Return those of the items that exist, by id."""
        rows = self._connection.execute(
            "SELECT id, document FROM items WHERE catalog_id = ? AND id IN (SELECT value FROM json_each(?))",
            (catalog_id, _encode(list(ids)).decode()),
        )
        return {item_id: _decode(document) for item_id, document in rows}

    def state(self, key: str) -> Any:
        """Return a value kept under this key, or None."""
        row = self._connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return _decode(row[0]) if row else None

    def _profile(self, query: str, *parameters: str) -> Json | None:
        row = self._connection.execute(query, parameters).fetchone()
        return complete(_decode(row[0])) if row else None

    def _profiles(self, query: str, *parameters: str | int) -> list[Json]:
        return [complete(document) for document in self._documents(query, *parameters)]

    def _documents(self, query: str, *parameters: str | int) -> list[Json]:
        return [_decode(row[0]) for row in self._connection.execute(query, parameters)]

    def _number(self, query: str, *parameters: str | int) -> int:
        return int(self._connection.execute(query, parameters).fetchone()[0])
