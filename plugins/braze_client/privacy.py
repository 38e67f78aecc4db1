"""Take ids and values of records out of texts that people read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

WITHHELD = "[withheld]"


def withhold(text: str, values: Iterable[Any]) -> str:
    """Replace each of these values where it is in a text, as a whole word.

    :param values: what a request held: ids, items, attribute values; nested lists and objects are walked.
    """
    found = {one for one in _texts(values) if one.strip() and one in text}
    if not found:
        return text
    pattern = "|".join(re.escape(one) for one in sorted(found, key=len, reverse=True))
    return re.sub(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", WITHHELD, text)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, Iterable):
        for one in value:
            yield from _texts(one)
    else:
        yield str(value)
