"""Amazon Resource Names of Personalize, made and taken apart in one place."""

from __future__ import annotations

import secrets

SERVICE_OWNED_PREFIX = "arn:aws:personalize:::"


def make_arn(region: str, account: str, tail: str) -> str:
    """Return `arn:aws:personalize:REGION:ACCOUNT:TAIL`."""
    return f"arn:aws:personalize:{region}:{account}:{tail}"


def dataset_tail(dataset_group_name: str, dataset_type: str) -> str:
    """Return `dataset/DSGNAME/TYPE`: a dataset's own name is not part of its ARN."""
    return f"dataset/{dataset_group_name}/{dataset_type}"


def solution_version_tail(solution_name: str) -> str:
    """Return a new `solution/NAME/<8 hex>`."""
    return f"solution/{solution_name}/{secrets.token_hex(4)}"


def region_of(arn: str) -> str:
    """Return the region field, empty for what the service itself owns."""
    return arn.split(":", 5)[3]


def service_owned_arn(tail: str) -> str:
    """Return the ARN of a recipe, algorithm or feature transformation: no region and no account."""
    return SERVICE_OWNED_PREFIX + tail
