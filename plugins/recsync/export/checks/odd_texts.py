"""Texts that are values to a warehouse and look like a mistake to a person."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from recsync.storage.hashes import Hashes, string_hashes

NULL_WORDS, CATEGORY_FORM = "null_words", "category_form"
# What programs write where a value is missing, in small letters.
_WORDS = frozenset({
    "none", "null", "(null)", "nan", "nat", "<na>", "n/a", "#n/a", "nil", "undefined", "\\n",
})  # fmt: skip
_SPELLINGS = sorted({*_WORDS, *map(str.upper, _WORDS), *map(str.capitalize, _WORDS), "NaN", "NaT"})
NULL_WORD_HASHES: Hashes = np.sort(string_hashes(pa.array(_SPELLINGS)))
"""Sorted hashes of these words as whole values."""
# Arrays and objects as PostgreSQL, Python and JSON write them.
_BRACKETS = {"{": "}", "[": "]"}


def odd_category(value: str) -> str | None:
    """Return the rule that a value of a categorical field breaks; None when it looks right."""
    parts = [part.strip() for part in value.split("|")]
    if any(part.casefold() in _WORDS for part in parts):
        return NULL_WORDS
    text = value.strip()
    if text and _BRACKETS.get(text[0]) == text[-1]:
        return CATEGORY_FORM
    return CATEGORY_FORM if len(parts) > 1 and not all(parts) else None
