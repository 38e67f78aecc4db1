"""What every section of the program file is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A section of the program file: an unknown field is an error, not a silent typo."""

    model_config = ConfigDict(extra="forbid", frozen=True)
