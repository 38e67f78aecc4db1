"""Carry what an operation may use: who asks, the state, and the jobs it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.model import OperationModel

from personalize_local.arns import make_arn
from personalize_local.quotas import Quotas
from personalize_local.resources import Kind, Resource
from personalize_local.store import Store


@dataclass
class Context:
    """Serve one request, inside one transaction of the store."""

    region: str
    account: str
    store: Store
    operation: OperationModel
    quotas: Quotas = field(default_factory=Quotas)
    refuse_unchanged_updates: bool = False
    # Jobs begin and stop only after the transaction that asked for it is committed.
    to_submit: list[str] = field(default_factory=list)
    to_cancel: list[str] = field(default_factory=list)

    def arn(self, tail: str) -> str:
        """Return the ARN of something that the caller owns in this region."""
        return make_arn(self.region, self.account, tail)

    def submit(self, resource: Resource) -> None:
        """Let a job move this resource on once the request is committed."""
        self.to_submit.append(resource.arn)

    def check_quota(self, kind: Kind, parent: Resource | None = None) -> None:
        """Raise LimitExceededException when there is no room for one more of this kind (in this parent)."""
        self.quotas.check(self.store, kind, self.region, parent.arn if parent else None)

    def declares(self, code: str) -> bool:
        """Tell whether the service's model lists this error for the operation."""
        return any(shape.name == code for shape in self.operation.error_shapes)


Params = dict[str, Any]
Operation = Callable[[Context, Params], dict[str, Any]]
