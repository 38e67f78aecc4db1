"""Let the tests find the matrix's modules, and those of the delivery's tests that it shares."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "recsync/push")]
