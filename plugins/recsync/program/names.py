"""Names of Amazon Personalize resources and jobs, derived so that a second try finds the first one's job.

Job names are single-use for ever, so a run's name holds the program, the stage and a hash of the run id.
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
SEGMENT_RECIPE = "aws-item-affinity"
"""The recipe that finds who gets a promotion."""


def job_name(program: str, stage: str, run_id: str) -> str:
    """Name the job that one run of a stage pays for: the same run always gets the same name.

    The hook that creates jobs appends ``-2``, ``-3``… after a failure, and needs 3 characters for it.
    """
    digest = hashlib.blake2b(f"{program}/{stage}/{run_id}".encode(), digest_size=6).hexdigest()
    return f"{program}-{stage}"[: MAX_LENGTH - len(digest) - 4] + f"-{digest}"


def run_key(run_id: str, created_at: str) -> str:
    """Key the S3 objects of one run: sortable by time, unique by run.

    :param created_at: ISO 8601 time at which the run was created, not the clock of a retry.
    """
    stamp = "".join(c for c in created_at[:19] if c.isdigit())
    # Two runs of one second must not trade places; a time without a fraction sorts before those with one.
    fraction = "".join(itertools.takewhile(str.isdigit, created_at[20:])) if created_at[19:20] == "." else ""
    digest = hashlib.blake2b(run_id.encode(), digest_size=4).hexdigest()
    return f"{stamp[:8]}T{stamp[8:]}{fraction}-{digest}"


def dataset_group_name(program: Program) -> str:
    """Name the dataset group of a program."""
    return program.name


def dataset_name(program: Program, dataset_type: DatasetType) -> str:
    """Name one dataset of a program."""
    return f"{program.name}-{dataset_type.folder}"


def schema_name(program: Program, dataset_type: DatasetType, text: str) -> str:
    """Name a schema by its content: schemas are immutable and outlive their dataset group."""
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return f"{dataset_name(program, dataset_type)}-{digest}"


def solution_name(program: Program, recipe: str, settings: Mapping[str, Any] | None = None) -> str:
    """Name a solution of a program by its recipe and by what cannot be changed in it.

    Nearly nothing of a solution can be changed, so other settings make another solution beside the former one.

    :param settings: what is not the recipe's own way, e.g. members of ``solutionConfig``; the name of a solution
        without any has no digest.
    """
    plain = f"{program.name}-{recipe.removeprefix('aws-')}"
    if not settings:
        return plain[:MAX_LENGTH]
    text = json.dumps(settings, sort_keys=True)
    # With 32 characters of a program's name and 23 of the longest recipe's, exactly 63.
    digest = hashlib.blake2b(text.encode(), digest_size=_SETTINGS_BYTES).hexdigest()
    return f"{plain[: MAX_LENGTH - len(digest) - 1]}-{digest}"


def recipe_of_version(program: Program, solution_version_arn: str) -> str | None:
    """Tell the recipe of a version of one of the program's solutions; None for a solution of another name."""
    found = _SOLUTION.search(solution_version_arn)
    name = found[1] if found else ""
    plain = {solution_name(program, recipe): recipe for recipe in RECIPES}
    return plain.get(name) or plain.get(_DIGEST.sub("", name))


def campaign_name(program: Program) -> str:
    """Name the campaign that a recommend run asks; one for all runs, so that a forgotten one is found by the next."""
    return f"{program.name}-recommend"


def recipe_arn(recipe: str) -> str:
    """Give the service-owned ARN of a recipe."""
    return f"arn:aws:personalize:::recipe/{recipe}"
