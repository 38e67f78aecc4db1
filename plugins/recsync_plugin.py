"""The one Airflow plugin of recsync: our pages in the Airflow UI, and links to them and into the AWS console."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from airflow_personalize.links import personalize
from recsync.export.link import ExportReportLink
from recsync.ui.mount import EXTERNAL_VIEWS, FASTAPI_APP


class RecsyncPlugin(AirflowPlugin):
    """Register what Airflow must know of recsync; every process loads it, so it loads nothing heavy."""

    name = "recsync"
    # Airflow declares these as attributes of instances and reads them off the class.
    operator_extra_links = [*(link() for link in personalize.ALL), ExportReportLink()]  # ruff: ignore[mutable-class-default]
    fastapi_apps = [FASTAPI_APP]  # ruff: ignore[mutable-class-default]
    external_views = EXTERNAL_VIEWS
