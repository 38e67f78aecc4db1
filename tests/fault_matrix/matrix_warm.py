"""What the processes of tasks import first: everything that a stage needs, and the matrix's short cuts."""

from __future__ import annotations

from importlib import import_module

import boto3
import matrix_speed

for stage in ("plan", "deliver", "verify"):
    import_module(f"recsync.push.{stage}")
matrix_speed.hasten()
boto3.session.Session().client("s3", region_name="us-east-1")
