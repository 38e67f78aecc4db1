"""A second floor: parse each line into its user and item ids (msgspec, typed), and do nothing with them."""

from __future__ import annotations

import msgspec

from benchmarks.job import OutputJob


class _Input(msgspec.Struct):
    userId: str  # ruff: ignore[mixed-case-variable-in-class-scope]  # Personalize's own name


class _Output(msgspec.Struct):
    recommendedItems: list[str]  # ruff: ignore[mixed-case-variable-in-class-scope]  # Personalize's own name


class _Line(msgspec.Struct):
    input: _Input
    output: _Output


def read(job: OutputJob) -> None:
    """Parse the lines."""
    decode = msgspec.json.Decoder(_Line).decode
    users = 0
    with job.clock(), job.output.open("rb", buffering=1 << 20) as file:
        for line in file:
            if decode(line).output.recommendedItems:
                users += 1
    job.read(users)
