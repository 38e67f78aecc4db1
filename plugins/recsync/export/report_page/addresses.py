"""Addresses of the pages about exports and models below Airflow's own, and the reports they may show."""

from __future__ import annotations

import re

from recsync.program import DatasetType

# Where the API server mounts our pages.
MOUNT = "/recsync"
REPORTS = "/reports"
MODELS = "/models"

_DATASETS = "|".join(kind.folder for kind in DatasetType)
# Only reports, never another object of the bucket: see storage/keys.py for what lies where.
_REPORT = re.compile(
    rf"exports/reports/(?:{_DATASETS})/\d{{4}}-\d\d-\d\dT\d{{4}}Z"
    rf"|full/[A-Za-z0-9][A-Za-z0-9._-]*/reports/(?:{_DATASETS})",
    re.ASCII,
)
_SUFFIX = ".json"


def report_route(key: str) -> str:
    """Give the route of the page about the report at an S3 key, below the mount.

    >>> report_route("shop/exports/reports/items/2026-11-22T0500Z.json")
    '/reports/shop/exports/reports/items/2026-11-22T0500Z'
    """
    return f"{REPORTS}/{key.removesuffix(_SUFFIX)}"


def report_link(key: str) -> str:
    """Give the page's address relative to Airflow's own, wherever a proxy puts that.

    No slash at its front: Airflow's pages say what their links are relative to.
    """
    return f"{MOUNT}{report_route(key)}".removeprefix("/")


def report_key(program: str, path: str) -> str | None:
    """Give the S3 key of the report that a route names; None when it names anything but a report."""
    return f"{program}/{path}{_SUFFIX}" if _REPORT.fullmatch(path) else None
