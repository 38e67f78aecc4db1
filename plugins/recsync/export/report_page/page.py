"""Put the page about one export together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recsync.export.report_page import sections
from recsync.export.report_page.html import Html, document


def page(report: Mapping[str, Any], *, trail: Html | None = None) -> str:
    """Write the report of one export as one HTML document that loads nothing and runs nothing.

    Whatever comes from the warehouse is escaped; characters that cannot be seen are written as escapes. What a report
    leaves out or holds as null is left out of the page.

    :param trail: links to the pages above this one; None for a page that stands alone, as on S3.
    """
    parts = (
        sections.summary,
        sections.findings,
        sections.drift,
        sections.plots,
        sections.columns,
        sections.figures,
    )
    title = f"{report.get('program')} · {report.get('dataset')} · {report.get('verdict')}"
    return document(title, *(part(report) for part in parts), trail=trail)
