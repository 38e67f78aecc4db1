"""Define the settings of the command line and the changes that a running server accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from braze_local.limits import DEFAULT_WINDOWS, Dialect, Window, WindowKind

ObjectLimit = Literal["combined", "per-array"]
Bulk = Literal["open", "403", "404"]
TypeLocking = Literal["off", "on", "strict"]
# How an unknown user is met whom Braze would not create: with an error entry, with silence, or as one who was
# imported before.
MissingUsers = Literal["report", "ignore", "adopt"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Configure one server; defaults are those of a new Braze contract with data points.

    `keys` have the form ``KEY`` or ``KEY:permission,permission``. `missing_users` is the response of
    /users/track to ``_update_existing_only`` with an unknown external_id: an error entry (older docs) or
    nothing. `bulk` opens /users/track/bulk, a closed beta, or is the status that refuses it. `type_locks` fix an
    attribute's type by its first value; only ``strict`` distinguishes arrays from arrays of objects.
    `catalog_delay_seconds` None means `apply_delay_seconds`. With `reorder_probability` a request is applied up
    to `reorder_seconds` late, so that later requests for the same users overtake it. `open_to_all` opens the
    pages and the control API, otherwise for loopback only, to other machines. `emails` has the e-mails that the
    page of a profile shows.
    """

    data: Path
    keys: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 0
    apply_delay_seconds: float = 1.0
    catalog_delay_seconds: float | None = None
    latency_ms: float = 0.0
    object_limit: ObjectLimit = "combined"
    # Braze: 75 objects per request, in all or (older contracts) per array.
    objects_per_request: int = 75
    bulk: Bulk = "404"
    # Braze: up to 1,000 objects in all, by account policy.
    bulk_objects_per_request: int = 1_000
    dialect: Dialect = "classic"
    windows: Mapping[str, Window] = field(default_factory=lambda: DEFAULT_WINDOWS)
    window_kind: WindowKind = "fixed"
    type_locks: TypeLocking = "on"
    blocklist: tuple[str, ...] = ()
    catalog_storage_bytes: int | None = None
    reorder_probability: float = 0.0
    reorder_seconds: float = 3.0
    reorder_seed: int | None = None
    count_writes: bool = True
    echo_invalid_key: bool = False
    require_fields_to_export: bool = True
    missing_users: MissingUsers = "report"
    open_to_all: bool = False
    emails: Path | None = None


_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Amount = Annotated[float, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Adjustments(msgspec.Struct, forbid_unknown_fields=True):
    """Hold the changes of PATCH /_local/settings.

    The fields are those of `Settings`; missing ones do not change. `limits` maps families to
    ``REQUESTS/SECONDS``; other families keep their limits.
    """

    apply_delay_seconds: _Amount | UnsetType = UNSET
    catalog_delay_seconds: _Amount | UnsetType | None = UNSET
    latency_ms: _Amount | UnsetType = UNSET
    object_limit: ObjectLimit | UnsetType = UNSET
    objects_per_request: _Natural | UnsetType = UNSET
    bulk: Bulk | UnsetType = UNSET
    bulk_objects_per_request: _Natural | UnsetType = UNSET
    dialect: Dialect | UnsetType = UNSET
    limits: dict[str, str] | UnsetType = UNSET
    window_kind: WindowKind | UnsetType = UNSET
    type_locks: TypeLocking | UnsetType = UNSET
    blocklist: tuple[str, ...] | UnsetType = UNSET
    catalog_storage_bytes: _Natural | UnsetType | None = UNSET
    reorder_probability: _Share | UnsetType = UNSET
    reorder_seconds: _Amount | UnsetType = UNSET
    count_writes: bool | UnsetType = UNSET
    missing_users: MissingUsers | UnsetType = UNSET

    def apply(self, settings: Settings) -> Settings:
        """Return the settings with these changes. Raises ValueError for an unknown limit."""
        given: dict[str, Any] = msgspec.structs.asdict(self)
        changes = {name: value for name, value in given.items() if value is not UNSET}
        limits = changes.pop("limits", None)
        if limits is not None:
            changes["windows"] = {**settings.windows, **{n: parse_limit(n, t) for n, t in limits.items()}}
        return replace(settings, **changes)


def parse_limit(family: str, text: str) -> Window:
    """Parse the limit of a family. Raises ValueError."""
    if family not in DEFAULT_WINDOWS:
        raise ValueError(f"no such family: {family}")
    return Window.parse(text)


def adjustable(settings: Settings) -> dict[str, Any]:
    """Return the settings that `Adjustments` can change."""
    names = [name for name in Adjustments.__struct_fields__ if name != "limits"]
    limits = {name: f"{window.requests}/{window.seconds}" for name, window in settings.windows.items()}
    return {name: getattr(settings, name) for name in names} | {"limits": limits}
