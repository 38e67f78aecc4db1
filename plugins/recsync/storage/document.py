"""One JSON document on S3, changed by compare-and-swap."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from recsync.errors import FatalError, RetriableError
from recsync.storage.bucket import Bucket

log = logging.getLogger(__name__)
T = TypeVar("T")

_ATTEMPTS = 20
_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Document(Generic[T]):
    """A JSON document that several runs may change at the same time.

    :param read: builds the value from the parsed JSON, or from None when the object does not exist.
    :param write: the JSON of a value.
    :param remedy: what to do about a damaged document, for the error.
    """

    bucket: Bucket
    key: str
    read: Callable[[Any], T]
    write: Callable[[T], Any]
    remedy: str = "restore or delete it"

    def get(self) -> T:
        """Read the value.

        :raises FatalError: when the object is not such a document.
        """
        return self.get_with_etag()[0]

    def get_with_etag(self) -> tuple[T, str | None]:
        """Read the value, and the ETag to give to :meth:`replace`; None when the object does not exist."""
        body, etag = self.bucket.get_with_etag(self.key)
        try:
            return self.read(json.loads(body) if body else None), etag
        except json.JSONDecodeError as error:
            reason = f"not valid JSON: {error}"  # names a position, quotes nothing
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # The class only: the text may quote the document, that of a UnicodeDecodeError all of it.
            reason = type(error).__name__
        raise FatalError(f"{self.bucket.uri(self.key)} is damaged ({reason}); {self.remedy}.")

    def replace(self, value: T, etag: str | None) -> str | None:
        """Write the value if the object is still the one with this ETag (None: if there is still no object).

        :returns: the new ETag; None when another run changed the object first.
        """
        body = json.dumps(self.write(value), indent=1, sort_keys=True).encode()
        return self.bucket.put_if(self.key, body, etag=etag)

    def update(self, change: Callable[[T], T]) -> T:
        """Change the value; a change that another run made meanwhile is kept.

        :param change: returns the new value for the present one, or an equal one to write nothing. It is called again
            after each lost race.
        :returns: the value as it is now.
        :raises RetriableError: when other runs were faster every time.
        """
        for attempt in range(_ATTEMPTS):
            found, etag = self.get_with_etag()
            changed = change(found)
            if changed == found or self.replace(changed, etag) is not None:
                return changed
            log.info("%s was changed by another run; reading it again.", self.bucket.uri(self.key))
            pause = min(_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
            time.sleep(pause * random.uniform(0, 1))  # ruff: ignore[suspicious-non-cryptographic-random-usage] - no secret
        raise RetriableError(
            f"Other runs changed {self.bucket.uri(self.key)} in each of {_ATTEMPTS} attempts to update it; retry."
        )


def history(bucket: Bucket, key: str, parse: Callable[[Any], T], *, remedy: str) -> Document[list[T]]:
    """Return a document that holds a list of entries, which are dataclasses, oldest first."""
    return Document(
        bucket,
        key,
        read=lambda document: [parse(entry) for entry in document["history"]] if document else [],
        write=lambda entries: {"history": [asdict(entry) for entry in entries]},  # type: ignore[call-overload]
        remedy=remedy,
    )


def append_once(document: Document[list[T]], entry: T, identity: Callable[[T], Hashable]) -> None:
    """Append an entry to a history, unless one with the same identity is in it."""

    def change(entries: list[T]) -> list[T]:
        return entries if identity(entry) in map(identity, entries) else [*entries, entry]

    document.update(change)
