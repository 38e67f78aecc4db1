"""The program file: datasets."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from recsync.program.section import IncludePath, Strict


class DatasetType(StrEnum):
    """The datasets a batch pipeline fills, as Amazon Personalize names them in ARNs."""

    INTERACTIONS = "INTERACTIONS"
    USERS = "USERS"
    ITEMS = "ITEMS"
    ACTIONS = "ACTIONS"
    ACTION_INTERACTIONS = "ACTION_INTERACTIONS"

    @property
    def folder(self) -> str:
        """The lower-case form used in file names, SQL files and S3 keys."""
        return self.value.lower()


class DatasetSource(Strict):
    """Where the rows of one dataset come from, relative to ``include/sql`` and ``include/schemas``.

    :param sql: SQL file; default ``<program>/<dataset>.sql``.
    :param avro_schema: Avro schema file (YAML key ``schema``); default ``<program>/<dataset>.json``.
    """

    sql: IncludePath = ""
    avro_schema: IncludePath = Field(default="", alias="schema")


class Datasets(Strict):
    """The datasets of the dataset group; all but interactions are optional, as in the service.

    :param actions: what ``aws-next-best-action`` recommends; no other recipe uses it.
    :param action_interactions: who took an action, did not take it, or saw it.
    """

    interactions: DatasetSource = DatasetSource()
    users: DatasetSource | None = None
    items: DatasetSource | None = None
    actions: DatasetSource | None = None
    action_interactions: DatasetSource | None = None
