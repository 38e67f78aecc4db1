"""The suppression list of a program: keyed hashes of the ids of erased users, one object on S3."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
from numpy.typing import NDArray

from recsync.storage.bucket import Bucket
from recsync.storage.csv_dialect import cells_of
from recsync.storage.csv_text import record_ends
from recsync.storage.document import Document
from recsync.storage.keys import Keys

if TYPE_CHECKING:
    from recsync.context import StageContext

USER, PERSON = "user", "person"
"""Kinds of ids: ``user_id`` of the warehouse and Amazon Personalize, ``external_id`` of Braze."""
# Hashed ids are cached; a full cache is cleared.
_CACHED_IDS = 500_000
_USER_ID = "USER_ID"


@dataclass(frozen=True)
class Suppression:
    """Keyed hashes (HMAC-SHA256) of ids.

    :param salt: the key; made once, and kept with the hashes.
    :param users: hashes of ``user_id``.
    :param people: hashes of ``external_id``.
    :param also: a further list that counts, with its own key.
    """

    salt: bytes = b""
    users: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()
    also: Suppression | None = None
    _known: dict[tuple[str, str], bool] = field(default_factory=dict, repr=False, compare=False)

    def __bool__(self) -> bool:
        return self.lists(USER) or self.lists(PERSON)

    def lists(self, kind: str) -> bool:
        """Return whether ids of a kind are suppressed."""
        own = self.users if kind == USER else self.people
        return bool(own) or (self.also is not None and self.also.lists(kind))

    def digest(self, kind: str, value: str) -> str:
        """Hash one id; the hash depends on the kind."""
        return hmac.digest(self.salt, f"{kind}:{value}".encode(), "sha256").hex()

    def with_ids(self, user_ids: Iterable[str], external_ids: Iterable[str]) -> Self:
        """Return the list with more people."""
        return replace(
            self,
            users=self.users | {self.digest(USER, one) for one in user_ids},
            people=self.people | {self.digest(PERSON, one) for one in external_ids},
            _known={},
        )

    def contains(self, kind: str, value: str | None) -> bool:
        """Return whether an id is suppressed."""
        listed = self.users if kind == USER else self.people
        if value is None or not self.lists(kind):
            return False
        if self.also is not None and self.also.contains(kind, value):
            return True
        if (known := self._known.get((kind, value))) is not None:
            return known
        if len(self._known) >= _CACHED_IDS:
            self._known.clear()
        return self._known.setdefault((kind, value), self.digest(kind, value) in listed)

    def mask(self, kind: str, column: pa.Array) -> NDArray[np.bool_]:
        """Return which rows of a string column are suppressed; each distinct id is hashed once."""
        if not self.lists(kind) or not len(column):
            return np.zeros(len(column), dtype=np.bool_)
        codes = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        found = np.array([self.contains(kind, one) for one in codes.dictionary.to_pylist()] + [False])
        indices = codes.indices.fill_null(len(found) - 1).to_numpy(zero_copy_only=False)
        rows: NDArray[np.bool_] = found[indices]
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {"salt": self.salt.hex(), "users": sorted(self.users), "people": sorted(self.people)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read it back."""
        salt = bytes.fromhex(document["salt"])
        return cls(salt, frozenset(document["users"]), frozenset(document["people"]))


def without_suppressed(block: bytes, columns: Sequence[str], suppression: Suppression) -> bytes:
    """Remove the rows of suppressed users from a block of the warehouse's output.

    :param block: whole records of RFC 4180 CSV without a header.
    :param columns: their columns.
    :returns: the block itself when it has no such row.
    """
    if not suppression.lists(USER) or _USER_ID not in columns or not block:
        return block
    ends = record_ends(block)
    found = suppression.mask(USER, _users(block, columns, ends.tolist()))
    if not found.any():
        return block
    starts = np.concatenate([[0], ends[:-1]])
    kept = np.flatnonzero(~found)
    return b"".join(block[s:e] for s, e in zip(starts[kept].tolist(), ends[kept].tolist(), strict=True))


def _users(block: bytes, columns: Sequence[str], ends: list[int]) -> pa.Array:
    try:
        table = pc.read_csv(
            pa.BufferReader(block),
            pc.ReadOptions(column_names=list(columns), use_threads=False, block_size=len(block) + 1),
            pc.ParseOptions(newlines_in_values=True),
            pc.ConvertOptions(include_columns=[_USER_ID], column_types={_USER_ID: pa.string()}),
        )
        if len(table) == len(ends):
            return table.column(0).combine_chunks()
    except pa.ArrowInvalid:
        pass
    # A block with a malformed row, which the checks will report: read the rows one by one.
    place = list(columns).index(_USER_ID)
    cells = (list(cells_of(block[s:e].rstrip(b"\r\n"))) for s, e in zip([0, *ends], ends, strict=False))
    values = [row[place] if place < len(row) else None for row in cells]
    return pa.array([v and v.decode(errors="replace") for v in values], pa.string())


def read_suppression(context: StageContext) -> Suppression:
    """Read who is suppressed in a program: by its own list, and by that of the owner of its data."""
    own = context.store(SuppressionStore).read()
    if context.data is context:
        return own
    return replace(own, also=context.data.store(SuppressionStore).read())


_NAME = "suppression.json"
_SALT_BYTES = 32


@dataclass(frozen=True)
class SuppressionStore:
    """The list of one program on S3; it only grows."""

    bucket: Bucket
    keys: Keys

    def read(self) -> Suppression:
        """Read the list; empty before the first erasure."""
        return self._document.get()

    def add(self, user_ids: Iterable[str] = (), external_ids: Iterable[str] = ()) -> Suppression:
        """Add people by one change of the object; adding again changes nothing.

        :returns: the list as it is now, with its salt also when it was empty.
        """
        users, people = list(user_ids), list(external_ids)

        def added(listed: Suppression) -> Suppression:
            salted = listed if listed.salt else replace(listed, salt=secrets.token_bytes(_SALT_BYTES))
            return salted.with_ids(users, people)

        return self._document.update(added)

    @property
    def _document(self) -> Document[Suppression]:
        return Document(
            self.bucket,
            self.keys.state(_NAME),
            lambda document: Suppression() if document is None else Suppression.from_json(document),
            Suppression.to_json,
            remedy="restore it: it holds the hashes of everybody who was erased",
        )
