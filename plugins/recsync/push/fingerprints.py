"""Fingerprints of what was sent: 64 bits per person and attribute, computed for whole columns at once.

A list's fingerprint is the sum of its elements' digests, each mixed with its position. Two values of one person
are compared, never two persons, so a false "unchanged" has a chance of 2^-64 per person and delivery.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from braze_client.payloads import dumps
from recsync.storage.splitmix import STEP, mixed

# Keys of an attribute object that are no attributes.
NO_ATTRIBUTES = frozenset({"external_id", "_update_existing_only"})
Fingerprints = NDArray[np.uint64]
"""One unsigned 64-bit number per value."""


def element_fingerprints(elements: Iterable[bytes]) -> Fingerprints:
    """Digest rendered list elements, such as an item id or an item object."""
    digests = b"".join(hashlib.blake2b(element, digest_size=8).digest() for element in elements)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def list_fingerprints(elements: Fingerprints, offsets: NDArray[np.int64]) -> Fingerprints:
    """Fingerprint lists that lie one after another.

    :param elements: digests of all elements of all lists.
    :param offsets: where each list begins, and at the end where the last one ends; shape (lists + 1).
    :returns: shape (lists); the order of the elements counts.
    """
    lengths = np.diff(offsets)
    total = int(offsets[-1] - offsets[0])
    positions = np.arange(1, total + 1) - np.repeat(offsets[:-1] - offsets[0], lengths)
    spread = mixed(elements + positions.astype(np.uint64) * STEP)
    sums = np.zeros(total + 1, dtype=np.uint64)
    np.cumsum(spread, out=sums[1:])
    ends = offsets - offsets[0]
    return mixed(sums[ends[1:]] - sums[ends[:-1]] + lengths.astype(np.uint64))


def value_fingerprint(value: Sequence[object]) -> int:
    """Fingerprint one attribute value as Braze shows it; equal to what was planned when the values are equal."""
    digests = element_fingerprints(dumps(element) for element in value)
    return int(list_fingerprints(digests, np.array([0, len(value)], dtype=np.int64))[0])


def text_fingerprint(text: str) -> int:
    """Fingerprint a text attribute."""
    return int(element_fingerprints([dumps(text)])[0])


def attribute_fingerprint(value: Sequence[object] | str | None) -> int | None:
    """Fingerprint what an attribute object sets; None when it removes the attribute."""
    if value is None:
        return None
    return text_fingerprint(value) if isinstance(value, str) else value_fingerprint(value)


def object_fingerprints(rendered: bytes) -> tuple[str, dict[str, int | None]]:
    """Read an attribute object: the external id, and what Braze must show for it."""
    payload = json.loads(rendered)
    attributes = {name: value for name, value in payload.items() if name not in NO_ATTRIBUTES}
    return payload["external_id"], {name: attribute_fingerprint(v) for name, v in attributes.items()}
