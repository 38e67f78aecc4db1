"""What a single value may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from recsync.program.intervals import Interval
from recsync.storage.arrow_memory import forgo_pandas

# https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
MAX_ID_CHARACTERS = 256
MAX_TEXT_CHARACTERS = 1_000
MAX_TEXTUAL_CHARACTERS = 20_000
# Control characters, the quote, the marks of byte order.
ID_FORBIDDEN = '[\\x00-\\x1f"\\x7f-\\x{9f}\\x{feff}]'

# Before the first array of the task.
forgo_pandas()
# As values they would be taken for the names of fields.
# https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
KEYWORDS = pa.array(
    [
        "USER_ID",
        "ITEM_ID",
        "TIMESTAMP",
        "EVENT_TYPE",
        "EVENT_VALUE",
        "IMPRESSION",
        "RECOMMENDATION_ID",
        "EVENT_ATTRIBUTION_SOURCE",
        "CREATION_TIMESTAMP",
    ]
)
KEYWORD_LETTER = b"E"  # stands in every one of them
WHOLE_NUMBER = "^-?[0-9]{1,18}$"
DECIMAL_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
MAX_FLOAT = 3.4028234663852886e38  # IEEE 754 single precision
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1

# Epoch seconds lie between these from 1973 to 5138; the same times in milliseconds begin where seconds end, and so on.
SECONDS_FROM = 100_000_000
MILLISECONDS_FROM = 100_000_000_000
MICROSECONDS_FROM = 100_000_000_000_000
NANOSECONDS_FROM = 100_000_000_000_000_000


def time_unit(moment: int) -> str:
    """Name the unit that makes a number a time of our days."""
    if moment >= NANOSECONDS_FROM:
        return "nanoseconds"
    if moment >= MICROSECONDS_FROM:
        return "microseconds"
    return "milliseconds" if moment >= MILLISECONDS_FROM else "a unit larger than seconds"


@dataclass(frozen=True)
class TimeRange:
    """The epoch seconds that the interval allows, both ends included."""

    first: int
    last: int

    @classmethod
    def of(cls, interval: Interval, select_by: Literal["event_time", "ingestion_time"]) -> TimeRange:
        """Give the range; rows chosen by their ingestion may have happened at any time before."""
        start, end = int(interval.start.timestamp()), int(interval.end.timestamp())
        return cls(start, end - 1) if select_by == "event_time" else cls(LONG_MIN, end)
