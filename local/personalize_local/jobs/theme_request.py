"""Name what themes are made of, for a worker process to read."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from personalize_local.datasets.parquet import read_parts
from personalize_local.datasets.parts import DatasetParts

if TYPE_CHECKING:
    from personalize_local.jobs.themes import ThemeMaker


@dataclass(frozen=True)
class ThemeRequest:
    """Name the Items dataset and its column with the names of the items."""

    items: DatasetParts
    name_column: str

    def read(self) -> ThemeMaker:
        """Read the items; scikit-learn is loaded here, as it takes seconds and few jobs have themes."""
        themes = import_module("personalize_local.jobs.themes")
        maker: ThemeMaker = themes.ThemeMaker(read_parts(self.items.parts, "ITEMS"), self.name_column)
        return maker
