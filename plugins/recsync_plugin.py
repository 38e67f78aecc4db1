"""The one Airflow plugin of recsync: it lets the API server draw our links into the AWS console."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from recsync.links import personalize as links


class RecsyncPlugin(AirflowPlugin):
    """Register what Airflow must know of recsync."""

    name = "recsync"
    operator_extra_links = [link() for link in links.ALL]  # ruff: ignore[mutable-class-default] - Airflow's own attribute
