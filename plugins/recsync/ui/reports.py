"""Read export reports for the pages."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from botocore.exceptions import BotoCoreError
from fastapi import HTTPException

from recsync import settings
from recsync.context import StageContext
from recsync.errors import RecsyncError
from recsync.export.report_store import Reports
from recsync.program.files import program_files

# A broken program file, a connection that is not there, a bucket that refuses: each says so in its message.
NOT_READ = (RecsyncError, AirflowException, BotoCoreError)
_THREADS = 8


@dataclass(frozen=True)
class Latest:
    """The newest reports of a program with their S3 keys, newest first.

    :param problem: why they could not be read; None when they were.
    """

    program: str
    reports: Sequence[tuple[str, dict[str, Any]]] = ()
    problem: str | None = None


def programs() -> list[str]:
    """Name all programs, also those whose file is broken."""
    return [path.stem for path in program_files(settings.include_folder())]


def latest(program: str, limit: int) -> Latest:
    """Read a program's newest reports; a program that cannot be read does not hide the others."""
    try:
        store = StageContext.of(program).store(Reports)
        keys = store.newest(limit)
        # Read one by one a page of them would take seconds.
        with ThreadPoolExecutor(_THREADS) as threads:
            found = list(threads.map(store.get, keys))
    except NOT_READ as error:
        return Latest(program, problem=str(error))
    return Latest(program, [(key, report) for key, report in zip(keys, found, strict=True) if report])


def report(program: str, key: str) -> dict[str, Any] | None:
    """Read one report; None when it is not there.

    :raises HTTPException: 502 when it cannot be read.
    """
    try:
        return StageContext.of(program).store(Reports).get(key)
    except NOT_READ as error:
        raise HTTPException(HTTPStatus.BAD_GATEWAY, f"The report could not be read. {error}") from error
