"""Call operations through recorded boto3 clients, and check each raw reply against the service's model."""

from __future__ import annotations

import io
import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import OperationModel
from botocore.validate import ParamValidator

from personalize_local.resources import KINDS, Kind
from personalize_local.s3 import connect
from personalize_local.validation import violations

SERVICES = ("personalize", "personalize-runtime", "personalize-events")
# Known errors of the model: it gives some roles the pattern of Personalize ARNs, and the real service names unnamed
# versions SOLUTION/<8 hex digits>, against the pattern.
_MISTYPED = (".roleArn'", "'solutionVersion.name'")
ROLE = "arn:aws:iam::000000000000:role/PersonalizeRole"
_POLL_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 120
_OVER = frozenset({"ACTIVE", "INACTIVE", "CREATE FAILED", "CREATE STOPPED", "COMPLETED", "FAILED"})


@dataclass
class Seen:
    """Results of the calls of one operation: number of successes, and problems."""

    succeeded: int = 0
    problems: list[str] = field(default_factory=list)


class Recorder:
    """Make clients without retries, and record each reply by service and operation."""

    def __init__(self, url: str, region: str) -> None:
        self.seen: dict[tuple[str, str], Seen] = {}
        config = Config(retries={"max_attempts": 0})
        self.clients: dict[str, Any] = {}
        make: Any = boto3.client  # stubs know the names of services as literals only
        for service in SERVICES:
            client = make(service, endpoint_url=url, region_name=region, config=config)
            client.meta.events.register(f"after-call.{service}", self._note)
            self.clients[service] = client

    def of(self, service: str, operation: str) -> Seen:
        """Return the results of an operation."""
        return self.seen.setdefault((service, operation), Seen())

    def _note(self, http_response: Any, model: OperationModel, **_: Any) -> None:
        if http_response.status_code >= 300:
            return
        seen = self.of(model.service_model.service_name, model.name)
        seen.succeeded += 1
        for problem in reply_problems(http_response.content, model):
            if problem not in seen.problems:
                seen.problems.append(problem)


def reply_problems(content: bytes, operation: OperationModel) -> list[str]:
    """Return all violations of the operation's output shape: members, types, bounds, enums and patterns."""
    shape = operation.output_shape
    if shape is None:
        return [f"an unexpected body: {content[:100]!r}"] if content else []
    reply = json.loads(content)
    report = ParamValidator().validate(reply, shape)
    if report.has_errors():
        return [str(report.generate_report())]
    return [problem for problem in violations(reply, shape) if not any(each in problem for each in _MISTYPED)]


class Driver:
    """Drive one server through the recorder's clients, with one bucket."""

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
        """Create a resource with a new name, describe it until it has a final state, list it."""
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


def client_method(client: object, operation: str) -> str:
    """Return the name of the client's method for an operation."""
    methods: dict[str, str] = client.meta.method_to_api_mapping  # type: ignore[attr-defined]  # boto3 has no types
    return next(method for method, name in methods.items() if name == operation)
