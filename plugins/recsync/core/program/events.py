"""The program file: which events count, and how much."""

from __future__ import annotations

from recsync.core.program.section import Strict


class Events(Strict):
    """Which rows of the interactions query are exported; by default all, as they are."""
