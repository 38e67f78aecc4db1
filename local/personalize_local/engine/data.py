"""Take the training tables in and check that they can be trained on."""

from dataclasses import dataclass

import pyarrow as pa

from personalize_local.engine.errors import TrainingDataError

REQUIRED_COLUMNS = ("USER_ID", "ITEM_ID", "TIMESTAMP")


@dataclass(frozen=True)
class Objective:
    """Hold `optimizationObjective`: what to bring forward besides relevance.

    :param item_attribute: a numeric column of Items without nulls.
    :param sensitivity: `OFF`, `LOW`, `MEDIUM` or `HIGH`.
    """

    item_attribute: str
    sensitivity: str = "OFF"


@dataclass(frozen=True)
class ItemText:
    """Name the columns of Items that are text: the name, and what the schema calls textual."""

    name: str | None = None
    textual: str | None = None


@dataclass(frozen=True)
class TrainingData:
    """Hold the tables of one dataset group, as they are at the moment of training.

    :param interactions: USER_ID and ITEM_ID (string), TIMESTAMP (int64, epoch seconds), no nulls in these
        three; optional EVENT_TYPE (string) and EVENT_VALUE (float). One row per interaction, any order;
        rows equal in user, item, time and event type count once.
    :param items: ITEM_ID (string), optional CREATION_TIMESTAMP (int64, epoch seconds, nullable) and metadata
        columns, which are not trained on. None when the dataset group has no Items dataset.
    :param users: USER_ID and metadata, not trained on. None when there is no Users dataset.
    :param actions: ACTION_ID, optional CREATION_TIMESTAMP, VALUE, ACTION_EXPIRATION_TIMESTAMP or
        EXPIRATION_TIMESTAMP, REPEAT_FREQUENCY (int64, nullable) and metadata; for aws-next-best-action.
    :param action_interactions: USER_ID, ACTION_ID, EVENT_TYPE (`Taken`, `Not Taken`, `Viewed`), TIMESTAMP.
    """

    interactions: pa.Table
    items: pa.Table | None = None
    users: pa.Table | None = None
    actions: pa.Table | None = None
    action_interactions: pa.Table | None = None
    item_text: ItemText = ItemText()
    objective: Objective | None = None

    def check(self) -> None:
        """Raise :class:`TrainingDataError` for tables that cannot be trained on."""
        for name in REQUIRED_COLUMNS:
            require_column(self.interactions, "Interactions", name)
        if self.interactions.num_rows == 0:
            raise TrainingDataError("The Interactions dataset has no rows.")
        if self.items is not None:
            require_column(self.items, "Items", "ITEM_ID")

    def described_items(self, recipe: str) -> pa.Table:
        """Return the Items; raise :class:`TrainingDataError` when the recipe finds none to work on."""
        if self.items is None or self.items.num_rows == 0:
            raise TrainingDataError(f"Recipe {recipe} needs an Items dataset with rows.")
        require_column(self.items, "Items", "ITEM_ID")
        return self.items


def require_column(table: pa.Table, dataset: str, column: str) -> None:
    """Raise :class:`TrainingDataError` unless the table has the column, once and without nulls."""
    found = table.column_names.count(column)
    if found != 1:
        raise TrainingDataError(f"The {dataset} dataset has {found} columns {column}, expected one.")
    nulls = table.column(column).null_count
    if nulls:
        raise TrainingDataError(f"The {dataset} dataset has {nulls} nulls in column {column}.")
