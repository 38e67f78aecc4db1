from __future__ import annotations

import pytest

from airflow_personalize.errors import PersonalizeFatalError, PersonalizeRetriableError
from braze_client.errors import BrazeDenied, BrazeUnclear
from recsync.errors import DELIBERATE, FATAL, RETRIABLE, FatalError, ProgramError, UnexpectedError


def test_the_errors_of_all_three_packages_are_caught_by_what_the_caller_does_next() -> None:
    families = {
        FATAL: (PersonalizeFatalError, BrazeDenied),
        RETRIABLE: (PersonalizeRetriableError, BrazeUnclear),
    }
    for kinds, classes in families.items():
        assert all(issubclass(each, kinds) and issubclass(each, DELIBERATE) for each in classes)


def test_a_program_error_holds_every_problem() -> None:
    with pytest.raises(FatalError, match=r"^one\ntwo$") as caught:
        raise ProgramError(["one", "two"])
    assert isinstance(caught.value, ProgramError)
    assert caught.value.problems == ("one", "two")


def test_an_unexpected_error_names_class_and_place_without_the_text() -> None:
    try:
        int("anna-7f3a")
    except ValueError as error:
        found = UnexpectedError(error)
    assert found.kind is ValueError
    assert str(found).startswith("ValueError at test_errors.py:")
    assert "anna" not in str(found)
