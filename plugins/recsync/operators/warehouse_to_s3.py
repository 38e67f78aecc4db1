"""Copy one dataset of a program from the warehouse to S3."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from recsync.airflow_errors import fatal_errors_fail_the_task
from recsync.core.intervals import Interval
from recsync.core.program import DatasetType

if TYPE_CHECKING:
    from airflow.sdk import Context


class WarehouseToS3Operator(BaseOperator):
    """Stream the rows of one dataset and interval into one CSV object, checked row by row.

    Running it again overwrites the same object with the same bytes. Nothing is written when a check fails.

    :param program: name of the program; its file names the query, the schema, the connections and the bucket.
    :param dataset_type: ``INTERACTIONS``, ``USERS`` or ``ITEMS``.
    :param interval_start: ISO 8601, included. (templated)
    :param interval_end: ISO 8601, not included. (templated)
    :param s3_key: object to write. (templated)
    :return: key, rows, size_bytes, digest and etag of the object.
    """

    template_fields: Sequence[str] = ("interval_start", "interval_end", "s3_key")
    ui_color = "#e8f0d8"

    def __init__(
        self,
        *,
        program: str,
        dataset_type: str,
        interval_start: str,
        interval_end: str,
        s3_key: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.program = program
        self.dataset_type = dataset_type
        self.interval_start = interval_start
        self.interval_end = interval_end
        self.s3_key = s3_key

    def execute(self, context: Context) -> dict[str, Any]:
        """Export the dataset."""
        # pyarrow and psycopg are heavy; a DAG file that imports this operator must parse fast.
        from recsync.stages.context import StageContext
        from recsync.stages.export.dataset import export_dataset
        from recsync.stages.export.publish import to_xcom

        with fatal_errors_fail_the_task():
            stage = StageContext.of(self.program)
            interval = Interval(
                datetime.fromisoformat(self.interval_start), datetime.fromisoformat(self.interval_end)
            )
            kind = DatasetType(self.dataset_type)
            return to_xcom(export_dataset(stage.program, stage.bucket, kind, interval, self.s3_key))
