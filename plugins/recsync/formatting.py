"""Write numbers and suggestions for people."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# Lowest likeness of a suggestion: "prise" and "price" have 0.8, "color" and "category" 0.46.
_LIKENESS = 0.6


def percent(share: float) -> str:
    """Write a share of 0 to 1 in percent, without rounding to 0% or 100%.

    >>> percent(0.0234), percent(0.00001), percent(0.99999), percent(1)
    ('2.34%', '<0.01%', '>99.99%', '100%')
    """
    number = share * 100
    if 0 < number < 0.01:
        return "<0.01%"
    if 99.99 < number < 100:
        return ">99.99%"
    return f"{number:.2f}".rstrip("0").rstrip(".") + "%"


def closest(word: str, choices: Iterable[str], *, likeness: float = _LIKENESS) -> str | None:
    """Return the most similar choice, ignoring letter case; None when none is similar."""
    by_fold = {choice.casefold(): choice for choice in reversed(list(choices))}
    found = difflib.get_close_matches(word.casefold(), by_fold, n=1, cutoff=likeness)
    return by_fold[found[0]] if found else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Write a suggestion to append to a sentence without its full stop; empty when none is similar."""
    found = closest(word, choices)
    return f"; did you mean {found}?" if found else ""


def shape(text: str) -> str:
    """Write the form of an id without the id: runs of letters as ``a``, of digits as ``9``.

    >>> shape("braze-c 127"), shape("17001.0")
    ('a-a 9', '9.9')
    """
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", text))[:20]
