from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recsync.program import NAME_PATTERN
from recsync.program.names import MAX_LENGTH, is_job_of, job_name, run_key


@given(st.from_regex(NAME_PATTERN, fullmatch=True), st.text(max_size=300))
def test_job_names_fit_the_service_and_leave_room_for_a_suffix(program: str, run_id: str) -> None:
    name = job_name(program, "full-interactions", run_id)
    assert len(name) <= MAX_LENGTH - 3
    assert name == job_name(program, "full-interactions", run_id)
    assert name != job_name(program, "full-interactions", run_id + "x")


def test_names_of_long_programs_still_differ_by_dataset() -> None:
    program = "p" * 32
    assert job_name(program, "full-users", "r") != job_name(program, "full-items", "r")


def test_run_keys_sort_by_creation() -> None:
    early = run_key("manual__b", "2026-11-22T05:00:01.000499+00:00")
    late = run_key("manual__a", "2026-11-22T05:00:01.5+00:00")
    assert early.startswith("20261122T050001000499-")
    assert run_key("manual__c", "2026-11-22T05:00:01Z").startswith("20261122T050001-")
    assert early < late


def test_a_job_is_of_one_program_also_when_names_begin_alike() -> None:
    programs = ("shop", "shop-recommend", "shop-b")
    for program in programs:
        for job in (
            job_name(program, "recommend", "run"),
            job_name(program, "tune", "run") + "-2",
        ):
            assert [each for each in programs if is_job_of(each, job)] == [program]
    assert not is_job_of("shop", job_name("shop", "full", "run"))
