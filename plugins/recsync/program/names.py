"""Names of Amazon Personalize resources and jobs, derived so that a retry finds the job of the first try.

A job name can never be used again, so it holds the program, the stage and a hash of the run id.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from recsync.program import DatasetType, Program
from recsync.program.recipes import RECIPES

# https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDatasetImportJob.html#personalize-CreateDatasetImportJob-request-jobName
MAX_LENGTH = 63
_SETTINGS_BYTES = 3
_SOLUTION = re.compile(r":solution/([^/]+)")
_DIGEST = re.compile(rf"-[0-9a-f]{{{2 * _SETTINGS_BYTES}}}$")
_OWN_JOBS = "recommend|again|segment|tune"
SEGMENT_RECIPE = "aws-item-affinity"
"""The recipe that finds the users for a promotion."""


def job_name(program: str, stage: str, run_id: str) -> str:
    """Name the job of one run of a stage.

    The hook that creates jobs appends ``-2``, ``-3``… after a failure, and needs 3 characters for it.
    """
    digest = hashlib.blake2b(f"{program}/{stage}/{run_id}".encode(), digest_size=6).hexdigest()
    return f"{program}-{stage}"[: MAX_LENGTH - len(digest) - 4] + f"-{digest}"


def is_job_of(program: str, name: str) -> bool:
    """Return whether a job that only one program can have started, such as an inference, has its name."""
    return re.fullmatch(rf"{re.escape(program)}-({_OWN_JOBS})-[0-9a-f]{{12}}(-\d+)?", name) is not None


# Prefix of the empty runs that a retirement publishes; no other push may take them for the newest.
RETIRE_PREFIX = "retire-"
# In the name of a delivery that removes lists that are too old; no run publishes under it.
REMOVAL_PREFIX = "freshness-"


def delivers_lists(run: str) -> bool:
    """Return whether a delivery of this run gives people lists, rather than only removing some."""
    return not run.startswith((RETIRE_PREFIX, REMOVAL_PREFIX))


def run_key(run_id: str, created_at: str) -> str:
    """Key the S3 objects of one run: sortable by time, unique by run.

    :param created_at: ISO 8601 time at which the run was created, not the clock of a retry.
    """
    stamp = "".join(c for c in created_at[:19] if c.isdigit())
    # Keep the order of two runs within a second; a time without a fraction sorts before those with one.
    fraction = "".join(itertools.takewhile(str.isdigit, created_at[20:])) if created_at[19:20] == "." else ""
    digest = hashlib.blake2b(run_id.encode(), digest_size=4).hexdigest()
    return f"{stamp[:8]}T{stamp[8:]}{fraction}-{digest}"


def dataset_group_name(program: Program) -> str:
    """Name the dataset group of a program: programs that share data have one."""
    return program.data_owner.name


def dataset_name(program: Program, dataset_type: DatasetType) -> str:
    """Name one dataset of a program."""
    return f"{dataset_group_name(program)}-{dataset_type.folder}"


def metric_attribution_name(program: Program) -> str:
    """Name the metric attribution of a program's dataset group, which has one at most."""
    return dataset_group_name(program)


def event_tracker_name(program: Program) -> str:
    """Name the event tracker of a program's dataset group, which has one at most."""
    return dataset_group_name(program)


def schema_name(program: Program, dataset_type: DatasetType, text: str) -> str:
    """Name a schema by its content: schemas are immutable and outlive their dataset group."""
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return f"{dataset_name(program, dataset_type)}-{digest}"


def solution_name(program: Program, recipe: str, settings: Mapping[str, Any] | None = None) -> str:
    """Name a solution of a program by its recipe and its settings, nearly none of which can be changed later.

    Programs that share data share the solutions of the same settings, so the name holds the owner of the data.

    :param settings: settings other than the recipe's defaults; without any the name has no digest.
    """
    plain = f"{dataset_group_name(program)}-{recipe.removeprefix('aws-')}"
    if not settings:
        return plain[:MAX_LENGTH]
    text = json.dumps(settings, sort_keys=True)
    # With 32 characters of a program's name and 23 of the longest recipe's, exactly 63.
    digest = hashlib.blake2b(text.encode(), digest_size=_SETTINGS_BYTES).hexdigest()
    return f"{plain[: MAX_LENGTH - len(digest) - 1]}-{digest}"


def recipe_of_version(program: Program, solution_version_arn: str) -> str | None:
    """Return the recipe of a version of one of the program's solutions; None for a solution of another name."""
    found = _SOLUTION.search(solution_version_arn)
    name = found[1] if found else ""
    plain = {solution_name(program, recipe): recipe for recipe in RECIPES}
    return plain.get(name) or plain.get(_DIGEST.sub("", name))


def campaign_name(program: Program) -> str:
    """Name the campaign of recommend runs; one name for all, so that the next run finds one that was left."""
    return f"{program.name}-recommend"


def recipe_arn(recipe: str) -> str:
    """Return the service-owned ARN of a recipe."""
    return f"arn:aws:personalize:::recipe/{recipe}"
