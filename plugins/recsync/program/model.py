"""The program file: one e-mail programme in one YAML file, checked by one model.

The same model runs in CI (``make check``), when Airflow parses the DAGs and in the UI.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import PrivateAttr, model_validator

from recsync.program.attribution import Attribution
from recsync.program.braze import Braze
from recsync.program.data import (
    Audience,
    Checks,
    Datasets,
    DatasetSource,
    DatasetType,
    Events,
    ExportSettings,
    InputFiles,
)
from recsync.program.email import Email
from recsync.program.experiment import Experiment
from recsync.program.filters import Filters
from recsync.program.operations import (
    Alert,
    Budget,
    DeadlineHours,
    ErasurePolicy,
    Gate,
    Retention,
    Schedules,
    Tables,
    TaskTimeoutHours,
    TrainFull,
    TrainUpdate,
)
from recsync.program.personalize import Personalize
from recsync.program.problems import Field
from recsync.program.recipes import InputType
from recsync.program.recommendations import Recommendations
from recsync.program.section import Strict, matching, with_underscores
from recsync.stages import STAGES

# Amazon Personalize names: 1-63 of these, and recsync appends up to 30 characters to a program's name.
# https://docs.aws.amazon.com/personalize/latest/dg/API_CreateSolution.html
NAME_PATTERN = r"^[a-z0-9][a-z0-9\-_]{0,31}$"


class Program(Strict):
    """One e-mail programme.

    :param name: the file's stem; prefix of every DAG, resource, job and key.
    :param warehouse: Airflow connection of the warehouse.
    :param aws: Airflow connection used for S3 and Amazon Personalize.
    :param bucket: S3 bucket; None takes Airflow's setting ``[recsync] bucket``.
    :param role_arn: the role that Amazon Personalize assumes to read and write the bucket; None takes
        ``[recsync] personalize_role_arn``.
    :param data: the program that owns its datasets; None when it is the program itself. The owner's file has the
        settings of the data: :func:`recsync.program.parse.parse_program`.
    """

    name: Annotated[
        str,
        matching(
            NAME_PATTERN,
            "be at most 32 lower-case letters, digits, - and _, beginning with a letter or digit: rename the file",
            suggest=lambda text: with_underscores(text.lower())[:32],
        ),
    ]
    description: str = ""
    warehouse: str = "warehouse"
    aws: str = "aws_default"
    bucket: (
        Annotated[
            str,
            matching(
                r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$",
                "be the name of an S3 bucket alone: 3 to 63 lower-case letters, digits, . and -",
                suggest=lambda text: text.removeprefix("s3://").strip("/"),
            ),
        ]
        | None
    ) = None
    role_arn: (
        Annotated[
            str,
            matching(
                r"^arn:([a-z\d-]+):iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$",
                "be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/personalize",
            ),
        ]
        | None
    ) = None
    data: str | None = None
    datasets: Datasets = Datasets()
    events: Events = Events()
    exports: ExportSettings = ExportSettings()
    checks: Checks = Checks()
    personalize: Personalize = Personalize()
    gate: Gate = Gate()
    train_full: TrainFull = TrainFull()
    train_update: TrainUpdate = TrainUpdate()
    audience: Audience = Audience()
    inputs: InputFiles = InputFiles()
    filters: Filters = Filters()
    recommendations: Recommendations = Recommendations()
    braze: Braze
    email: Email = Email()
    experiment: Experiment | None = None
    schedules: Schedules = Schedules()
    erasure: ErasurePolicy = ErasurePolicy()
    retention: Retention = Retention()
    tables: Tables | None = None
    budget: Budget = Budget()
    alerts: tuple[Alert, ...] = ()
    deadline_hours: DeadlineHours = DeadlineHours()
    task_timeout_hours: TaskTimeoutHours = TaskTimeoutHours()
    _data_owner: Program | None = PrivateAttr(None)
    _model_owner: Program | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _schedules_have_minutes(self) -> Self:
        # The model is frozen; a validator may still complete it.
        object.__setattr__(self, "schedules", self.schedules.resolve(self.name))
        return self

    @property
    def data_owner(self) -> Program:
        """Return the program that exports and imports the data: itself, or the one that ``data`` names."""
        return self._data_owner or self

    @property
    def model_owner(self) -> Program:
        """Return the program with the champion that it uses: itself, or ``personalize.model``."""
        return self._model_owner or self

    @property
    def needs_scores(self) -> bool:
        """Return whether a rule or an attribute needs the scores of items."""
        return self.recommendations.rules.needs_scores or any(
            attribute.source == "scores" for attribute in self.braze.attributes
        )

    @property
    def attribution(self) -> Attribution:
        """Return ``personalize.attribution``, which the owner of the data decides."""
        return self.data_owner.personalize.attribution

    @property
    def streams(self) -> bool:
        """Return whether new rows are streamed instead of imported, which the owner of the data decides."""
        return self.data_owner.personalize.update_by == "events"

    def sharing(self, data_owner: Program, model_owner: Program | None, **update: object) -> Program:
        """Return the program over the data, and with the model, of others."""
        shared = self.model_copy(update=update)
        shared._data_owner, shared._model_owner = data_owner, model_owner
        return shared

    def has_stage(self, name: str) -> bool:
        """Return whether this program has a stage: a program that shares data or a model lacks some.

        Every program has the stages that only a team's own DAG files know.
        """
        missing = {"data": self.data, "model": self.personalize.model}
        needs = {stage.name: stage.needs for stage in STAGES}.get(name)
        return needs is None or missing[needs] is None

    @property
    def dataset_types(self) -> tuple[DatasetType, ...]:
        """Return the datasets of the program, interactions first."""
        return tuple(t for t in DatasetType if getattr(self.datasets, t.folder) is not None)

    @property
    def gate_metric(self) -> str | None:
        """Return the gate's metric of ``GetSolutionMetrics``; None when the recipe's metrics are not documented."""
        return self.gate.metric or self.personalize.recipe_spec.default_metric

    @property
    def input_queries(self) -> tuple[str, ...]:
        """Return the queries of a job's input beside the audience: ``candidates``, ``seeds`` or ``segments``."""
        segments = self.personalize.recipe_spec.input_type in {
            InputType.SEGMENT_ITEM,
            InputType.SEGMENT_ATTRIBUTES,
        }
        return tuple(
            name
            for name in ("candidates", "seeds", "segments")
            if getattr(self.inputs, name) or (segments and name == "segments")
        )

    def sql_file(self, query: str) -> str:
        """Path below ``include/sql`` of a dataset's query, ``audience``, ``catalogue``, ``outcomes`` or an input."""
        source: DatasetSource | None = getattr(self.datasets, query, None)
        if source:
            return source.sql or f"{self.data_owner.name}/{query}.sql"
        return getattr(self.inputs, query, None) or f"{self.name}/{query}.sql"

    def schema_file(self, dataset_type: DatasetType) -> str:
        """Path below ``include/schemas`` of the dataset's Avro schema."""
        source: DatasetSource = getattr(self.datasets, dataset_type.folder)
        return source.avro_schema or f"{self.data_owner.name}/{dataset_type.folder}.json"

    def files(self) -> tuple[str, ...]:
        """Return every file below ``include/`` that the program needs."""
        return tuple(self.named_files())

    def named_files(self) -> dict[str, Field]:
        """Return every file below ``include/`` that the program needs, with the field that names it."""
        kinds = self.dataset_types
        sql: dict[str, Field] = {
            **{self.sql_file(kind.folder): ("datasets", kind.folder, "sql") for kind in kinds},
            **{
                self.sql_file(query): ("inputs", query)
                for query in ("audience", "catalogue", *self.input_queries)
            },
        }
        if self.audience.segment and self.audience.segment.sql:
            sql[self.audience.segment.sql] = ("audience", "segment", "sql")
        if self.events.exclude_users:
            sql[self.events.exclude_users] = ("events", "exclude_users")
        if self.experiment:
            sql[self.sql_file("outcomes")] = ("experiment",)
        for rule, file in self.recommendations.rules.queries.items():
            sql[file] = ("recommendations", "rules", rule, "sql")
        schemas: dict[str, Field] = {
            self.schema_file(kind): ("datasets", kind.folder, "schema") for kind in kinds
        }
        return {f"sql/{name}": field for name, field in sql.items()} | {
            f"schemas/{name}": field for name, field in schemas.items()
        }
