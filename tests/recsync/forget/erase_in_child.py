"""Run the tasks of one run of ``forget`` in this process, as a worker would: what is done is not repeated.

``erase_in_child.py RUN STATE [REQUESTS]``: STATE is a JSON file of results by task; after so many requests to S3, the
process kills itself with SIGKILL.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.client import BaseClient

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import DATA_DELETION_JOB
from airflow_personalize.triggers.personalize import PersonalizeDataDeletionJobCompletedTrigger
from recsync.forget import tasks
from recsync.forget.batch import suppress_batch, take_open_requests
from recsync.forget.erase_objects import erase_objects, replace_exports

RUN, STATE, LIMIT = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0
requests: dict[str, int] = {}


def count(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
    requests[operation] = requests.get(operation, 0) + 1
    if sum(requests.values()) == LIMIT:
        os.kill(os.getpid(), signal.SIGKILL)
    return call(client, operation, arguments)


call, BaseClient._make_api_call = BaseClient._make_api_call, count  # type: ignore[attr-defined]


def delete(batch: str) -> str:
    job = tasks.deletion_job("shop", batch, RUN)
    assert job is not None
    hook = PersonalizeHook(aws_conn_id="aws_default")
    request = {
        "jobName": job["job"],
        "datasetGroupArn": job["dataset_group_arn"],
        "dataSource": {"dataLocation": job["location"]},
        "roleArn": job["role_arn"],
    }
    arn, _ = hook.create_or_adopt(DATA_DELETION_JOB, request)
    hook.wait_for(PersonalizeDataDeletionJobCompletedTrigger.wait, arn, delay=1, max_attempts=120)
    return arn


def main() -> None:
    done: dict[str, Any] = json.loads(STATE.read_text()) if STATE.exists() else {}

    def task(name: str, work: Callable[[], Any]) -> Any:
        if name not in done:
            before, since, began = dict(requests), usage(), time.monotonic()
            result = work()
            spent = {each: number - before.get(each, 0) for each, number in requests.items()}
            seconds = {"cpu": usage() - since, "wall": time.monotonic() - began}
            done[name] = {"result": result, "requests": spent, **seconds}
            STATE.write_text(json.dumps(done))
        return done[name]["result"]

    batch = task("suppress", lambda: suppress_batch("shop", take_open_requests("shop", RUN)).name)
    task("objects", lambda: erase_objects("shop", batch))
    task("exports", lambda: replace_exports("shop", batch))
    arn = task("delete", lambda: delete(batch))
    task("last_look", lambda: replace_exports("shop", batch, again=True))
    task("braze", lambda: tasks.forget_in_braze("shop", batch))
    task("certify", lambda: tasks.certify("shop", batch, arn))


def usage() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


main()
