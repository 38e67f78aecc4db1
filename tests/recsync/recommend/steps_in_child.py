"""Run the steps that build lists, each in a process of its own that may be killed at any request to S3.

``steps_in_child.py PLAN``: PLAN is the JSON file of a recommend run's plan. Each line of standard input is
``STEP TASK REQUEST``: the process of the step kills itself with SIGKILL before that request; 0: it runs to its end.
The answer is a line: the number of requests, the negative signal, or 0 after an error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from botocore.client import BaseClient

import recsync.warehouse.hooks.duckdb  # ruff: ignore[unused-import] - as below
from recsync.context import StageContext
from recsync.recommend import list_tasks
from recsync.recommend.recommend import build_and_publish_lists

PLAN: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
STEPS = {
    "divide": lambda _: list_tasks.divide("shop", PLAN, 0, 2),
    "stage": lambda task: list_tasks.stage("shop", PLAN["run"], task),
    "build": lambda task: list_tasks.build("shop", PLAN, task),
    "publish": lambda _: build_and_publish_lists("shop", PLAN, [], is_built=True),
}
requests, limit = 0, 0


def count(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
    global requests
    requests += 1
    if requests == limit:
        os.kill(os.getpid(), signal.SIGKILL)
    return call(client, operation, arguments)


call, BaseClient._make_api_call = BaseClient._make_api_call, count  # type: ignore[attr-defined]


def run(step: str, task: int, answers: int) -> None:
    try:
        STEPS[step](task)
        os.write(answers, f"{requests}".encode())
        os._exit(0)
    finally:
        traceback.print_exc()
        os._exit(1)


# The modules and the clients are made before the forks, which all need them. No request is made, no thread started.
context = StageContext.of("shop")
context.warehouse()
assert context.bucket.client
for line in sys.stdin:
    step, task, at = line.split()
    read, write = os.pipe()
    limit = int(at)
    # Nothing has started a thread before, so that a fork is safe, and spares each process the imports.
    if child := os.fork():
        os.close(write)
        _, status = os.waitpid(child, 0)
        ended = os.waitstatus_to_exitcode(status)
        answer = os.read(read, 100).decode()
        os.close(read)
        print("ANSWER", min(ended, 0) if ended else answer, flush=True)
    else:
        run(step, int(task), write)
