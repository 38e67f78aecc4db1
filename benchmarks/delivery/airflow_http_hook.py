"""Airflow's HttpHook in a loop: what a DAG without a Braze client of its own does.

https://airflow.apache.org/docs/apache-airflow-providers-http/stable/operators.html
``run`` opens a new session, and so a new connection, for each call, and raises for any answer that is not 2xx or 3xx.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import urlsplit

import tenacity

from benchmarks.job import DeliveryJob


def deliver(job: DeliveryJob) -> None:
    """Call ``run`` per 75 users; a caller that catches the error goes on with the next 75."""
    hook = _hook(job)
    _loop(job, lambda batch: hook.run("/users/track", json={"attributes": batch}, headers=_headers()))


def deliver_with_retries(job: DeliveryJob) -> None:
    """Call ``run_with_advanced_retry`` with the arguments of its docstring, but five tries."""
    hook = _hook(job)
    retry: dict[Any, Any] = {
        "wait": tenacity.wait_exponential(max=5),
        "stop": tenacity.stop_after_attempt(5),
        "retry": tenacity.retry_if_exception_type(Exception),
    }

    def post(batch: list[dict[str, Any]]) -> Any:
        return hook.run_with_advanced_retry(
            retry, endpoint="/users/track", json={"attributes": batch}, headers=_headers()
        )

    _loop(job, post)


def _headers() -> dict[str, str]:
    return {"Authorization": "Bearer benchmark"}


def _hook(job: DeliveryJob) -> Any:
    address = urlsplit(job.url)
    extra = {"verify": job.certificate} if job.certificate else {}
    os.environ["AIRFLOW_CONN_BRAZE"] = json.dumps(
        {
            "conn_type": "http",
            "schema": address.scheme,
            "host": address.hostname,
            "port": address.port,
            "extra": extra,
        }
    )
    from airflow.providers.http.hooks.http import HttpHook

    return HttpHook(method="POST", http_conn_id="braze")


def _loop(job: DeliveryJob, post: Any) -> None:
    batches = job.batches()
    with job.clock():
        for _, batch in job.work(batches):
            try:
                post(batch)
            except Exception as error:  # ruff: ignore[blind-except]  # whatever the peer raises counts as reported
                job.fail(error)
            else:
                job.claim(batch)
