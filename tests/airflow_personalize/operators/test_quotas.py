"""Many programs in one account that may have five imports under way: all of them end, none gives up."""

from __future__ import annotations

import asyncio
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from operator_runs import PushedNowhere, first_event, rebuilt, run

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.operators import (
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateSchemaOperator,
)
from personalize_local.quotas import Quotas

LONG = pytest.mark.skipif(not os.environ.get("RECSYNC_LONG_TESTS"), reason="takes half a minute of CPU")
PROGRAMS = (3, 20)
# Imports take about half a second. Dataset groups beyond 5 are what such an account has asked AWS for; the quota of
# imports is not adjustable.
PERSONALIZE = {"time_scale": 0.25, "quotas": Quotas({"dataset-groups": sum(PROGRAMS)})}
ROLE = "arn:aws:iam::123456789012:role/personalize"
FIELDS = {
    "interactions": ["USER_ID", "ITEM_ID", "TIMESTAMP"],
    "items": ["ITEM_ID", "COLOUR"],
    "users": ["USER_ID", "TIER"],
}
ROWS = {
    "interactions": "".join(f"u{n % 50},i{n % 40},{1_700_000_000 + n}\n" for n in range(1000)),
    "items": "".join(f"i{n},c{n % 3}\n" for n in range(40)),
    "users": "".join(f"u{n},t{n % 3}\n" for n in range(50)),
}


def schema(kind: str) -> dict[str, Any]:
    fields: list[dict[str, Any]] = [
        {"name": name, "type": "long" if name == "TIMESTAMP" else "string"} for name in FIELDS[kind]
    ]
    if kind != "interactions":
        fields[-1]["categorical"] = True
    return {
        "type": "record",
        "name": kind.title(),
        "namespace": "com.amazonaws.personalize.schema",
        "version": "1.0",
        "fields": fields,
    }


def import_legs(**parameters: Any) -> list[str]:
    """Run an import as worker and triggerer do; return the methods that the worker ran."""
    leg, event, legs = "execute", {}, []
    while True:
        legs.append(leg)
        operator = PersonalizeCreateDatasetImportJobOperator(task_id="import", waiter_delay=0.1, **parameters)
        try:
            getattr(operator, leg)({"ti": PushedNowhere()}, **event)
            return legs
        except TaskDeferred as deferred:
            event = {"event": asyncio.run(first_event(rebuilt(deferred.trigger)))}
            leg = deferred.method_name


@pytest.mark.parametrize("programs", [PROGRAMS[0], pytest.param(PROGRAMS[1], marks=LONG)])
def test_every_import_of_programs_that_start_together_ends(account: Any, programs: int) -> None:
    schemas = {
        kind: run(PersonalizeCreateSchemaOperator, schema_name=kind, schema=schema(kind)) for kind in FIELDS
    }
    places = {
        kind: account.put(f"in/{kind}.csv", ",".join(FIELDS[kind]) + "\n" + ROWS[kind]) for kind in FIELDS
    }

    def setup(program: int) -> dict[str, str]:
        group = run(PersonalizeCreateDatasetGroupOperator, dataset_group_name=f"{programs}-{program}")
        return {
            kind: run(
                PersonalizeCreateDatasetOperator,
                dataset_name=f"{programs}-{program}-{kind}",
                dataset_type=kind.title(),
                schema_arn=schemas[kind],
                dataset_group_arn=group,
            )
            for kind in FIELDS
        }

    def import_one(wanted: tuple[int, str]) -> list[str]:
        program, kind = wanted
        return import_legs(
            job_name=f"{programs}-{program}-{kind}",
            dataset_arn=datasets[program][kind],
            data_location=places[kind],
            role_arn=ROLE,
        )

    wanted = list(itertools.product(range(programs), FIELDS))
    with ThreadPoolExecutor(len(wanted)) as pool:
        datasets = list(pool.map(setup, range(programs)))
        legs = list(pool.map(import_one, wanted))
    assert {each[-1] for each in legs} == {"execute_complete"}
    jobs = PersonalizeHook().conn.list_dataset_import_jobs()["datasetImportJobs"]
    ours = [job for job in jobs if job["jobName"].startswith(f"{programs}-")]
    assert sorted((job["jobName"], job["status"]) for job in ours) == sorted(
        (f"{programs}-{program}-{kind}", "ACTIVE") for program, kind in wanted
    )
    assert any("execute_again" in each for each in legs), "nobody met a full quota"
