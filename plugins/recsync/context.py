"""What every stage works with: the program, its bucket and its keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from recsync import settings
from recsync.costs.store import MoneyStore
from recsync.evaluation.champion_store import ChampionStore
from recsync.evaluation.comparison_store import ComparisonStore
from recsync.export.report_store import Reports
from recsync.export.store import Exports
from recsync.imports.store import ImportState
from recsync.program import Program
from recsync.push.last_sent import LastSent
from recsync.push.store import Deliveries
from recsync.recommend.store import RecommendationsStore
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys, uri
from recsync.suppression.store import SuppressionStore
from recsync.training.lock_store import LeaseStore
from recsync.training.tuning_store import TuningStore
from recsync.warehouse.hooks import Warehouse, warehouse


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

    @property
    def exports(self) -> Exports:
        """Published exports."""
        return Exports(self.bucket, self.keys)

    @cached_property
    def reports(self) -> Reports:
        """What exports found."""
        return Reports(self.bucket, self.keys)

    @property
    def imports(self) -> ImportState:
        """What Amazon Personalize was given."""
        return ImportState(self.bucket, self.keys)

    @property
    def lease(self) -> LeaseStore:
        """Which run may change the dataset group."""
        return LeaseStore(self.bucket, self.keys)

    @property
    def money(self) -> MoneyStore:
        """What was used, by month."""
        return MoneyStore(self.bucket, self.keys)

    @property
    def champions(self) -> ChampionStore:
        """The champion and its history."""
        return ChampionStore(self.bucket, self.keys)

    @property
    def comparisons(self) -> ComparisonStore:
        """Solutions that were trained on the same data, side by side."""
        return ComparisonStore(self.bucket, self.keys)

    @property
    def tuning(self) -> TuningStore:
        """What searches for hyperparameters found."""
        return TuningStore(self.bucket, self.keys)

    @property
    def recommendations(self) -> RecommendationsStore:
        """Published recommendations."""
        return RecommendationsStore(self.bucket, self.keys)

    @property
    def last_sent(self) -> LastSent:
        """What Braze was last told."""
        return LastSent(self.bucket, self.keys)

    @property
    def deliveries(self) -> Deliveries:
        """Plans, ledgers and accounts of deliveries."""
        return Deliveries(self.bucket, self.keys)

    @property
    def suppression(self) -> SuppressionStore:
        """Who must never come back."""
        return SuppressionStore(self.bucket, self.keys)
