from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsync.core.delivery import Account, Wanted, plan_delivery
from recsync.core.gate import judge
from recsync.core.program import Braze, Gate
from recsync.errors import FatalError

BRAZE = Braze(attribute="recs")
PEOPLE = [
    Wanted("a", ("1", "2")),
    Wanted("b", ("3", "4")),
    Wanted("c", (), "too few"),
    Wanted("d", (), "too few"),
]


def sent_state(*people: Wanted) -> dict[str, str]:
    plan = plan_delivery(BRAZE, people, {}, {})
    return {w.external_id: w.fingerprint for w in plan.writes if w.fingerprint}


def test_only_what_differs_is_written_and_what_is_not_wanted_any_more_is_removed() -> None:
    state = sent_state(PEOPLE[0], Wanted("b", ("9",)), Wanted("c", ("9",)), Wanted("gone", ("9",)))
    plan = plan_delivery(BRAZE, PEOPLE, {}, state)
    assert {w.external_id: w.value for w in plan.writes} == {"b": ["3", "4"], "c": None, "gone": None}
    assert plan.unchanged == {"a"}
    assert dict(plan.suppressed) == {"d": "too few"}


def test_two_people_with_one_braze_id_are_refused() -> None:
    with pytest.raises(FatalError, match="twice"):
        plan_delivery(BRAZE, [PEOPLE[0], PEOPLE[0]], {}, {})


def test_another_attribute_is_another_value() -> None:
    plan = plan_delivery(Braze(attribute="other"), [PEOPLE[0]], {}, sent_state(PEOPLE[0]))
    assert [w.external_id for w in plan.writes] == ["a"]


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("123"), max_size=2)),
    st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["old", "older"])),
    st.sets(st.sampled_from("abcdefgh")),
)
def test_everybody_is_counted_exactly_once(
    wanted: dict[str, list[str]], state: dict[str, str], refused: set[str]
) -> None:
    people = [Wanted(name, tuple(items), "none") for name, items in wanted.items()]
    plan = plan_delivery(BRAZE, people, {}, state)
    account = Account(plan)
    for write in plan.writes:
        account.settle(write, "no" if write.external_id in refused else None)
    assert sum(account.outcomes().values()) == len(wanted)
    assert account.left_audience == len(set(state) - set(wanted) - refused)


def test_a_delivery_that_lost_somebody_fails() -> None:
    account = Account(plan_delivery(BRAZE, PEOPLE, {}, {}))
    with pytest.raises(FatalError, match="does not add up"):
        account.outcomes()


def test_the_gate_names_figures() -> None:
    metric = Gate().metric
    assert judge(Gate(), {metric: 0.3}, {metric: 0.1}) == []
    assert judge(Gate(), {metric: 0.3}, None) == []
    assert "0.3000" in judge(Gate(minimum=0.4), {metric: 0.3}, None)[0]
    assert (
        "2 times the baseline's 0.2000"
        in judge(Gate(min_ratio_to_baseline=2), {metric: 0.3}, {metric: 0.2})[0]
    )
    assert "has no" in judge(Gate(), {"coverage": 1.0}, None)[0]
