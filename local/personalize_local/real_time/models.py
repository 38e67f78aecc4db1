"""Hold the models that campaigns serve: each loaded once, the least used ones let go when they grow too large."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from personalize_local import engine

# Models map most of their files into memory, so this is an upper bound of what they take.
_MOST_MODEL_BYTES = 2 * 2**30


@dataclass
class Model:
    """Hold one model with the lock under which it answers: models promise nothing about threads."""

    recommender: engine.Recommender
    size_bytes: int
    lock: threading.Lock = field(default_factory=threading.Lock)


class Models:
    """Load models on first use. At least the newest one stays in memory, however large it is."""

    def __init__(self, most_bytes: int = _MOST_MODEL_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}
        self._models: OrderedDict[str, Model] = OrderedDict()

    def get(self, recipe: str, folder: str) -> Model:
        """Return the model in a folder; who asks while it is being loaded waits for that one load."""
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
        """Let all models go; they are loaded again when they are asked for."""
        with self._lock:
            self._models.clear()

    def _make_room(self) -> None:
        while len(self._models) > 1 and sum(m.size_bytes for m in self._models.values()) > self._most_bytes:
            folder, _ = self._models.popitem(last=False)
            self._loading.pop(folder, None)


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
