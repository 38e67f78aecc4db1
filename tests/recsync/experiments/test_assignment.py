"""Properties of the assignment: shares, independence, few changes, strata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from recsync.experiments.assignment import (
    BUCKETS,
    Allocation,
    allocate,
    assign_within_strata,
    assigned_counts,
    bucket_counts,
    format_buckets,
    free_buckets,
    parse_buckets,
    person_buckets,
    salted_hashes,
    stratum_offsets,
    surplus,
)
from recsync.storage.duck import opened

PEOPLE = pa.array([f"{n}" for n in range(20_000)])
SHARES = {"recommended": 0.85, "popular": 0.05, "holdout": 0.1}
NOTHING = Allocation({})


def everybody() -> NDArray[np.int32]:
    return free_buckets([])


def arms_of(layer: str, experiment: str, shares: dict[str, float] = SHARES) -> NDArray[np.int16]:
    """Return the arm of each of PEOPLE by its position in ``shares``."""
    allocation = allocate(experiment, bucket_counts(shares), NOTHING, everybody())
    return allocation.table(shares)[person_buckets(layer, PEOPLE)]


def test_hashes_never_change() -> None:
    """Everybody would change the arm: these figures are from the first release."""
    found = salted_hashes("mail", pa.array(["", "1", "household-0042", "a much longer id than eight bytes"]))
    assert found.tolist() == [
        12558613438268825858,
        16421608877905866406,
        9983826770580136876,
        8640904650125857533,
    ]
    assert person_buckets("mail", pa.array(["1", "2", "3", "household-0042"])).tolist() == [
        8902,
        8264,
        514,
        5412,
    ]
    table = allocate("autumn_2026", bucket_counts(SHARES), NOTHING, everybody()).table(SHARES)
    assert "".join(map(str, table[:40])) == "0010020001202020000002000000000001010000"


def test_shares_hold_over_many_salts() -> None:
    """Chi-square of 200 experiments: their p-values must be even between 0 and 1."""
    expected = np.array(list(SHARES.values())) * len(PEOPLE)
    p_values = [
        stats.chisquare(np.bincount(arms_of(f"layer{n}", f"experiment{n}"), minlength=3), expected).pvalue
        for n in range(200)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert min(p_values) > 1e-5


def test_arms_of_different_layers_are_independent() -> None:
    half, p_values = {"a": 0.5, "b": 0.5}, []
    for n in range(200):
        first, second = arms_of(f"mail{n}", "x", half), arms_of(f"shop{n}", "y", half)
        table = np.bincount(first * 2 + second, minlength=4).reshape(2, 2)
        p_values.append(stats.chi2_contingency(table, correction=False).pvalue)
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert min(p_values) > 1e-5


def test_arms_of_experiments_that_follow_each_other_in_a_layer_correlate_by_chance_only() -> None:
    """Buckets are drawn, so the correlation over many people is that of 10,000 draws, about 0.01."""
    half = bucket_counts({"a": 0.5, "b": 0.5})
    tables = [allocate(f"experiment{n}", half, NOTHING, everybody()).table(half) for n in range(101)]
    found = [np.corrcoef(tables[n], tables[n + 1])[0, 1] for n in range(100)]
    assert np.std(found) == pytest.approx(1 / np.sqrt(BUCKETS), rel=0.25)
    assert abs(np.mean(found)) < 0.003


def test_arms_do_not_depend_on_the_form_of_ids() -> None:
    """Sequential numbers, padded numbers, UUIDs with a common end: each bit of them counts."""
    for form in ("{}", "{:09d}", "customer-{:06d}@example.com", "{:08x}-0000-4000-8000-000000000000"):
        ids = pa.array([form.format(n) for n in range(50_000)])
        counted = np.bincount(person_buckets("mail", ids) // 100, minlength=100)
        assert stats.chisquare(counted).pvalue > 1e-5


def test_experiments_of_a_layer_share_no_person() -> None:
    first = allocate("autumn", bucket_counts({"a": 0.3, "b": 0.2}), NOTHING, everybody())
    second = allocate("winter", bucket_counts({"a": 0.25, "b": 0.25}), NOTHING, free_buckets([first.claimed]))
    assert len(first.claimed) == len(second.claimed) == BUCKETS // 2
    assert not np.intersect1d(first.claimed, second.claimed).size
    with pytest.raises(ValueError, match="1 buckets are needed, and 0 are free"):
        allocate("spring", {"a": 1}, NOTHING, free_buckets([first.claimed, second.claimed]))


ARMS = "abcde"
COUNTS = st.dictionaries(st.sampled_from(ARMS), st.integers(1, 2500), min_size=1)


@settings(max_examples=60, deadline=None)
@given(before=COUNTS, after=COUNTS, other=st.integers(0, 2500))
def test_changed_shares_move_the_least_number_of_buckets(
    before: dict[str, int], after: dict[str, int], other: int
) -> None:
    elsewhere = everybody()[: min(other, BUCKETS - max(sum(before.values()), sum(after.values())))]
    first = allocate("autumn", before, NOTHING, free_buckets([elsewhere]))
    free = free_buckets([elsewhere, first.claimed])
    second = allocate("autumn", after, first, free)
    assert {arm: len(buckets) for arm, buckets in second.arms.items()} == after
    assert not np.intersect1d(second.claimed, elsewhere).size
    assert len(np.unique(second.claimed)) == len(second.claimed)
    more = sum(max(after.get(arm, 0) - before.get(arm, 0), 0) for arm in ARMS)
    less = sum(max(before.get(arm, 0) - after.get(arm, 0), 0) for arm in ARMS)
    changed = first.table(ARMS) != second.table(ARMS)
    assert np.count_nonzero(changed) == second.changed == max(more, less)


def test_nothing_changes_with_the_same_shares() -> None:
    first = allocate("autumn", bucket_counts(SHARES), NOTHING, everybody())
    again = allocate("autumn", bucket_counts(SHARES), first, free_buckets([first.claimed]))
    assert again.changed == 0
    assert (again.table(SHARES) == first.table(SHARES)).all()


@pytest.mark.parametrize(
    ("shares", "counts"),
    [
        (SHARES, {"recommended": 8500, "popular": 500, "holdout": 1000}),
        (dict.fromkeys("abc", 1 / 3), {"a": 3334, "b": 3333, "c": 3333}),
        ({"a": 0.00015, "b": 0.5}, {"a": 1, "b": 5000}),
        ({"a": 0.29, "b": 0.57}, {"a": 2900, "b": 5700}),
    ],
)
def test_shares_become_whole_buckets(shares: dict[str, float], counts: dict[str, int]) -> None:
    assert bucket_counts(shares) == counts


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 30_000), min_size=2, max_size=30))
def test_experiments_whose_shares_sum_to_one_fit_in_a_layer(parts: list[int]) -> None:
    shares = [part / sum(parts) for part in parts]
    assert sum(sum(bucket_counts({"a": s / 2, "b": s / 2}).values()) for s in shares) <= BUCKETS


def test_shares_hold_within_each_stratum_however_people_come() -> None:
    """30 days of new people in 50 strata, from a few people a day to thousands."""
    rng = np.random.default_rng(7)
    shares = np.array(list(SHARES.values()))
    offsets = stratum_offsets("autumn", pa.array([f"city {n}" for n in range(50)]))
    counts = np.zeros((50, 3), np.int64)
    for _ in range(30):
        pool = rng.poisson(np.geomspace(0.05, 2000, 50)).astype(np.int64)
        dealt = assigned_counts(counts, pool, shares, offsets)
        assert (dealt >= 0).all()
        assert (dealt.sum(axis=1) == pool).all()
        counts += dealt
        assert np.abs(counts - counts.sum(axis=1, keepdims=True) * shares).max() < 2.5
    # Chance alone would miss by about sqrt(n * 0.85 * 0.15), 87 people in the largest.
    assert counts.sum() > 100_000


def test_strata_of_one_person_hold_the_shares_together() -> None:
    strata = pa.array([f"city {n}" for n in range(20_000)])
    ones = np.ones(len(strata), np.int64)
    zeros = np.zeros((len(strata), 3), np.int64)
    dealt = assigned_counts(zeros, ones, np.array(list(SHARES.values())), stratum_offsets("autumn", strata))
    assert stats.chisquare(dealt.sum(axis=0), np.array(list(SHARES.values())) * len(strata)).pvalue > 1e-4


@settings(max_examples=60, deadline=None)
@given(
    people=st.lists(st.integers(0, 5000), min_size=1, max_size=8),
    before=st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
    after=st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
)
def test_changed_shares_move_the_least_number_of_people_of_a_stratum(
    people: list[int], before: list[float], after: list[float]
) -> None:
    total, shares = np.array(people, np.int64), np.array(after)
    offsets = stratum_offsets("autumn", pa.array([str(n) for n in range(len(people))]))
    counts = assigned_counts(np.zeros((len(people), 3), np.int64), total, np.array(before), offsets)
    exact = total[:, None] * shares / shares.sum()
    leaving = surplus(counts, total, shares)
    moved = leaving.sum(axis=1)
    # The least: as many people as the arms that lose some have too many; whom rounding put there may stay.
    assert (moved <= np.maximum(counts - exact, 0).sum(axis=1) + 1e-6).all()
    assert (moved >= np.maximum(counts - exact - 1, 0).sum(axis=1) - 1e-6).all()
    now = counts - leaving + assigned_counts(counts - leaving, moved, shares, offsets)
    assert (now.sum(axis=1) == total).all()
    assert np.abs(now - exact).max() <= 3
    if before == after:
        assert not moved.any()


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, BUCKETS - 1), max_size=300))
def test_buckets_are_written_and_read(numbers: set[int]) -> None:
    buckets = np.array(sorted(numbers), np.int32)
    assert (parse_buckets(format_buckets(buckets)) == buckets).all()


def test_written_buckets_are_ranges() -> None:
    assert format_buckets(np.array([0, 1, 2, 5, 7, 8], np.int32)) == "0-2 5 7-8"


@pytest.mark.parametrize("text", ["1-", "x", "10000", "3 3"])
def test_other_texts_are_no_buckets(text: str) -> None:
    with pytest.raises(ValueError, match=r"buckets|invalid literal"):
        parse_buckets(text)


HALVES = {"": 0.0, "a": 0.5, "b": 0.5}


def dealt(
    folder: Path,
    people: dict[str, str | None],
    present: dict[str, tuple[str, str]] | None = None,
    *,
    shares: dict[str, float] = HALVES,
    rebalance: bool = False,
) -> dict[str, tuple[str | None, str]]:
    """Deal people with their strata; None: outside the experiment.

    :param present: arm and stratum of those who have one.
    :returns: stratum and arm.
    """
    there = present or {}
    hashed = pa.table(
        {
            "user_id": pa.array(list(people), pa.string()),
            "external_id": pa.array(list(people), pa.string()),
            "stratum": pa.array([stratum or "" for stratum in people.values()], pa.string()),
            "arm": pa.array([None if s is not None else "" for s in people.values()], pa.string()),
            "draw": pa.array([hash_of(user) for user in people], pa.uint64()),
        }
    )
    had = pa.table(
        {
            "user_id": pa.array(list(there), pa.string()),
            "arm": pa.array([arm for arm, _ in there.values()], pa.string()),
            "stratum": pa.array([stratum for _, stratum in there.values()], pa.string()),
        }
    )
    folder.mkdir()
    with opened(folder) as connection:
        connection.register("hashed", hashed)
        connection.register("present", had)
        assign_within_strata(connection, "autumn", shares, rebalance=rebalance)
        rows = connection.sql("SELECT user_id, stratum, arm FROM assigned").fetchall()
    assert len(rows) == len(people)
    return {user: (stratum, arm) for user, stratum, arm in rows}


def hash_of(user: str) -> int:
    return int.from_bytes(user.encode()[-8:], "little") * 2654435761 % 2**64


def test_every_stratum_is_halved(tmp_path: Path) -> None:
    found = dealt(tmp_path / "a", {f"{city}{n}": city for city in "xyz" for n in range(10)})
    for city in "xyz":
        arms = [arm for stratum, arm in found.values() if stratum == city]
        assert sorted(arms) == ["a"] * 5 + ["b"] * 5


def test_people_outside_the_experiment_are_in_no_arm_and_no_stratum(tmp_path: Path) -> None:
    found = dealt(tmp_path / "a", {"x1": "x", "x2": None})
    assert found["x2"] == (None, "")
    assert found["x1"][1] in {"a", "b"}


def test_newcomers_balance_those_who_are_there(tmp_path: Path) -> None:
    present = {f"old{n}": ("a", "x") for n in range(4)}
    # Two of the four are not in this audience, and count.
    people = {"old0": "moved", "old1": "x", **{f"new{n}": "x" for n in range(6)}}
    found = dealt(tmp_path / "a", people, present)
    assert found["old0"] == ("x", "a"), "the stratum of the first time"
    assert sorted(found[f"new{n}"][1] for n in range(6)) == ["a", "b", "b", "b", "b", "b"]


@pytest.mark.parametrize("rebalance", [True, False])
def test_only_changed_shares_move_people(tmp_path: Path, *, rebalance: bool) -> None:
    people = {f"p{n}": "x" for n in range(10)}
    present = dict.fromkeys(people, ("a", "x"))
    arms = [arm for _, arm in dealt(tmp_path / "a", people, present, rebalance=rebalance).values()]
    assert arms.count("b") == (5 if rebalance else 0)


def test_an_empty_audience_is_dealt(tmp_path: Path) -> None:
    assert dealt(tmp_path / "a", {}) == {}
