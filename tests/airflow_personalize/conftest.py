"""Scripted and local servers in the place of AWS."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from aws_servers import (  # ruff: ignore[unused-import]
    _aws_json_server,
    account,
    airflow_db,
    aws_json_server,
    personalize,
    s3_url,
)
