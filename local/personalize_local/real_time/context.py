"""Carry what an operation of the real-time services may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from personalize_local.arns import region_of
from personalize_local.errors import invalid_input, not_found
from personalize_local.real_time.models import Models
from personalize_local.real_time.rows import Rows
from personalize_local.real_time.streams import Streams
from personalize_local.resources import ACTIVE, Kind, Resource
from personalize_local.store import Store


@dataclass(frozen=True)
class RealTime:
    """Serve one request. Unlike the control plane's operations these hold no transaction of the store.

    :param region: the caller's.
    :param streams: where accepted rows go.
    :param rows: reads datasets, streamed rows included.
    :param models: the models in memory.
    """

    region: str
    store: Store
    streams: Streams
    rows: Rows
    models: Models

    def find(self, kind: Kind, arn: str) -> Resource:
        """Return a resource of this kind in the caller's region; raise ResourceNotFoundException."""
        resource = self.store.get(arn)
        if resource is None or resource.kind != kind.noun or region_of(arn) != self.region:
            raise not_found(arn)
        return resource

    def find_active(self, kind: Kind, arn: str) -> Resource:
        """Return a resource in state ACTIVE; raise InvalidInputException for any other state."""
        resource = self.find(kind, arn)
        if resource.status != ACTIVE:
            raise invalid_input(f"{kind.noun} {arn} must be ACTIVE. Its status is {resource.status}.")
        return resource


Params = dict[str, Any]
Operation = Callable[[RealTime, Params], dict[str, Any]]
