"""Shape the errors of the catalog endpoints, which differ from those of /users/track. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


class CatalogError(Exception):
    """Refuse a catalog call: an error id of Braze's, a message, and the parameters it is about."""

    def __init__(
        self,
        error_id: str,
        message: str,
        *,
        parameters: Sequence[str] = (),
        values: Sequence[Any] = (),
        status: int = 400,
    ) -> None:
        super().__init__(message)
        self.error_id = error_id
        self.parameters = list(parameters)
        self.values = list(values)
        self.status = status

    def body(self) -> Json:
        """Return the body Braze answers with."""
        error = {
            "id": self.error_id,
            "message": str(self),
            "parameters": self.parameters,
            "parameter_values": self.values,
        }
        return {"errors": [error], "message": "Invalid Request"}


def catalog_not_found(name: str) -> CatalogError:
    """Return the error for a catalogue that does not exist."""
    return CatalogError(
        "catalog-not-found", "Could not find catalog", parameters=["catalog_name"], values=[name], status=404
    )
