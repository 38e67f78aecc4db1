"""The export operator: copy one dataset from the warehouse to S3, and link its report."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf
from airflow.sdk import BaseOperator

from recsync.airflow_tasks import WithholdsRecords
from recsync.errors import FATAL
from recsync.export.link import ExportReportLink
from recsync.program import DatasetType
from recsync.program.intervals import Interval

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recsync.context import StageContext
    from recsync.warehouse.hooks.unload import Unload


# As RedshiftDataOperator waits.
_POLL_SECONDS = 10
# Grace beyond the statement's timeout, for instance while the triggerer restarts.
_TRIGGERER_GRACE = timedelta(hours=1)


class WarehouseToS3Operator(WithholdsRecords, BaseOperator):
    """Stream the rows of one dataset and interval into one CSV object, checking each row.

    A retry overwrites the object with the same bytes. Nothing is written when a check fails.

    Redshift, Snowflake and Athena unload the rows to a staging prefix of the bucket first. The task waits for
    Redshift's ``UNLOAD`` in the triggerer. A killed task cancels an ``UNLOAD`` of Redshift or Athena.

    :param program: name of the program; its file names the query, the schema, the connections and the bucket.
    :param dataset_type: ``INTERACTIONS``, ``USERS`` or ``ITEMS``.
    :param interval_start: ISO 8601, included. (templated)
    :param interval_end: ISO 8601, not included. (templated)
    :param s3_key: object to write. (templated)
    :param optional: return None and log why when a fatal error, such as a check, stops the export.
    :param note: why a later run exports it, for the report.
    :param deferrable: wait for ``UNLOAD`` in the triggerer rather than in a worker slot. Default: Airflow's setting
        ``[recsync] deferrable``, else True. Other warehouses are read by the worker.
    :param poll_interval: seconds between two polls of a deferred ``UNLOAD``. Default 10.
    :returns: key, rows, size_bytes, digest, etag and quarantined rows of the object.
    """

    template_fields: Sequence[str] = ("interval_start", "interval_end", "s3_key")
    operator_extra_links = (ExportReportLink(),)
    ui_color = "#e8f0d8"

    def __init__(
        self,
        *,
        program: str,
        dataset_type: str,
        interval_start: str,
        interval_end: str,
        s3_key: str,
        optional: bool = False,
        note: str = "",
        deferrable: bool = conf.getboolean("recsync", "deferrable", fallback=True),
        poll_interval: int = _POLL_SECONDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.program = program
        self.dataset_type = dataset_type
        self.interval_start = interval_start
        self.interval_end = interval_end
        self.s3_key = s3_key
        self.optional = optional
        self.note = note
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self._unload: Unload | None = None

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Export the dataset."""
        # pyarrow and the warehouse's client are heavy; a DAG file that imports this operator must parse fast.
        from recsync.context import StageContext
        from recsync.export.dataset import start_unload
        from recsync.export.store import ReportStore

        stage = StageContext.of(self.program)
        if stage.program.checks.enabled:
            # Before the export, so that a task stopped by a check links to its report too.
            ExportReportLink.persist(context, stage.store(ReportStore).path_of(self.s3_key))
        with self._tolerance():
            self._unload = start_unload(stage, DatasetType(self.dataset_type), self._interval, self.s3_key)
            if self._unload is not None and self._unload.statement_id and self.deferrable:
                self._wait_in_triggerer(self._unload)
            return self._export(stage, self._unload)
        return None

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, *, unload: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Export the unloaded rows.

        :param event: ignored; the statement's status is read again, with its error.
        """
        from recsync.context import StageContext
        from recsync.warehouse.hooks.unload import Unload

        with self._tolerance():
            self._unload = Unload.from_dict(unload)
            return self._export(StageContext.of(self.program), self._unload)
        return None

    def on_kill(self) -> None:
        """Cancel the running UNLOAD."""
        from recsync.settings import program
        from recsync.warehouse.hooks import UnloadingWarehouse, warehouse

        if self._unload is not None:
            owner = program(self.program)
            source = warehouse(owner.warehouse, aws_conn_id=owner.aws)
            if isinstance(source, UnloadingWarehouse):
                source.cancel(self._unload)

    @contextmanager
    def _tolerance(self) -> Generator[None]:
        try:
            yield
        except FATAL as error:
            if not self.optional:
                raise
            self.log.warning("%s is not exported; the run goes on without it. %s", self.s3_key, error)

    @property
    def _interval(self) -> Interval:
        return Interval(
            datetime.fromisoformat(self.interval_start), datetime.fromisoformat(self.interval_end)
        )

    def _export(self, stage: StageContext, unload: Unload | None) -> dict[str, Any]:
        from recsync.export.dataset import export_dataset
        from recsync.export.publish import to_xcom

        kind = DatasetType(self.dataset_type)
        exported = export_dataset(stage, kind, self._interval, self.s3_key, unloaded=unload, note=self.note)
        return to_xcom(exported)

    def _wait_in_triggerer(self, unload: Unload) -> None:
        from airflow.providers.amazon.aws.triggers.redshift_data import RedshiftDataTrigger

        self.defer(
            trigger=RedshiftDataTrigger(
                statement_id=str(unload.statement_id),
                task_id=self.task_id,
                poll_interval=self.poll_interval,
                aws_conn_id=unload.aws_conn_id,
                region_name=unload.region_name,
            ),
            method_name="execute_complete",
            kwargs={"unload": unload.to_dict()},
            timeout=timedelta(seconds=unload.timeout_seconds or 0) + _TRIGGERER_GRACE,
        )
