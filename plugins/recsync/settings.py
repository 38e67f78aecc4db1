"""What a deployment sets once for all programs, in Airflow's own configuration (section ``[recsync]``).

``AIRFLOW__RECSYNC__BUCKET``, ``AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN``, ``AIRFLOW__RECSYNC__INCLUDE_FOLDER``,
``AIRFLOW__RECSYNC__DATASET_GROUPS_QUOTA``.
"""

from __future__ import annotations

from pathlib import Path

from airflow.configuration import conf

from recsync.errors import FatalError
from recsync.program import DatasetType, Program
from recsync.program.avro import AvroSchema
from recsync.program.files import SUFFIX, read_program
from recsync.program.text_files import read_text_file

SECTION = "recsync"


def include_folder() -> Path:
    """Find ``include/``: the setting ``include_folder``, else beside ``plugins/``."""
    configured = conf.get(SECTION, "include_folder", fallback="")
    return Path(configured) if configured else Path(__file__).resolve().parents[2] / "include"


def program(name: str) -> Program:
    """Read one program by name.

    :raises ProgramError: with everything that is wrong with its file.
    """
    include = include_folder()
    return read_program(include / "programs" / f"{name}{SUFFIX}", include)


def schema(program: Program, dataset_type: DatasetType) -> AvroSchema:
    """Read the Avro schema of one dataset of a program."""
    name = f"schemas/{program.schema_file(dataset_type)}"
    return AvroSchema.parse(read_text_file(include_folder() / name, f"include/{name}"), dataset_type)


def bucket_of(program: Program) -> str:
    """Give the program's S3 bucket."""
    return program.bucket or _required("bucket", "the S3 bucket of this deployment", program)


def role_arn_of(program: Program) -> str:
    """Give the role that Amazon Personalize assumes."""
    return program.role_arn or _required(
        "personalize_role_arn", "the role Amazon Personalize assumes", program
    )


def dataset_groups_quota() -> int:
    """Return how many dataset groups the account may have in its region: AWS allows 5, and more on request.

    https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    """
    return int(conf.getint(SECTION, "dataset_groups_quota", fallback=5))


def _required(key: str, meaning: str, program: Program) -> str:
    value: str = conf.get(SECTION, key, fallback="")
    if not value:
        raise FatalError(
            f"Program {program.name} does not say {meaning}: set it in the program file or as Airflow's "
            f"[{SECTION}] {key} (AIRFLOW__{SECTION.upper()}__{key.upper()})."
        )
    return value
