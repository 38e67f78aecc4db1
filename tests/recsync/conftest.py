"""Scripted and local servers in the place of AWS, buckets for stores, and a program for stages."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "airflow_personalize"))
sys.path.insert(0, str(Path(__file__).parent))
from aws_servers import (  # ruff: ignore[unused-import]
    _aws_json_server,
    account,
    airflow_db,
    aws_json_server,
    personalize,
    s3_url,
)
from buckets import _door, bucket, door, door_bucket, keys  # ruff: ignore[unused-import]
from small_shop import local_personalize, small_shop  # ruff: ignore[unused-import]
from stage_shop import stage_shop  # ruff: ignore[unused-import]
