"""Tell people that an export differs from what is usual."""

from __future__ import annotations

from recsync.alerts.send import send
from recsync.export.checks.report import Report
from recsync.program import Event, Program


def tell_of_drift(program: Program, dataset: str, report: Report, report_uri: str) -> None:
    """Tell of everything in a report that differs from earlier exports; nothing when nothing does.

    Once per day and dataset: a late warehouse is late every hour.

    :param dataset: the dataset's name, as in S3 keys.
    """
    if not report.drift:
        return
    lines = (
        *(f"What happened: {finding.text}" for finding in report.drift),
        "What to do: ask who fills the warehouse whether that is right. If it is not, mend the source, then clear the "
        "export; a model trained on such data is judged by the gate before it is used. If it is, the next exports "
        "make it usual; limits: checks.drift in the program file.",
        f"Report: {report_uri}",
    )
    subject = f"the export of {dataset} is not as usual"
    figures = ", ".join(sorted({finding.figure for finding in report.drift}))
    send(program, Event.DRIFT, subject, "\n".join(lines), key=f"{dataset}: {figures}")
