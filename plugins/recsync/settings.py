"""Settings of the deployment from Airflow's ``[recsync]`` section, and connections.

``AIRFLOW__RECSYNC__BUCKET``, ``AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN``, ``AIRFLOW__RECSYNC__INCLUDE_FOLDER``,
``AIRFLOW__RECSYNC__DATASET_GROUPS_QUOTA``, ``AIRFLOW__RECSYNC__BATCH_JOBS_QUOTA``,
``AIRFLOW__RECSYNC__JOB_INPUT_BYTES``, ``AIRFLOW__RECSYNC__POOLS``, ``AIRFLOW__RECSYNC__HEAVY_POD_TEMPLATE``,
``AIRFLOW__RECSYNC__PACE_REDIS_URL``, ``AIRFLOW__RECSYNC__LIST_TASKS``, ``AIRFLOW__RECSYNC__PEOPLE_PER_FILE``.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow.configuration import conf
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from recsync.errors import FatalError, ProgramError
from recsync.formatting import did_you_mean
from recsync.program import DatasetType, Program
from recsync.program.avro import AvroSchema
from recsync.program.files import SUFFIX, read_program, read_schema, sharers

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)

SECTION = "recsync"


# Of the DAG file that this process runs, if there is one.
_beside_dags: dict[str, Path] = {}


def use_include_beside(dag_file: str) -> None:
    """Use the ``include/`` beside the folder of a DAG file, if there is one.

    A task runs its DAG file from the DAG bundle, in the version of its run, so it reads the program, SQL and schemas
    of that version.
    """
    folder = Path(dag_file).resolve().parents[1] / "include"
    if (folder / "programs").is_dir():
        _beside_dags["include"] = folder


def include_folder() -> Path:
    """Find ``include/``: the setting ``include_folder``, else beside the DAG files, else beside ``plugins/``."""
    configured = conf.get(SECTION, "include_folder", fallback="")
    if configured:
        return Path(configured)
    return _beside_dags.get("include") or Path(__file__).resolve().parents[2] / "include"


def program(name: str) -> Program:
    """Read one program by name.

    :raises ProgramError: with all problems of its file.
    """
    include = include_folder()
    return read_program(include / "programs" / f"{name}{SUFFIX}", include)


def names_over_data(program: Program) -> list[str]:
    """Name the programs that use the same data, its owner first, also broken ones."""
    owner = program.data_owner.name
    return [owner, *sharers(owner, include_folder())]


def programs_over_data(program: Program) -> list[Program]:
    """Read the programs that use the same data, its owner first.

    :raises FatalError: when one of them is broken, so that it is unknown what it uses and writes.
    """
    (_, *names), owner, found = names_over_data(program), program.data_owner, []
    for name in names:
        try:
            found.append(read_program(include_folder() / "programs" / f"{name}{SUFFIX}", include_folder()))
        except ProgramError:
            raise FatalError(
                f"The program file of {name}, which uses the data of {owner.name}, is broken, so what it uses and "
                "writes is not known. Correct it first (make programs); nothing was touched."
            ) from None
    return [owner, *found]


def schema(program: Program, dataset_type: DatasetType) -> AvroSchema:
    """Read the Avro schema of one dataset of a program."""
    return read_schema(program, dataset_type, include_folder())


def bucket_of(program: Program) -> str:
    """Return the program's S3 bucket."""
    return program.bucket or _required("bucket", "the S3 bucket of this deployment", program)


def deployment_bucket() -> str | None:
    """Return the S3 bucket of this deployment; None when none is set."""
    return conf.get(SECTION, "bucket", fallback="") or None


def role_arn_of(program: Program) -> str:
    """Return the role that Amazon Personalize assumes."""
    return program.role_arn or _required(
        "personalize_role_arn", "the role Amazon Personalize assumes", program
    )


def dataset_groups_quota() -> int:
    """Return the quota of dataset groups in the account's region: 5, or more on request.

    https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    """
    return int(conf.getint(SECTION, "dataset_groups_quota", fallback=5))


def batch_jobs_quota() -> int:
    """Return the quota of batch inference jobs under way in the account's region: 5, or more on request."""
    return int(conf.getint(SECTION, "batch_jobs_quota", fallback=5))


def job_input_bytes() -> int:
    """Return the size above which the input of a batch inference job is split into several jobs.

    Default: 1 GB, the most that one job takes. https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    """
    return int(conf.getint(SECTION, "job_input_bytes", fallback=1_000_000_000))


