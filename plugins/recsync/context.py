"""What every stage works with: the program, its bucket and its keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from recsync import settings
from recsync.program import Program
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys, uri
from recsync.warehouse.hooks import Warehouse, warehouse

StoreT = TypeVar("StoreT")


@dataclass(frozen=True)
class StageContext:
    """One program and where its things lie."""

    program: Program

    @classmethod
    def of(cls, name: str) -> StageContext:
        """Read the program file anew, so that a task sees the file as it is now."""
        return cls(settings.program(name))

    @cached_property
    def keys(self) -> Keys:
        """S3 keys of the program."""
        return Keys(self.program.name)

    @cached_property
    def bucket(self) -> Bucket:
        """Bucket of the program, reached through its AWS connection."""
        client = S3Hook(aws_conn_id=self.program.aws).get_conn()
        return Bucket(client, settings.bucket_of(self.program), self.program.aws)

    def warehouse(self) -> Warehouse:
        """Open the program's warehouse."""
        staging = uri(settings.bucket_of(self.program), self.keys.staged_reads)
        return warehouse(self.program.warehouse, aws_conn_id=self.program.aws, staging_uri=staging)

    @cached_property
    def _stores(self) -> dict[Any, Any]:
        return {}

    def store(self, kind: Callable[[Bucket, Keys], StoreT]) -> StoreT:
        """Open the store of a feature: the same object every time, because some remember what they wrote.

        :param kind: its class.
        """
        if kind not in self._stores:
            self._stores[kind] = kind(self.bucket, self.keys)
        store: StoreT = self._stores[kind]
        return store
