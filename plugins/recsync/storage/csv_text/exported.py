r"""Cut exported CSV into records without parsing their cells.

The dialect is the one Amazon Personalize reads: a newline or a quote only inside quotes, where a backslash escapes.
https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_ESCAPED = re.compile(rb"\\.", re.DOTALL)


def records(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Give the records of an object, the header first, as one list per block and without their line ends.

    :param blocks: the object's bytes, cut anywhere.
    """
    rest = b""
    for block in blocks:
        text = rest + block
        whole, rest = _cut_quoted(text) if b'"' in text else _cut_plain(text)
        if whole:
            yield whole
    if rest:
        yield [rest]


def _cut_plain(text: bytes) -> tuple[list[bytes], bytes]:
    lines = text.split(b"\n")
    return lines[:-1], lines[-1]


def _cut_quoted(text: bytes) -> tuple[list[bytes], bytes]:
    """Join the lines between an opening quote and its closing one."""
    whole: list[bytes] = []
    begun: list[bytes] = []
    *lines, last = text.split(b"\n")
    for line in lines:
        # Only a line with an odd number of quotes opens or closes a cell that spans lines.
        opens_or_closes = b'"' in line and _ESCAPED.sub(b"", line).count(b'"') % 2 == 1
        if begun or opens_or_closes:
            ends = bool(begun) and opens_or_closes
            begun.append(line)
            if ends:
                whole.append(b"\n".join(begun))
                begun = []
        else:
            whole.append(line)
    return whole, b"\n".join([*begun, last])
