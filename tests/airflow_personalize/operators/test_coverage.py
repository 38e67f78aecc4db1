"""Nothing of the Personalize grammar without its test, its templates and its row in docs/operators.md."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from operators_page import PAGE, classes

from airflow_personalize import operators
from airflow_personalize.links import personalize as links
from airflow_personalize.sensors import personalize as sensors
from airflow_personalize.triggers import personalize as triggers

TESTS = Path(__file__).parents[1]
# Folder of tests: the modules whose classes it tests.
TESTED = {
    "operators": [operators],
    "sensors": [sensors],
    "triggers": [triggers],
    "links": [links],
}
# Settings of the task, not of the call: a template could not say when a DAG is parsed what they are.
OF_THE_TASK = {
    *(
        "self",
        "args",
        "kwargs",
        "botocore_config",
        "deferrable",
        "quota_timeout",
        "region",
        "requests_per_second",
    ),
    *("stop_on_kill", "wait_for_completion", "waiter_delay", "waiter_max_attempts"),
}
OPERATORS = [each for _, each in inspect.getmembers(operators, inspect.isclass)]


@pytest.mark.parametrize("folder", TESTED)
def test_every_class_is_named_in_a_test(folder):
    text = "".join(path.read_text() for path in (TESTS / folder).glob("*.py"))
    named = {
        each.__name__ for module in TESTED[folder] for each in classes(module) if "Base" not in each.__name__
    }
    assert named
    assert {name for name in named if name not in text} == set()


def test_every_operator_is_offered_by_the_package():
    folder = Path(inspect.getfile(operators)).parent
    written = {
        line.split("(")[0].removeprefix("class ")
        for path in folder.glob("*.py")
        for line in path.read_text().splitlines()
        if line.startswith("class Personalize") and "Base" not in line.split("(")[0]
    }
    assert written == set(operators.__all__) == {each.__name__ for each in OPERATORS}


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_parameter_of_a_call_is_templated(operator):
    own = {
        name
        for each in operator.__mro__
        if each.__module__.startswith("airflow_personalize.")
        for name in inspect.signature(each.__init__).parameters
    }
    assert own - OF_THE_TASK | {"aws_conn_id", "region_name", "verify"} == set(operator.template_fields)
    assert list(operator.template_fields) == sorted(operator.template_fields)


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_says_which_page_of_the_api_it_wraps(operator):
    assert "https://docs.aws.amazon.com/personalize/latest/dg/API_" in (operator.__doc__ or "")


def test_the_page_shows_what_there_is_and_its_script_writes_it(tmp_path):
    written = subprocess.run(
        [sys.executable, Path(__file__).with_name("operators_page.py"), tmp_path / "page.md"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert written.returncode == 0, written.stderr
    assert PAGE.read_text() == (tmp_path / "page.md").read_text(), (
        "write it again: python tests/airflow_personalize/operators/operators_page.py"
    )
