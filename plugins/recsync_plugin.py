"""The one Airflow plugin of recsync: pages in Airflow's UI, links to them and to the AWS console, notes, priorities."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from airflow_personalize.links import personalize
from recsync.export.link import ExportReportLink
from recsync.notes import PageLink, RunNoteListener
from recsync.task_priority import BackfillsLast
from recsync.timetables import TIMETABLES
from recsync.ui.mount import EXTERNAL_VIEWS, FASTAPI_APP


class RecsyncPlugin(AirflowPlugin):
    """Register the links and pages; it imports nothing heavy, because each Airflow process loads it."""

    name = "recsync"
    # Airflow declares these as instance attributes and reads them from the class.
    operator_extra_links = [*(link() for link in personalize.ALL), ExportReportLink(), PageLink()]  # ruff: ignore[mutable-class-default]
    fastapi_apps = [FASTAPI_APP]  # ruff: ignore[mutable-class-default]
    external_views = EXTERNAL_VIEWS
    timetables = TIMETABLES
    priority_weight_strategies = [BackfillsLast]  # ruff: ignore[mutable-class-default]
    listeners = [RunNoteListener()]  # ruff: ignore[mutable-class-default]
