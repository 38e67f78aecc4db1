"""The tree of errors: what Airflow decides by, and what survives between processes."""

from __future__ import annotations

import inspect
import pickle

import pytest

from airflow_personalize import errors
from airflow_personalize.errors import PersonalizeError, PersonalizeFatalError, PersonalizeRetriableError

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if each is not PersonalizeError]


def test_every_error_says_whether_a_retry_can_help() -> None:
    assert set(PersonalizeError.__subclasses__()) == {PersonalizeFatalError, PersonalizeRetriableError}
    assert len(CLASSES) == 4


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_is_of_exactly_one_kind_and_named_in_the_tree(kind: type[PersonalizeError]) -> None:
    assert issubclass(kind, PersonalizeFatalError) is not issubclass(kind, PersonalizeRetriableError)
    assert kind.__name__ in str(errors.__doc__)


@pytest.mark.parametrize("kind", [each for each in CLASSES if issubclass(each, PersonalizeRetriableError)])
def test_the_time_of_a_retry_survives_pickling(kind: type[PersonalizeRetriableError]) -> None:
    assert kind("later").retry_after_seconds is None
    error = pickle.loads(pickle.dumps(kind("later", retry_after_seconds=90)))
    assert (type(error), str(error), error.retry_after_seconds) == (kind, "later", 90)
