"""Check exported rows before a cent is spent on them, while they stream from the warehouse to S3."""

from recsync.core.checks.context import CheckContext
from recsync.core.checks.report import DriftFinding, Finding, Report
from recsync.core.checks.row_checks import QUARANTINE_FILE, RowChecks

__all__ = ["QUARANTINE_FILE", "CheckContext", "DriftFinding", "Finding", "Report", "RowChecks"]
