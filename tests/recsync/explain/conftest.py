"""Fixtures of deliveries, for explanations of what became of lists."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "push"))
from kit_fixtures import delivery_servers, kit, row_content  # ruff: ignore[unused-import]
