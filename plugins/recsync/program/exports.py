"""The program file: what one export reads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recsync.program.section import Strict


class Exports(Strict):
    """How the rows of an interval are chosen, and how long the warehouse may be late with them.

    :param select_by: what the SQL files compare with ``data_interval_start`` and ``data_interval_end``: the time of
        the event itself, or the time at which the warehouse took it in.
    :param overlap_intervals: how many intervals before its own an export reads again, because rows of theirs may have
        arrived late. Only intervals that were exported before are read again, and a backfill reads none.
    :param missing_intervals: how many intervals that nobody exported, of those since the last FULL import, an export
        reads too, oldest first; a backfill none.
    """

    select_by: Literal["event_time", "ingestion_time"] = "event_time"
    overlap_intervals: int = Field(default=2, ge=0, le=168)
    missing_intervals: int = Field(default=24, ge=0, le=168)
