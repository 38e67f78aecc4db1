"""The program ``shop`` on S3, and the settings of a service over it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "airflow_personalize"))
sys.path.insert(0, str(Path(__file__).parent))
from aws_servers import s3_url  # ruff: ignore[unused-import]
from published_shop import shop  # ruff: ignore[unused-import]
from service_client import client  # ruff: ignore[unused-import]
