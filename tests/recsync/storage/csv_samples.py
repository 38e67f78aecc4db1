"""Tables of awkward cells, written as RFC 4180 says."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

CELLS = st.one_of(st.none(), st.text(st.sampled_from('ab",\\\n\r é'), max_size=6))


TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=12)


def rfc4180(rows: Sequence[Sequence[str | None]], *, everywhere: bool = False) -> bytes:
    def cell(value: str | None) -> str:
        if value is None:
            return ""
        if everywhere or not value or any(character in value for character in '",\r\n'):
            return '"' + value.replace('"', '""') + '"'
        return value

    return "".join(",".join(map(cell, row)) + "\n" for row in rows).encode()
