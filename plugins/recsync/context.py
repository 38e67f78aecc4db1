"""The context of a stage: the program, its bucket, keys and stores."""

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


class _S3Hook(S3Hook):
    def _get_caller(self, target_function_name: str = "execute") -> str:
        """Name the caller in the user agent without the provider's ``inspect.stack()``, which takes 0.2 s of CPU."""
        return "recsync"


@dataclass(frozen=True)
class StageContext:
    """One program with its bucket, keys, warehouse and stores."""

    program: Program

    @classmethod
    def of(cls, name: str) -> StageContext:
        """Read the program file."""
        return cls(settings.program(name))

    @cached_property
    def data(self) -> StageContext:
        """Return the context of the program that owns the data; itself when this one does."""
        owner = self.program.data_owner
        return self if owner is self.program else StageContext(owner)

    @cached_property
    def model(self) -> StageContext:
        """Return the context of the program that owns the champion; itself when this one does."""
        owner = self.program.model_owner
        return self if owner is self.program else StageContext(owner)

    @cached_property
    def over_data(self) -> tuple[StageContext, ...]:
        """Return the contexts of the programs that use the same data, its owner's first.

        :raises FatalError: when the file of one of them is broken.
        """
        others = {self.program.name: self, self.data.program.name: self.data}
        found = settings.programs_over_data(self.program)
        return tuple(others.get(program.name) or StageContext(program) for program in found)

    @cached_property
    def keys(self) -> Keys:
        """Return the S3 keys of the program."""
        return Keys(self.program.name)

    @cached_property
    def bucket(self) -> Bucket:
        """Return the program's bucket."""
        client = _S3Hook(aws_conn_id=self.program.aws).get_conn()
        return Bucket(client, settings.bucket_of(self.program), self.program.aws)

    def warehouse(self) -> Warehouse:
        """Open the program's warehouse."""
        staging = uri(settings.bucket_of(self.program), self.keys.staged_reads)
        return warehouse(self.program.warehouse, aws_conn_id=self.program.aws, staging_uri=staging)

    @cached_property
    def _stores(self) -> dict[Any, Any]:
        return {}

    def store(self, kind: Callable[[Bucket, Keys], StoreT]) -> StoreT:
        """Return the store of a class, always the same object: some remember what they wrote.

        A class with ``shared = "data"`` or ``"model"`` is kept by the owner of the data, or of the model.
        """
        keeper = {"data": self.data, "model": self.model}.get(getattr(kind, "shared", ""), self)
        if keeper is not self:
            return keeper.store(kind)
        if kind not in self._stores:
            self._stores[kind] = kind(self.bucket, self.keys)
        store: StoreT = self._stores[kind]
        return store
