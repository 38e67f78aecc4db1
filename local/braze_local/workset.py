"""Read the profiles of one transaction together, change them in memory and write them together."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from braze_local.identifiers import normalized_email
from braze_local.profiles import Document, new_document

_SELECT = "SELECT id, document FROM profiles "


@dataclass(slots=True)
class Record:
    """Hold one profile; `row` is None until it is stored."""

    row: int | None
    document: Document
    dirty: bool = False


class Workset:
    """Find or create profiles by any identifier, within one transaction."""

    def __init__(self, connection: sqlite3.Connection, now_seconds: float) -> None:
        self._connection = connection
        self._now_seconds = now_seconds
        self._by_external_id: dict[str, Record | None] = {}
        self._others: list[Record] = []

    def prefetch(self, external_ids: Iterable[str]) -> None:
        """Read these profiles in one query and remember the missing ones."""
        ids = list(external_ids)
        self._by_external_id.update(dict.fromkeys(ids))
        (found,) = self._connection.execute(
            "SELECT '[' || group_concat(id || ',' || CAST(document AS TEXT)) || ']' FROM profiles"
            " WHERE external_id IN (SELECT value FROM json_each(?))",
            (msgspec.json.encode(ids).decode(),),
        ).fetchone()
        alternating = iter(msgspec.json.decode(found or "[]"))
        for row, document in zip(alternating, alternating, strict=True):
            self._by_external_id[document["external_id"]] = Record(row, document)

    def find_or_create(self, identified: dict[str, Any]) -> Record | None:
        """Return the profile of an accepted object, created where Braze would create it; else None."""
        external_id = identified.get("external_id")
        record = self._by_external_id.get(external_id) if external_id is not None else None
        if record is not None:
            return record
        only_existing = identified.get("_update_existing_only")
        if external_id is not None:
            return self._external(external_id) or (
                None if only_existing is True else self._create_external(external_id)
            )
        self.save()
        return self._by_other_identifier(identified, only_existing)

    def forget(self, keys: Iterable[str]) -> None:
        """Remember that these profiles were deleted; call `save` first."""
        self._by_external_id.update(dict.fromkeys(keys))

    def save(self) -> None:
        """Write every changed profile; the caller commits."""
        held = [record for record in self._by_external_id.values() if record is not None] + self._others
        dirty = [record for record in held if record.dirty]
        plain: list[Record] = []
        others: list[Record] = []
        for record in dirty:
            (plain if _is_plain(record.document) else others).append(record)
        self._save_plain(plain)
        self._save_others(others)
        # Forget inserted profiles, so that the next read gets their row numbers.
        fresh = [key for key, record in self._by_external_id.items() if record and record.row is None]
        for external_id in fresh:
            del self._by_external_id[external_id]
        self._others.clear()
        for record in dirty:
            record.dirty = False

    def _save_plain(self, plain: list[Record]) -> None:
        """Write profiles with one UPDATE and one INSERT; SQLite releases the GIL during each."""
        stored = {record.row: record.document for record in plain if record.row is not None}
        if stored:
            self._connection.execute(
                "UPDATE profiles SET email = NULL, phone = NULL, updated_at = ?,"
                " document = CAST(new.value AS BLOB)"
                " FROM json_each(?) AS new WHERE profiles.id = CAST(new.key AS INTEGER)",
                (self._now_seconds, msgspec.json.encode(stored).decode()),
            )
        fresh = [record.document for record in plain if record.row is None]
        if fresh:
            self._connection.execute(
                "INSERT INTO profiles (updated_at, document, external_id, braze_id)"
                " SELECT ?, CAST(value AS BLOB), json_extract(value, '$.external_id'),"
                " json_extract(value, '$.braze_id') FROM json_each(?)",
                (self._now_seconds, msgspec.json.encode(fresh).decode()),
            )

    def _save_others(self, others: list[Record]) -> None:
        self._connection.executemany(
            "UPDATE profiles SET email = ?, phone = ?, updated_at = ?, document = ? WHERE id = ?",
            [(*self._values(record), record.row) for record in others if record.row is not None],
        )
        self._connection.executemany(
            "INSERT INTO profiles (email, phone, updated_at, document, external_id, braze_id)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [self._new_row(record) for record in others if record.row is None],
        )

    def _external(self, external_id: str) -> Record | None:
        if external_id not in self._by_external_id:
            self.prefetch([external_id])
        return self._by_external_id[external_id]

    def _create_external(self, external_id: str) -> Record:
        record = self._created(external_id=external_id)
        self._by_external_id[external_id] = record
        return record

    def _by_other_identifier(self, identified: dict[str, Any], only_existing: bool | None) -> Record | None:
        alias = identified.get("user_alias")
        if alias:
            record = self._found(
                "JOIN aliases USING (braze_id) WHERE label = ? AND name = ?",
                alias["alias_label"],
                alias["alias_name"],
            )
            # For an alias, Braze's default is to update existing users only.
            return record or (self._create_alias(alias) if only_existing is False else None)
        if identified.get("braze_id"):
            return self._found("WHERE braze_id = ?", identified["braze_id"])
        column = "email" if identified.get("email") else "phone"
        value = identified[column]
        record = self._found(_LATEST_BY[column], normalized_email(value) if column == "email" else value)
        return record or (None if only_existing is True else self._create_other())

    def _found(self, condition: str, *parameters: str) -> Record | None:
        row = self._connection.execute(_SELECT + condition, parameters).fetchone()
        if row is None:
            return None
        document = msgspec.json.decode(row[1])
        external_id = document.get("external_id")
        # Use a single record per profile, or two objects for it would overwrite each other.
        if external_id is not None:
            return self._external(external_id)
        record = Record(row[0], document)
        self._others.append(record)
        return record

    def _create_alias(self, alias: dict[str, str]) -> Record:
        record = self._create_other()
        record.document["user_aliases"] = [alias]
        self._connection.execute(
            "INSERT INTO aliases (label, name, braze_id) VALUES (?, ?, ?)",
            (alias["alias_label"], alias["alias_name"], record.document["braze_id"]),
        )
        return record

    def _create_other(self) -> Record:
        record = self._created()
        self._others.append(record)
        return record

    def _created(self, **identifiers: str) -> Record:
        return Record(None, {**identifiers, **new_document(self._now_seconds)}, dirty=True)

    def _values(self, record: Record) -> tuple[str | None, str | None, float, bytes]:
        document = record.document
        encoded = msgspec.json.encode(document)
        return document.get("email"), document.get("phone"), self._now_seconds, encoded

    def _new_row(self, record: Record) -> tuple[Any, ...]:
        return *self._values(record), record.document.get("external_id"), record.document["braze_id"]


def _is_plain(document: Document) -> bool:
    """Return whether `_save_plain` can write the profile: a printable external_id, no email, no phone."""
    external_id = document.get("external_id")
    return (
        external_id is not None
        and external_id.isprintable()
        and "email" not in document
        and "phone" not in document
    )


# Braze: with several matches, the most recently updated profile that has an external_id wins.
_ORDER = " ORDER BY external_id IS NULL, updated_at DESC, id DESC LIMIT 1"
_LATEST_BY = {"email": "WHERE email = ?" + _ORDER, "phone": "WHERE phone = ?" + _ORDER}
