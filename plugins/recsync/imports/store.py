"""What Amazon Personalize has been given, as one state object."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from recsync.errors import FatalError
from recsync.imports.dataset_state import Held
from recsync.program import DatasetType
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

log = logging.getLogger(__name__)
_NAME = "imports.json"


@dataclass(frozen=True)
class ImportState:
    """The state object of one program."""

    bucket: Bucket
    keys: Keys

    def read(self) -> Held:
        """Read the state; empty before the first FULL import."""
        return self._read()[0]

    def change(self, change: Callable[[Held], Held]) -> Held:
        """Change the state; a change that another run made meanwhile is kept.

        :param change: gives the new state for the present one; may be called more than once.
        :returns: the state as it is now.
        """
        while True:
            held, etag = self._read()
            changed = change(held)
            if changed == held:
                return held
            body = json.dumps(changed.to_json(), indent=1, sort_keys=True).encode()
            if self.bucket.put_if(self._key, body, etag=etag):
                return changed
            log.info("%s was changed by another run just now; looking again.", self.bucket.uri(self._key))

    @property
    def _key(self) -> str:
        return self.keys.state(_NAME)

    def _read(self) -> tuple[Held, str | None]:
        body, etag = self.bucket.get_with_etag(self._key)
        if body is None:
            return Held(), None
        try:
            document = json.loads(body)
        except ValueError as error:
            raise FatalError(
                f"{self.bucket.uri(self._key)} is not valid JSON ({error}); restore it, or delete it and run "
                f"{self.keys.program}_train_full."
            ) from None
        held = Held.from_json(document)
        return (held if "datasets" in document else self._with_objects(held)), etag

    def _with_objects(self, held: Held) -> Held:
        """Find what the former format did not name: the import objects of its intervals."""
        objects: dict[str, tuple[str, ...]] = {}
        for key in self.bucket.keys(self.keys.all_imports):
            folder, _, name = key.removesuffix(".csv").rpartition("/")
            if name in held.intervals and folder.endswith(f"/{DatasetType.INTERACTIONS.folder}"):
                objects[name] = (*objects.get(name, ()), key)
        return replace(held, objects=objects)
