"""The program file: one e-mail programme in one YAML file, checked by one model.

The same model runs in CI (``make check``), when Airflow parses the DAGs and in the UI.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from croniter import croniter
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# Amazon Personalize names: 1-63 of these, and recsync appends up to 30 characters to a program's name.
# https://docs.aws.amazon.com/personalize/latest/dg/API_CreateSolution.html
NAME_PATTERN = r"^[a-z0-9][a-z0-9\-_]{0,31}$"
# Braze: attribute names may not start with "$"; spaces around them are stripped, so they are refused here.
ATTRIBUTE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_\-]{0,254}$"
# Braze catalogue and field names. https://www.braze.com/docs/api/endpoints/catalogs/
CATALOG_NAME_PATTERN = r"^[A-Za-z0-9_\-]{1,250}$"

CronExpression = Annotated[str, Field(min_length=9, max_length=100)]


class DatasetType(StrEnum):
    """The datasets a batch pipeline fills, as Amazon Personalize names them in ARNs."""

    INTERACTIONS = "INTERACTIONS"
    USERS = "USERS"
    ITEMS = "ITEMS"

    @property
    def folder(self) -> str:
        """The lower-case form used in file names, SQL files and S3 keys."""
        return self.value.lower()


class Strict(BaseModel):
    """A section of the program file: an unknown field is an error, not a silent typo."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetSource(Strict):
    """Where the rows of one dataset come from, relative to ``include/sql`` and ``include/schemas``.

    :param sql: SQL file; default ``<program>/<dataset>.sql``.
    :param avro_schema: Avro schema file (YAML key ``schema``); default ``<program>/<dataset>.json``.
    """

    sql: str = ""
    avro_schema: str = Field(default="", alias="schema")

    @field_validator("sql", "avro_schema")
    @classmethod
    def _inside_include(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("must be a path below include/, without '..'")
        return value


class Datasets(Strict):
    """The datasets of the dataset group; users and items are optional, as in the service."""

    interactions: DatasetSource = DatasetSource()
    users: DatasetSource | None = None
    items: DatasetSource | None = None


class Exploration(Strict):
    """``itemExplorationConfig`` of a batch inference job.

    :param weight: 0 explores nothing, 1 the most; the service's default is 0.3.
    :param item_age_cut_off_days: oldest item that may be explored; the service's default is 30 days.
    """

    weight: float = Field(default=0.3, ge=0, le=1)
    item_age_cut_off_days: float = Field(default=30.0, ge=1)


class Personalize(Strict):
    """The solution and how it is used.

    :param recipe: recipe name without its ARN prefix.
    :param baseline_recipe: a second solution trained by ``train_full`` on the same data, to compare with;
        None trains none. It is billed like any training.
    :param event_type: train on this event type only; None means all.
    :param hyperparameters: ``solutionConfig.algorithmHyperParameters``.
    :param num_results: items asked for per user; more than are mailed, so that post-rules may drop some.
    """

    recipe: Literal["aws-user-personalization", "aws-popularity-count"] = "aws-user-personalization"
    baseline_recipe: Literal["aws-popularity-count"] | None = None
    event_type: str | None = Field(default=None, max_length=256)
    hyperparameters: dict[str, str] = Field(default_factory=dict)
    num_results: int = Field(default=50, ge=1, le=500)
    exploration: Exploration = Exploration()

    @property
    def can_update(self) -> bool:
        """Whether the recipe allows ``trainingMode=UPDATE`` (only this one does)."""
        return self.recipe == "aws-user-personalization"


class Gate(Strict):
    """What a new FULL version must reach before it becomes champion.

    :param metric: a key of ``GetSolutionMetrics``.
    :param minimum: lowest value accepted; None accepts any.
    :param min_ratio_to_baseline: lowest ratio to the baseline's value; used when there is a baseline.
    """

    metric: str = "normalized_discounted_cumulative_gain_at_25"
    minimum: float | None = Field(default=None, ge=0)
    min_ratio_to_baseline: float = Field(default=1.0, ge=0)


class TrainUpdate(Strict):
    """When an hourly UPDATE is worth a billed run.

    :param min_new_interactions: fewer pending rows than this wait for the next hour. The quota page of
        Amazon Personalize names 1,000 records per import job; whether it refuses fewer is not documented.
    """

    min_new_interactions: int = Field(default=1, ge=1)


class Recommendations(Strict):
    """The list each person gets.

    :param length: items per person; exactly this many, or the person is suppressed.
    """

    length: int = Field(default=12, ge=1, le=100)


class Catalog(Strict):
    """The Braze catalogue that holds the items' fields in ``ids`` mode.

    :param name: catalogue name; it is created when missing.
    :param fields: Braze types of the columns of ``catalogue.sql`` that are sent, beside ``id``.
    """

    name: str = Field(pattern=CATALOG_NAME_PATTERN)
    fields: dict[str, Literal["string", "number", "boolean", "time"]] = Field(min_length=1)

    @field_validator("fields")
    @classmethod
    def _field_names(cls, value: dict[str, str]) -> dict[str, str]:
        bad = [name for name in value if not re.match(CATALOG_NAME_PATTERN, name) or name == "id"]
        if bad:
            raise ValueError(f"field names {bad} must match {CATALOG_NAME_PATTERN} and not be 'id'")
        return value


class Braze(Strict):
    """What arrives in Braze.

    :param connection: Airflow connection of type ``braze``.
    :param attribute: custom attribute that holds the list.
    :param payload: ``ids``: an array of item ids, one data point per changed user; ``objects``: an array of
        objects with ``item_fields``, one data point per field and item.
    :param catalog: with ``ids``: the catalogue kept in step; None sends ids only.
    :param item_fields: with ``objects``: columns of ``catalogue.sql`` sent beside ``id``.
    :param update_existing_only: never create a Braze user; somebody unknown to Braze counts as rejected.
    """

    connection: str = "braze_default"
    attribute: str = Field(pattern=ATTRIBUTE_PATTERN)
    payload: Literal["ids", "objects"] = "ids"
    catalog: Catalog | None = None
    item_fields: tuple[str, ...] = ()
    update_existing_only: bool = False

    @model_validator(mode="after")
    def _mode_fits(self) -> Self:
        if self.payload == "ids" and self.item_fields:
            raise ValueError("item_fields belong to payload: objects; with ids use catalog.fields")
        if self.payload == "objects" and self.catalog is not None:
            raise ValueError("catalog belongs to payload: ids; with objects use item_fields")
        if self.payload == "objects" and not self.item_fields:
            raise ValueError("payload: objects needs item_fields, e.g. [name, price]")
        return self

    @property
    def sent_fields(self) -> tuple[str, ...]:
        """Columns of the catalogue query that reach Braze."""
        return tuple(self.catalog.fields) if self.catalog else self.item_fields


class Schedules(Strict):
    """Cron expressions in UTC; None leaves a stage to manual runs and asset events.

    :param export: also the length of one export interval.
    :param recommend_after_update: recommend on every champion that an UPDATE made, not only on those of a FULL
        training; a batch inference job for the whole audience each time.
    """

    export: CronExpression | None = "0 * * * *"
    train_full: CronExpression | None = "0 3 * * 0"
    recommend: CronExpression | None = "30 5 * * *"
    recommend_after_update: bool = True

    @field_validator("export", "train_full", "recommend")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is not None and not croniter.is_valid(value):
            raise ValueError("must be a cron expression of five fields, e.g. '0 * * * *'")
        return value


class Program(Strict):
    """One e-mail programme.

    :param name: the file's stem; prefix of every DAG, resource, job and key.
    :param warehouse: Airflow connection of the warehouse.
    :param aws: Airflow connection used for S3 and Amazon Personalize.
    :param bucket: S3 bucket; None takes Airflow's setting ``[recsync] bucket``.
    :param role_arn: the role that Amazon Personalize assumes to read and write the bucket; None takes
        ``[recsync] personalize_role_arn``.
    """

    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    warehouse: str = "warehouse"
    aws: str = "aws_default"
    bucket: str | None = Field(default=None, min_length=3, max_length=63)
    role_arn: str | None = Field(
        default=None, pattern=r"^arn:([a-z\d-]+):iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$"
    )
    datasets: Datasets = Datasets()
    personalize: Personalize = Personalize()
    gate: Gate = Gate()
    train_update: TrainUpdate = TrainUpdate()
    recommendations: Recommendations = Recommendations()
    braze: Braze
    schedules: Schedules = Schedules()

    @model_validator(mode="after")
    def _enough_results(self) -> Self:
        if self.personalize.num_results < self.recommendations.length:
            raise ValueError(
                f"personalize.num_results ({self.personalize.num_results}) must be at least "
                f"recommendations.length ({self.recommendations.length})"
            )
        return self

    @property
    def dataset_types(self) -> tuple[DatasetType, ...]:
        """The datasets this program fills, interactions first."""
        return tuple(t for t in DatasetType if getattr(self.datasets, t.folder) is not None)

    def sql_file(self, query: str) -> str:
        """Path below ``include/sql`` of ``interactions``, ``users``, ``items``, ``audience`` or ``catalogue``."""
        source: DatasetSource | None = getattr(self.datasets, query, None)
        return (source.sql if source else "") or f"{self.name}/{query}.sql"

    def schema_file(self, dataset_type: DatasetType) -> str:
        """Path below ``include/schemas`` of the dataset's Avro schema."""
        source: DatasetSource = getattr(self.datasets, dataset_type.folder)
        return source.avro_schema or f"{self.name}/{dataset_type.folder}.json"

    def files(self) -> tuple[str, ...]:
        """Every file below ``include/`` that the program needs."""
        queries = [t.folder for t in self.dataset_types] + ["audience", "catalogue"]
        return tuple(f"sql/{self.sql_file(query)}" for query in queries) + tuple(
            f"schemas/{self.schema_file(t)}" for t in self.dataset_types
        )


def parse_program(name: str, document: Any) -> Program:
    """Check a program file's content (already read from YAML).

    :raises pydantic.ValidationError: with every problem at once.
    """
    content = {"name": name, **document} if isinstance(document, dict) else document
    return Program.model_validate(content)
