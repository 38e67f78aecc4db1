"""The page about one export: its report as HTML that needs nothing but itself."""

from recsync.export.report_page.page import page

__all__ = ["page"]
