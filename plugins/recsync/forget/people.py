"""The people of an erasure, and how columns, JSON members and texts may name them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, Self

import numpy as np
import pyarrow as pa

from recsync.storage.hashes import Hashes, string_hashes

ERASED = "erased"
"""Replaces an id where the value cannot be removed."""
# Reports show only the beginning of a long value.
_SHOWN_CHARACTERS = 100
# A text names a person by whole words only.
_WORD = re.compile(r"[\w-]+")
_BYTE_WORD = re.compile(rb"[\w\x80-\xff-]+")
# Columns and members that hold an id in Braze; that of an alias is its name.
_IN_BRAZE = frozenset({"externalid", "brazeid", "aliasname", "email", "phone"})
Kind = Literal["user", "person"]


def kind_of(name: str) -> Kind | None:
    """Return the kind of id in a column or member: "user" (warehouse), "person" (Braze), or None."""
    plain = name.replace("_", "").casefold()
    if plain == "userid":
        return "user"
    return "person" if plain in _IN_BRAZE else None


def words_of(text: str) -> set[str]:
    """Return the words of a text. If it names a person, they include every word of the id."""
    return set(_WORD.findall(text))


def hashes_of(values: Iterable[str | bytes]) -> Hashes:
    """Hash texts; lone surrogates, which JSON allows, included."""
    encoded = [one.encode("utf-8", "surrogatepass") if isinstance(one, str) else one for one in values]
    return string_hashes(pa.array(encoded, pa.binary()))


TEXTS: Final = "\0 texts"
"""Marks an object that has texts: an id without word characters may be in any text."""


@dataclass(frozen=True)
class Identity:
    """One person.

    :param user_id: in the warehouse and in Amazon Personalize.
    :param external_ids: in Braze, by whatever identifier.
    """

    user_id: str
    external_ids: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {"user_id": self.user_id, "external_ids": list(self.external_ids)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read it back."""
        return cls(document["user_id"], tuple(document["external_ids"]))

    def with_external_ids(self, external_ids: Iterable[str]) -> Identity:
        """Add ids in Braze."""
        return Identity(self.user_id, tuple(sorted({*self.external_ids, *external_ids})))


@dataclass(frozen=True)
class People:
    """The people of an erasure.

    :param identities: by the name of the request.
    """

    identities: Mapping[str, Identity]

    @cached_property
    def users(self) -> dict[str, str]:
        """Names of requests by ``user_id``."""
        return {one.user_id: name for name, one in self.identities.items()}

    @cached_property
    def persons(self) -> dict[str, str]:
        """Request names by id in Braze; of two people with one address, that of the first."""
        pairs = ((each, name) for name, one in self.identities.items() for each in one.external_ids)
        return dict(reversed(list(pairs)))

    @cached_property
    def ids(self) -> dict[str, str]:
        """Names of requests by every id."""
        return self.persons | self.users

    def of_column(self, name: str) -> Mapping[str, str]:
        """Return the ids to look for in a column or member of this name, with the names of their requests."""
        kind = kind_of(name)
        return {} if kind is None else self.users if kind == "user" else self.persons

    def redacted(self, text: str, found: set[str]) -> str:
        """Replace every id that is a whole word, or several, by ``ERASED``.

        :param found: gets the names of the requests of these people.
        """
        words = words_of(text)
        near = self._by_word[""] + [each for word in words for each in self._by_word.get(word, ())]
        if not near:
            return text
        longest_first = sorted(near, key=len, reverse=True)
        pattern = rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])"

        def erased(match: re.Match[str]) -> str:
            found.add(self._shown[match[0]])
            return ERASED

        return re.sub(pattern, erased, text)

    def may_occur(self, block: bytes) -> set[str]:
        """Return the request names of people that a block of text in any format may name."""
        words = self._byte_words.keys() & set(_BYTE_WORD.findall(block))
        wordless = (
            name for one, name in self.ids.items() if one in self._by_word[""] and one.encode() in block
        )
        return {name for word in words for name in self._byte_words[word]}.union(wordless)

    @cached_property
    def probes(self) -> Hashes:
        """Sorted hashes; an object that names one of the people has at least one of them."""
        wordless = {TEXTS} if self._by_word[""] else set()
        return np.unique(hashes_of({*self.ids, *filter(None, self._by_word), *wordless}))

    @cached_property
    def _shown(self) -> dict[str, str]:
        return {one[:_SHOWN_CHARACTERS]: name for one, name in self.ids.items()} | self.ids

    @cached_property
    def _by_word(self) -> dict[str, list[str]]:
        """Ids as texts show them, by their longest word; under "" those without a word."""
        found: dict[str, list[str]] = defaultdict(list, {"": []})
        for shown in self._shown:
            found[max(_WORD.findall(shown), key=len, default="")].append(shown)
        return dict(found)

    @cached_property
    def _byte_words(self) -> dict[bytes, set[str]]:
        """Names of requests by the longest word of an id."""
        found: dict[bytes, set[str]] = defaultdict(set)
        for one, name in self.ids.items():
            if words := _BYTE_WORD.findall(one.encode("utf-8", "surrogatepass")):
                found[max(words, key=len)].add(name)
        return dict(found)
