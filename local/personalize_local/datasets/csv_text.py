r"""Read CSV the way the service describes it: UTF-8, one record per line, `\` as escape inside quotes only.

Rules: https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv as pa_csv

from personalize_local.errors import JobFailed

_BOM = b"\xef\xbb\xbf"
# A quoted cell, which begins where a cell begins; or else a backslash on its own.
_QUOTED_OR_BACKSLASH = re.compile(rb'(?:\A|(?<=[,\r\n]))"(?:[^"\\]|\\.|"")*"|\\', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_MOST_ERROR_CHARACTERS = 300


def read_header(content: bytes) -> list[str]:
    """Return the column names in the first row; raise `JobFailed` for none or a repeated one."""
    first_line = content.removeprefix(_BOM).split(b"\n", 1)[0].rstrip(b"\r")
    try:
        names = next(csv.reader([first_line.decode()]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise JobFailed(f"Input CSV has no readable header: {error}") from error
    if not any(names):
        raise JobFailed("Input CSV has no header.")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise JobFailed(f"Input CSV has repeated columns:[{', '.join(repeated)}].")
    return names


def read_text_columns(content: bytes, names: Sequence[str]) -> pa.Table:
    """Return the named columns as strings, empty cells as nulls; raise `JobFailed` for what is not CSV."""
    content = content.removeprefix(_BOM)
    escaped = b"\\" in content
    if escaped:
        # Arrow takes a backslash as escape everywhere, the service inside quotes only.
        content = _QUOTED_OR_BACKSLASH.sub(_for_arrow, content)
    try:
        return pa_csv.read_csv(
            pa.py_buffer(content),
            parse_options=pa_csv.ParseOptions(
                escape_char="\\" if escaped else False, newlines_in_values=True
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=list(names),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise JobFailed(f"Input CSV could not be parsed: {str(error)[:_MOST_ERROR_CHARACTERS]}") from error


def _for_arrow(match: re.Match[bytes]) -> bytes:
    text = match.group()
    if text == b"\\":
        return b"\\\\"
    return _ESCAPE.sub(_escape_for_arrow, text)


def _escape_for_arrow(match: re.Match[bytes]) -> bytes:
    # Only a quote and a backslash can be escaped; before anything else a backslash is itself.
    return match.group() if match.group(1) in b'"\\' else b"\\\\" + match.group(1)
