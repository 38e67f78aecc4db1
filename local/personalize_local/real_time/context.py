"""Context of one real-time request, with the cache of loaded models."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from personalize_local import engine
from personalize_local.errors import invalid_input, not_found
from personalize_local.real_time.rows import Rows
from personalize_local.real_time.streams import Streams
from personalize_local.resources import ACTIVE, Kind, Resource, region_of
from personalize_local.store import Store

# Models map most of their files into memory, so the file size is an upper bound of their memory.
_MOST_MODEL_BYTES = 2 * 2**30
Params = dict[str, Any]


@dataclass
class Model:
    """One model and its lock; models are not thread-safe."""

    recommender: engine.Recommender
    size_bytes: int
    lock: threading.Lock = field(default_factory=threading.Lock)


class Models:
    """Load models on first use and drop the least recently used ones above a size; the newest always stays."""

    def __init__(self, most_bytes: int = _MOST_MODEL_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}
        self._models: OrderedDict[str, Model] = OrderedDict()

    def get(self, recipe: str, folder: str) -> Model:
        """Return the model in a folder; concurrent callers wait for one load."""
        with self._lock:
            loading = self._loading.setdefault(folder, threading.Lock())
        with loading:
            with self._lock:
                if folder in self._models:
                    self._models.move_to_end(folder)
                    return self._models[folder]
            model = Model(engine.load(recipe, Path(folder)), _size_bytes(Path(folder)))
            with self._lock:
                self._models[folder] = model
                self._make_room()
            return model

    def forget(self) -> None:
        """Drop all models; the next request loads them again."""
        with self._lock:
            self._models.clear()

    def _make_room(self) -> None:
        while len(self._models) > 1 and sum(m.size_bytes for m in self._models.values()) > self._most_bytes:
            folder, _ = self._models.popitem(last=False)
            self._loading.pop(folder, None)


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class RealTimeContext:
    """Context of one request. Unlike the control plane's operations, it has no transaction of the store.

    :param region: the caller's region.
    :param streams: stores accepted rows.
    :param rows: reads datasets including streamed rows.
    :param models: the loaded models.
    """

    region: str
    store: Store
    streams: Streams
    rows: Rows
    models: Models

    def find(self, kind: Kind, arn: str) -> Resource:
        """Return a resource of this kind in the caller's region; raise ResourceNotFoundException."""
        resource = self.store.get(arn)
        if resource is None or resource.kind != kind.noun or region_of(arn) != self.region:
            raise not_found(arn)
        return resource

    def find_active(self, kind: Kind, arn: str) -> Resource:
        """Return a resource in state ACTIVE; raise InvalidInputException for any other state."""
        resource = self.find(kind, arn)
        if resource.status != ACTIVE:
            raise invalid_input(f"{kind.noun} {arn} must be ACTIVE. Its status is {resource.status}.")
        return resource


Operation = Callable[[RealTimeContext, Params], dict[str, Any]]
