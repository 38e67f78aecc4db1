"""What destinations were told before."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from botocore.config import Config

from recsync import settings
from recsync.alerts.store import AlertState, Claim
from recsync.program import Alert, Program
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

log = logging.getLogger(__name__)

# An S3 that does not answer may be what people are to be told; botocore would wait for it for minutes.
_IMPATIENT = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})


class Memory:
    """What one destination was told about one thing; without S3 nothing is known, and nothing is held back."""

    def __init__(self, program: Program, alert: Alert, about: str) -> None:
        self._program = program
        self._destination = " ".join((alert.via, alert.connection, *alert.to))
        self._about = about
        self._state: AlertState | None = None
        self._claim: Claim | None = None

    @property
    def held_back(self) -> int:
        """How many messages were held back since the last one."""
        return self._claim.former.held_back if self._claim and self._claim.former else 0

    def may_send(self, distance: timedelta) -> bool:
        """Tell whether the last message is far enough away, and remember this one."""
        try:
            self._state = _state(self._program)
            self._claim = self._state.claim(self._destination, self._about, distance, datetime.now(UTC))
        except Exception as error:  # ruff: ignore[blind-except] - S3 may be what the message is about
            log.warning("What %s was told before is unknown, so it is told: %s", self._destination, error)
            return True
        return self._claim is not None

    def forget(self) -> None:
        """Undo ``may_send``: the message could not be sent."""
        if self._state is None or self._claim is None:
            return
        try:
            self._state.give_back(self._claim)
        except Exception as error:  # ruff: ignore[blind-except] - as above
            log.warning("The next message about this may be held back: %s", error)


def _state(program: Program) -> AlertState:
    hook = S3Hook(aws_conn_id=program.aws)
    client = hook.get_client_type(config=hook.config.merge(_IMPATIENT))
    return AlertState(Bucket(client, settings.bucket_of(program)), Keys(program.name))
