"""The suppression list: who must never come back, as keyed hashes that name nobody."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

USER, PERSON = "user", "person"
"""Whose id is hashed: the warehouse's and Amazon Personalize's ``user_id``, or Braze's ``external_id``."""
# An id met again is not hashed again; the memory is bounded by forgetting all of them.
_REMEMBERED_IDS = 500_000


@dataclass(frozen=True)
class Suppression:
    """Keyed hashes (HMAC-SHA256) of ids; the key lies beside them and is made once.

    :param salt: the key.
    :param users: hashes of ``user_id``.
    :param people: hashes of ``external_id``.
    """

    salt: bytes = b""
    users: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()
    _known: dict[tuple[str, str], bool] = field(default_factory=dict, repr=False, compare=False)

    def __bool__(self) -> bool:
        return bool(self.users or self.people)

    def digest(self, kind: str, value: str) -> str:
        """Hash one id; the same text as a user's and as a person's id gives different hashes."""
        return hmac.digest(self.salt, f"{kind}:{value}".encode(), "sha256").hex()

    def having(self, user_ids: Iterable[str], external_ids: Iterable[str]) -> Self:
        """Give the list with one more person."""
        return replace(
            self,
            users=self.users | {self.digest(USER, one) for one in user_ids},
            people=self.people | {self.digest(PERSON, one) for one in external_ids},
            _known={},
        )

    def holds(self, kind: str, value: str | None) -> bool:
        """Say whether an id is suppressed."""
        listed = self.users if kind == USER else self.people
        if not listed or value is None:
            return False
        if (known := self._known.get((kind, value))) is not None:
            return known
        if len(self._known) >= _REMEMBERED_IDS:
            self._known.clear()
        return self._known.setdefault((kind, value), self.digest(kind, value) in listed)

    def rows(self, kind: str, column: pa.Array) -> NDArray[np.bool_]:
        """Say of every row of a column of texts whether its id is suppressed; each different id is hashed once."""
        if not (self.users if kind == USER else self.people) or not len(column):
            return np.zeros(len(column), dtype=np.bool_)
        codes = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        found = np.array([self.holds(kind, one) for one in codes.dictionary.to_pylist()] + [False])
        indices = codes.indices.fill_null(len(found) - 1).to_numpy(zero_copy_only=False)
        rows: NDArray[np.bool_] = found[indices]
        return rows

    def to_json(self) -> dict[str, Any]:
        """Write it as a JSON document."""
        return {"salt": self.salt.hex(), "users": sorted(self.users), "people": sorted(self.people)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read it back."""
        salt = bytes.fromhex(document["salt"])
        return cls(salt, frozenset(document["users"]), frozenset(document["people"]))
