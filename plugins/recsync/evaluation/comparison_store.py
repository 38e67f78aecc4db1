"""The solutions that FULL trainings put side by side."""

from __future__ import annotations

from dataclasses import dataclass

from recsync.evaluation.comparison import Comparison
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys


@dataclass(frozen=True)
class ComparisonStore:
    """The comparisons of one program."""

    bucket: Bucket
    keys: Keys

    def write(self, comparison: Comparison) -> None:
        """Keep one; a retry of its run replaces it."""
        self.bucket.put_json(self.keys.comparison(comparison.run), comparison.to_json())

    def newest(self, count: int) -> list[Comparison]:
        """Read the last ones, newest first: run keys begin with their time."""
        keys = sorted(self.bucket.keys(self.keys.all_comparisons), reverse=True)[:count]
        documents = (self.bucket.get_json(key) for key in keys)
        return [Comparison.from_json(document) for document in documents if document]
