"""Check exported rows before a cent is spent on them, while they stream from the warehouse to S3."""

from recsync.export.checks.report import CheckContext, DriftFinding, ExportReport, RuleFinding
from recsync.export.checks.row_checks import QUARANTINE_FILE, RowChecks

__all__ = ["QUARANTINE_FILE", "CheckContext", "DriftFinding", "ExportReport", "RowChecks", "RuleFinding"]
