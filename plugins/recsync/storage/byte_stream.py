"""What is read in pieces and never held whole."""

from __future__ import annotations

from typing import Protocol


class ByteStream(Protocol):
    """Anything that gives its bytes in pieces: a file, the body of an S3 object."""

    def read(self, size: int, /) -> bytes:
        """Give at most ``size`` bytes; none at the end."""
