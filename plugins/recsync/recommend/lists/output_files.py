"""Which files are a batch output, and their bytes, packed or not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from typing import BinaryIO, cast

from recsync.errors import FatalError
from recsync.storage.byte_stream import ByteStream

# Amazon Personalize writes one <input>.out per input object, and an object _CHECK beside them.
_ENDINGS = ((".out", ".out.gz"), (".jsonl", ".jsonl.gz", ".json", ".json.gz"))


def output_names(names: Iterable[str]) -> list[str]:
    """Choose the files of a batch output: all ``.out``, and only without these what else may hold JSON lines."""
    known = sorted(names)
    for endings in _ENDINGS:
        if chosen := [name for name in known if name.endswith(endings)]:
            return chosen
    return []


class _Unpacked:
    def __init__(self, name: str, stream: ByteStream) -> None:
        self._name = name
        # gzip only reads, so the one method of a stream is enough for it.
        self._file = gzip.GzipFile(fileobj=cast("BinaryIO", stream))

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FatalError(f"{self._name} is not a whole gzip file ({error}); write it again.") from None


def unpacked(name: str, stream: ByteStream) -> ByteStream:
    """Unpack a stream whose name ends in ``.gz``; others stay as they are.

    :raises FatalError: from its ``read``, when it is damaged or cut short.
    """
    return _Unpacked(name, stream) if name.endswith(".gz") else stream
