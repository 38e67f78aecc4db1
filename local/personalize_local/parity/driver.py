"""Call operations by their names, make and wait for resources, and read every way of looking at them."""

from __future__ import annotations

import io
import itertools
import time
from typing import Any

from botocore.exceptions import ClientError

from personalize_local.parity.record import Recorder
from personalize_local.parity.table import client_method
from personalize_local.resources import KINDS, Kind
from personalize_local.s3 import connect

ROLE = "arn:aws:iam::000000000000:role/PersonalizeRole"
_POLL_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 120
_OVER = frozenset({"ACTIVE", "CREATE FAILED", "CREATE STOPPED", "COMPLETED", "FAILED"})


class Driver:
    """Drive one server through the recorder's clients; resources of one walk share a bucket and a stem."""

    def __init__(self, recorder: Recorder, bucket: str, region: str) -> None:
        self._recorder = recorder
        self._bucket = bucket
        self._s3 = connect(region)
        self._numbers = itertools.count(1)

    def call(self, operation: str, service: str = "personalize", **params: Any) -> dict[str, Any]:
        """Call an operation by its name in the model."""
        client = self._recorder.clients[service]
        reply: dict[str, Any] = getattr(client, client_method(client, operation))(**params)
        return reply

    def create(self, kind: Kind, **params: Any) -> str:
        """Create a resource under a fresh name, describe it until it has a final state, list it."""
        name_member = "jobName" if kind.noun.endswith("Job") else "name"
        name = f"parity-{kind.tail}-{next(self._numbers)}"
        arn = str(self.call(f"Create{kind.noun}", **{name_member: name, **params})[kind.arn_member])
        self.wait(kind, arn)
        self.call(f"List{kind.noun}s")
        return arn

    def wait(self, kind: Kind, arn: str) -> dict[str, Any]:
        """Return the description of a resource once its state is final."""
        end = time.monotonic() + _LONGEST_WAIT_SECONDS
        while True:
            described: dict[str, Any] = self.call(f"Describe{kind.noun}", **{kind.arn_member: arn})[
                kind.describe_member
            ]
            update = described.get(f"latest{kind.noun}Update", {})
            states = {each["status"] for each in (described, update) if "status" in each}
            if states <= _OVER:
                return described
            if time.monotonic() > end:
                raise TimeoutError(f"{arn} is still {', '.join(sorted(states))}")
            time.sleep(_POLL_SECONDS)

    def delete(self, kind: Kind, arn: str) -> None:
        """Delete a resource and wait until it is not found."""
        self.call(f"Delete{kind.noun}", **{kind.arn_member: arn})
        try:
            while True:
                self.wait_a_moment(kind, arn)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise

    def wait_a_moment(self, kind: Kind, arn: str) -> None:
        """Describe a resource, then let some time pass."""
        self.call(f"Describe{kind.noun}", **{kind.arn_member: arn})
        time.sleep(_POLL_SECONDS)

    def put(self, key: str, text: str) -> str:
        """Write an object and return its location."""
        self._s3.upload_fileobj(io.BytesIO(text.encode()), self._bucket, key)
        return f"s3://{self._bucket}/{key}"

    def folder(self, name: str) -> str:
        """Return the location of a folder."""
        return f"s3://{self._bucket}/{name}/"


def kind_of(noun: str) -> Kind:
    """Return the kind of resource with this noun."""
    return KINDS[noun]
