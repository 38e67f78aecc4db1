"""Link a task instance to the page about what it exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from recsync.export.report_page.addresses import report_link

if TYPE_CHECKING:
    from airflow.models import BaseOperator
    from airflow.providers.common.compat.sdk import TaskInstanceKey
    from airflow.sdk import Context


class ExportReportLink(BaseOperatorLink):
    """Lead to the export report; there is one also when a check stopped the export."""

    name = "Export report"
    key = "export_report"

    @property
    def xcom_key(self) -> str:
        """The XCom that holds the whole link; Airflow's API server reads it as it is."""
        return self.key

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Give the address that ``persist`` stored; empty without one, which shows no link."""
        # Airflow asks when the task ends, and stores the answer under the same key.
        return XCom.get_value(key=self.key, ti_key=ti_key) or ""

    @classmethod
    def persist(cls, context: Context, report_key: str) -> None:
        """Store the link in XCom; before the export, so that it is there however the task ends.

        :param report_key: S3 key of the report.
        """
        context["ti"].xcom_push(key=cls.key, value=report_link(report_key))
