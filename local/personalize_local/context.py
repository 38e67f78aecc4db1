"""Context of one control-plane request: caller, state, and the jobs it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.model import OperationModel

from personalize_local.quotas import Quotas
from personalize_local.resources import Kind, Resource, make_arn
from personalize_local.store import Store

Params = dict[str, Any]


@dataclass
class Context:
    """Context of one request, within one transaction of the store."""

    region: str
    account: str
    store: Store
    operation: OperationModel
    quotas: Quotas = field(default_factory=Quotas)
    refuse_unchanged_updates: bool = False
    # Jobs start and stop only after the request's transaction is committed.
    to_submit: list[str] = field(default_factory=list)
    to_cancel: list[str] = field(default_factory=list)

    def arn(self, tail: str) -> str:
        """Return an ARN of the caller's account and region."""
        return make_arn(self.region, self.account, tail)

    def submit(self, resource: Resource) -> None:
        """Start the resource's job once the request is committed."""
        self.to_submit.append(resource.arn)

    def check_quota(self, kind: Kind, parent: Resource | None = None) -> None:
        """Raise LimitExceededException when the quota of this kind (in this parent) is used up."""
        self.quotas.check(self.store, kind, self.region, parent.arn if parent else None)

    def declares(self, code: str) -> bool:
        """Return whether the service's model declares this error for the operation."""
        return any(shape.name == code for shape in self.operation.error_shapes)


Operation = Callable[[Context, Params], dict[str, Any]]