def list_tasks() -> int:
    """Return how many tasks build the lists of a run. Default: 1; its threads use all processors of the worker."""
    return int(conf.getint(SECTION, "list_tasks", fallback=1))


def people_per_file() -> int:
    """Return how many people one published file of lists holds; each task builds whole files. Default: 2 million."""
    return int(conf.getint(SECTION, "people_per_file", fallback=2_000_000))


def has_pools() -> bool:
    """Return whether this deployment has the pools of ``stages.POOLS``; ``deploy/create_pools.py`` creates them."""
    return bool(conf.getboolean(SECTION, "pools", fallback=False))


def heavy_pod_template() -> str:
    """Return the pod template of tasks in heavy pools, for the Kubernetes executor; empty: that of all tasks."""
    return str(conf.get(SECTION, "heavy_pod_template", fallback=""))


def pace_redis_url() -> str | None:
    """Return the URL of the Redis that shares the pace towards Braze between workers; None when there is none.

    The setting ``pace_redis_url`` is a URL, the id of a connection of type redis, or ``off``. Without it, the broker
    of the Celery executor is used if it is Redis.
    """
    setting: str = conf.get(SECTION, "pace_redis_url", fallback="").strip()
    if setting.lower() == "off":
        return None
    if not setting:
        return _broker_url() if "Celery" in conf.get("core", "executor", fallback="") else None
    if "://" in setting:
        return setting
    try:
        return _redis_url(connection(setting, field="pace_redis_url"))
    except FatalError:
        log.warning(
            "The pace towards Braze is not shared through Redis: the Airflow connection %s, which the setting "
            "[%s] pace_redis_url names, is missing or cannot be read. Each machine shares it through a file. Correct "
            "the connection or the setting.",
            setting,
            SECTION,
        )
        return None


def _broker_url() -> str | None:
    url: str = conf.get("celery", "broker_url", fallback="").split(";")[0]
    # Celery and redis-py call the kinds of a check of certificates by different names.
    url = re.sub(r"(?<=ssl_cert_reqs=)CERT_\w+", lambda kind: kind[0].removeprefix("CERT_").lower(), url)
    return url if url.startswith(("redis://", "rediss://")) else None


def _redis_url(connection: Connection) -> str:
    extra = connection.extra_dejson
    is_tls = str(extra.get("ssl", False)).lower() == "true"
    options = {name: extra[name] for name in extra if is_tls and name.startswith("ssl_")}
    login, password = (quote(text or "", safe="") for text in (connection.login, connection.password))
    who = f"{login}:{password}@" if password else ""
    place = f"{connection.host or 'localhost'}:{connection.port or 6379}/{extra.get('db', connection.schema or 0)}"
    return f"{'rediss' if is_tls else 'redis'}://{who}{place}{'?' if options else ''}{urlencode(options)}"


def _required(key: str, meaning: str, program: Program) -> str:
    value: str = conf.get(SECTION, key, fallback="")
    if not value:
        raise FatalError(
            f"Program {program.name} does not say {meaning}: set it in the program file or as Airflow's "
            f"[{SECTION}] {key} (AIRFLOW__{SECTION.upper()}__{key.upper()})."
        )
    return value


_PREFIX = "AIRFLOW_CONN_"


def connection(conn_id: str, *, field: str) -> Connection:
    """Return an Airflow connection.

    :param field: field of the program file that names the connection, for errors.
    :raises FatalError: it does not exist, or cannot be read.
    """
    variable = f"{_PREFIX}{conn_id.upper()}"
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        # Airflow goes on to its next source of connections when a variable cannot be read.
        if variable in os.environ:
            raise _unreadable(conn_id, variable) from None
        there = [name.removeprefix(_PREFIX).lower() for name in os.environ if name.startswith(_PREFIX)]
        hint = did_you_mean(conn_id, there) or "."
        raise FatalError(
            f"There is no Airflow connection {conn_id}, which the program file names as {field}{hint} Create it in "
            f"Airflow (Admin, Connections) or as {variable}, or correct {field}."
        ) from None
    except ValueError:
        # The text of the error may show the password.
        raise _unreadable(conn_id, variable) from None


def _unreadable(conn_id: str, variable: str) -> FatalError:
    return FatalError(
        f"The Airflow connection {conn_id} cannot be read: {variable} holds neither JSON nor a URI. In a URI, write "
        "special characters of user and password as %40 for @, %2F for / and so on."
    )
