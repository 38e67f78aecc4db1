"""Who is to be forgotten: every id of one person, and every way in which an object may spell it."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

_SHOWN_CHARACTERS = 100
ERASED = "erased"
"""What stands where an id stood, when the place cannot go."""


@dataclass(frozen=True)
class Identity:
    """One person.

    :param user_id: in the warehouse and in Amazon Personalize.
    :param external_ids: in Braze.
    """

    user_id: str
    external_ids: tuple[str, ...] = ()

    @cached_property
    def ids(self) -> frozenset[str]:
        """All ids."""
        return frozenset({self.user_id, *self.external_ids})

    @cached_property
    def spellings(self) -> tuple[bytes, ...]:
        """The bytes that an object which names the person holds at least one of."""
        return tuple(sorted({text.encode() for one in self.ids for text in _spellings(one)}))

    def occurs(self, block: bytes) -> bool:
        """Say whether a text may name the person; it may also hold the id inside another word."""
        return any(spelling in block for spelling in self.spellings)

    def of_column(self, name: str) -> frozenset[str]:
        """Give the ids that a column or member of this name would hold; none when it names nobody."""
        plain = name.replace("_", "").casefold()
        if plain == "userid":
            return frozenset({self.user_id})
        return frozenset(self.external_ids) if plain == "externalid" else frozenset()

    def redacted(self, text: str) -> str:
        """Put ``ERASED`` in the place of every id that stands as a word of its own."""
        return self._words.sub(ERASED, text)

    @cached_property
    def _words(self) -> re.Pattern[str]:
        # Reports show the beginning of a long value only.
        shown = {one[:_SHOWN_CHARACTERS] for one in self.ids}
        longest_first = sorted(self.ids | shown, key=len, reverse=True)
        return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")

    def to_json(self) -> dict[str, Any]:
        """Write it as a JSON document."""
        return {"user_id": self.user_id, "external_ids": list(self.external_ids)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read it back."""
        return cls(document["user_id"], tuple(document["external_ids"]))

    def knowing(self, external_ids: Iterable[str]) -> Identity:
        """Give the person with further ids in Braze."""
        return Identity(self.user_id, tuple(sorted({*self.external_ids, *external_ids})))


def _spellings(text: str) -> set[str]:
    """Write an id as CSV of both dialects, JSON of both kinds and HTML would."""
    doubled = io.StringIO()
    csv.writer(doubled).writerow([text])
    in_csv = doubled.getvalue().rstrip("\r\n")
    return {
        text,
        in_csv[1:-1] if in_csv.startswith('"') else in_csv,
        re.sub(r'(["\\])', r"\\\1", text),
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        html.escape(text),
        html.escape(text, quote=False),
    }
