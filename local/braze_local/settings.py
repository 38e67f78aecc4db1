"""Hold what the command line decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from braze_local.limits import DEFAULT_WINDOWS, Dialect, Window

ObjectLimit = Literal["combined", "per-array"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Configure one server; defaults are those of a new Braze contract with data points.

    `keys` are written ``KEY`` or ``KEY:permission,permission``. `missing_users` says what /users/track
    answers for ``_update_existing_only`` and an unknown external_id: an error entry (older docs) or nothing.
    `open_to_all` lets other machines see the pages and the control API, else for loopback only.
    """

    data: Path
    keys: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 0
    apply_delay_seconds: float = 1.0
    object_limit: ObjectLimit = "combined"
    # Braze: 75 objects per request, in all or (older contracts) per array.
    objects_per_request: int = 75
    dialect: Dialect = "classic"
    windows: Mapping[str, Window] = field(default_factory=lambda: DEFAULT_WINDOWS)
    echo_invalid_key: bool = False
    require_fields_to_export: bool = True
    missing_users: Literal["report", "ignore"] = "report"
    open_to_all: bool = False
