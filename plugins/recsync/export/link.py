"""Addresses of the report pages, and the link of an export task to its report."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recsync.notes import MOUNT, PageLink
from recsync.program import DatasetType

if TYPE_CHECKING:
    from airflow.sdk import Context

REPORTS = "/reports"

_DATASETS = "|".join(kind.folder for kind in DatasetType)
# Only reports and no other object of the bucket; storage/keys.py lists the keys.
_REPORT = re.compile(
    rf"exports/reports/(?:{_DATASETS})/\d{{4}}-\d\d-\d\dT\d{{4}}Z"
    rf"|full/[A-Za-z0-9][A-Za-z0-9._-]*/reports/(?:{_DATASETS})",
    re.ASCII,
)
_SUFFIX = ".json"


def report_route(key: str) -> str:
    """Return the route of the page about the report at an S3 key, below the mount.

    >>> report_route("shop/exports/reports/items/2026-11-22T0500Z.json")
    '/reports/shop/exports/reports/items/2026-11-22T0500Z'
    """
    return f"{REPORTS}/{key.removesuffix(_SUFFIX)}"


def report_link(key: str) -> str:
    """Return the page's address relative to Airflow's base URL, which may include a path."""
    return f"{MOUNT}{report_route(key)}".removeprefix("/")


def report_key(program: str, path: str) -> str | None:
    """Return the S3 key of the report that a route names; None when the route names no report."""
    return f"{program}/{path}{_SUFFIX}" if _REPORT.fullmatch(path) else None


class ExportReportLink(PageLink):
    """Link to the export report, which exists also when a check stopped the export."""

    name = "Export report"
    key = "export_report"

    @classmethod
    def persist(cls, context: Context, report_key: str) -> None:
        """Store the link in XCom before the export, so that a failed task has it too.

        :param report_key: S3 key of the report.
        """
        context["ti"].xcom_push(key=cls.key, value=report_link(report_key))
