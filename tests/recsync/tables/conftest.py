"""Fixtures of deliveries, for the tables of what was delivered."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "push"))
from kit_fixtures import delivery_servers, kit, row_content  # ruff: ignore[unused-import]
from table_kit import made_kit, table_kit  # ruff: ignore[unused-import]
