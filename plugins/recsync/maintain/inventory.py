"""Everything that lies below one program's folder, and its removal in batches."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from recsync.errors import RetriableError
from recsync.maintain.units import Stored
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

log = logging.getLogger(__name__)

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html: 1,000 keys in one request
_BATCH_OBJECTS = 1_000


@dataclass(frozen=True)
class Inventory:
    """The objects of one program."""

    bucket: Bucket
    keys: Keys

    def everything(self) -> list[Stored]:
        """List every object of the program."""
        return list(self._listed(f"{self.keys.program}/"))

    def remove(self, objects: Sequence[Stored]) -> list[Stored]:
        """Remove objects that are still what the listing showed.

        One that was written since then stays: somebody exported its interval again. Removing what is gone already is
        no error.

        :returns: those that stay.
        :raises RetriableError: S3 refused some of them; the others are gone, and a further try removes the rest.
        """
        stay = self._written_since(objects)
        keys = [stored.key for stored in objects if stored not in stay]
        for start in range(0, len(keys), _BATCH_OBJECTS):
            batch = keys[start : start + _BATCH_OBJECTS]
            self._remove(batch)
            log.info("%d of %d objects are removed", start + len(batch), len(keys))
        return stay

    def _written_since(self, objects: Sequence[Stored]) -> list[Stored]:
        # A listing per folder costs one request for 1,000 objects; a look at each would cost 1,000.
        folders = {f"{stored.key.rpartition('/')[0]}/" for stored in objects}
        now = {
            stored.key: stored
            for folder in sorted(folders)
            for stored in self._listed(folder, first_level=True)
        }
        return [stored for stored in objects if now.get(stored.key, stored) != stored]

    def _remove(self, keys: Iterable[str]) -> None:
        document = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        with self.bucket.errors(f"{self.keys.program}/"):
            answer = self.bucket.client.delete_objects(Bucket=self.bucket.name, Delete=document)
        if failed := answer.get("Errors"):
            first = failed[0]
            raise RetriableError(
                f"S3 did not remove {len(failed)} objects, the first {self.bucket.uri(first['Key'])}: "
                f"{first.get('Code')} {first.get('Message')}. The role needs s3:DeleteObject; a retry goes on."
            )

    def _listed(self, folder: str, *, first_level: bool = False) -> Iterator[Stored]:
        for entry in self.bucket.listed(folder, first_level=first_level):
            yield Stored(entry["Key"], entry["Size"], entry["LastModified"], entry["ETag"])
