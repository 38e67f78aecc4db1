"""Read the text files of ``include/``."""

from __future__ import annotations

import codecs
from pathlib import Path

from recsync.errors import FatalError

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text_file(path: Path, name: str) -> str:
    """Read a file as UTF-8, with or without a byte order mark.

    :param name: the file as errors name it, e.g. ``include/sql/shop/items.sql``.
    :raises FatalError: naming the file and what to do, when it cannot be read or is in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FatalError(f"{name} cannot be read: {error.strerror or error}.") from None
    # UTF-16 without a mark: every other byte of a Latin text is NUL.
    if data.startswith(_UTF16_MARKS) or b"\0" in data:
        raise FatalError(f"{name}:1: UTF-16 or binary, not UTF-8. {_remedy('UTF-16')}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FatalError(
            f"{name}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; the file may be in Latin-1 or Windows-1252. "
            f"{_remedy('WINDOWS-1252')}"
        ) from None


def _remedy(encoding: str) -> str:
    return f"Save it as UTF-8, e.g. iconv -f {encoding} -t UTF-8 FILE."
