"""Walk a running server and say what the calls showed."""

from __future__ import annotations

from personalize_local.parity.driver import Driver
from personalize_local.parity.record import Recorder
from personalize_local.parity.table import Row, make_rows
from personalize_local.parity.walk import Walk


def examine(url: str, bucket: str, region: str) -> tuple[list[Row], list[str]]:
    """Call every operation of the server at `url`; return a row for each, and the stations that failed.

    :param bucket: an S3 bucket that this process and the server reach by boto3's environment.
    """
    recorder = Recorder(url, region)
    walk = Walk(Driver(recorder, bucket, region))
    walk.run()
    return make_rows(recorder, region), walk.failures
