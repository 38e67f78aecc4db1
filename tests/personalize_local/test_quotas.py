"""Quotas: those that AWS adjusts can be adjusted here too, by option, and no others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from personalize_local.quotas import Quotas

LOCAL = Path(__file__).resolve().parents[2] / "local"
UP = "arn:aws:personalize:::recipe/aws-user-personalization"


def test_a_server_enforces_adjusted_quotas(
    start_server: Callable[..., Any], make_world: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    quotas = Quotas({"dataset-groups": 6, "solutions-per-dataset-group": 1})
    world = make_world(start_server(quotas=quotas).url)
    groups = [world.group() for _ in range(6)]
    error = refused(world.personalize.create_dataset_group, name="seventh")
    assert error.code == "LimitExceededException"
    assert "6 datasetGroups" in error.message
    world.solution(groups[0])
    error = refused(world.personalize.create_solution, name="s2", datasetGroupArn=groups[0], recipeArn=UP)
    assert error.code == "LimitExceededException"
    world.solution(groups[1])


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("schemas=600", "not an adjustable quota"),
        ("dataset-groups=0", "at least 1"),
        ("dataset-groups=many", "invalid literal"),
        ("dataset-groups", "invalid literal"),
    ],
)
def test_the_command_refuses_what_aws_would_not_adjust(option: str, text: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "personalize_local", "--port", "0", "--data", str(tmp_path)]
    ended = subprocess.run(
        [*command, "--quota", option],
        cwd=LOCAL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert text in ended.stderr


def test_the_command_passes_quotas_on(
    make_world: Callable[..., Any], refused: Callable[..., Any], tmp_path: Path
) -> None:
    options = ["--port", "0", "--data", str(tmp_path), "--time-scale", "0", "--quota", "dataset-groups=1"]
    command = [sys.executable, "-m", "personalize_local", *options]
    with subprocess.Popen(command, cwd=LOCAL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        world = make_world(process.stdout.readline().split()[-1])
        world.group()
        error = refused(world.personalize.create_dataset_group, name="second")
        process.terminate()
    assert error.code == "LimitExceededException"
