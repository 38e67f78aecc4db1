"""Watch boto3's clients: which operations they called, and whether each raw reply is what the model says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.model import OperationModel
from botocore.validate import ParamValidator

from personalize_local.validation import violations

SERVICES = ("personalize", "personalize-runtime", "personalize-events")
# Where the model's patterns are not those of the real service: it gives some roles the pattern of Personalize's own
# ARNs, and a version without a name of its own is called SOLUTION/<8 hex digits>.
_MISTYPED = (".roleArn'", "'solutionVersion.name'")


@dataclass
class Seen:
    """Hold what the calls of one operation showed: how many succeeded, and what was wrong."""

    succeeded: int = 0
    problems: list[str] = field(default_factory=list)


class Recorder:
    """Make clients that call one server without repeats, and note each reply by service and operation."""

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
        """Return what was seen of an operation."""
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
    """Name all that is not as the operation's output shape says: members, types, bounds, enums and patterns."""
    shape = operation.output_shape
    if shape is None:
        return [f"an unexpected body: {content[:100]!r}"] if content else []
    reply = json.loads(content)
    report = ParamValidator().validate(reply, shape)
    if report.has_errors():
        return [str(report.generate_report())]
    return [problem for problem in violations(reply, shape) if not any(each in problem for each in _MISTYPED)]
