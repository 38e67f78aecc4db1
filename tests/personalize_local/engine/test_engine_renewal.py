"""Hold training mode UPDATE, which works out what changed, against working out everything."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from engine_data import DAY, shop, shuffled, table, with_rows

from personalize_local.engine import TrainingData
from personalize_local.engine.answers import Answers, checksums, prepare_answers
from personalize_local.engine.catalogue import describe_items
from personalize_local.engine.interactions import encode
from personalize_local.engine.learning import learn
from personalize_local.engine.renewal import renew
from personalize_local.engine.weights import Settings, Weights


@pytest.fixture(scope="module")
def trained() -> tuple[Weights, Answers]:
    interactions = encode(shop(300))
    weights = learn(interactions, Settings())
    return weights, prepare_answers(weights, interactions)


def later() -> TrainingData:
    """Let some buy more, a new user come, an old one go and new items be sold; sort nothing."""
    rows = [(f"kunde-{user} ü", f"artikel {user % 50}", (130 + user) * DAY) for user in range(0, 60, 3)]
    rows += [("neu", "artikel 1", 131 * DAY), ("kunde-1 ü", "a new one", 132 * DAY), ("neu", "zz", 133 * DAY)]
    data = shuffled(with_rows(shop(300), rows))
    gone = pa.compute.equal(data.interactions["USER_ID"], "kunde-7 ü")
    return replace(data, interactions=data.interactions.filter(pa.compute.invert(gone)))


def assert_alike(one: Answers, other: Answers) -> None:
    assert one.user_ids.equals(other.user_ids)
    for name in ("indptr", "own_item", "checksum"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    for name in ("own_score", "vector", "bias", "item_vector", "item_bias"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=2e-3)


def test_working_out_what_changed_is_as_good_as_working_out_everything(trained):
    renewal = renew(*trained, later())
    everything = encode(later())
    assert_alike(renewal.answers, prepare_answers(renewal.weights, everything))
    described = describe_items(later(), everything, renewal.weights.known)
    for name in ("users", "rows", "age_days", "created", "new"):
        assert np.array_equal(getattr(renewal.catalogue, name), getattr(described, name))


def test_only_changed_users_are_worked_out(trained):
    renewal = renew(*trained, later())
    changed = set(renewal.interactions.user_ids.take(np.unique(renewal.interactions.user)).to_pylist())
    assert changed == {f"kunde-{user} ü" for user in (*range(0, 60, 3), 1)} | {"neu"}


def test_rows_given_twice_count_once(trained):
    data = later()
    doubled = replace(
        data, interactions=pa.concat_tables([data.interactions, data.interactions.slice(0, 500)])
    )
    one, other = renew(*trained, data), renew(*trained, doubled)
    assert_alike(one.answers, other.answers)
    assert np.array_equal(one.catalogue.rows, other.catalogue.rows)


def test_an_objective_s_lift_stays(trained):
    weights, answers = trained
    lift = np.linspace(-1, 1, len(answers.item_bias)).astype(np.float32)
    lifted = replace(
        answers,
        item_bias=answers.item_bias + lift,
        own_score=np.maximum(answers.own_score + lift[answers.own_item], -2_000),
    )
    plain, renewed = (renew(weights, old, later()).answers for old in (answers, lifted))
    of_item = dict(zip(weights.item_ids.to_pylist(), lift.tolist(), strict=True))
    ids = encode(later()).item_ids.to_pylist()
    expected = np.array([of_item.get(item, 0.0) for item in ids], dtype=np.float32)
    known = np.isfinite(plain.item_bias)
    assert renewed.item_bias[known] == pytest.approx((plain.item_bias + expected)[known], abs=3e-3)
    assert renewed.own_score == pytest.approx(plain.own_score + expected[plain.own_item], abs=3e-3)


def test_a_checksum_tells_rows_apart_whatever_their_order():
    rows = [("a", "x", 1), ("a", "y", 2), ("b", "x", 1)]
    first = checksums(encode(TrainingData(table(rows))))
    assert np.array_equal(first, checksums(encode(TrainingData(table(rows[::-1])))))
    for other in (
        [("a", "x", 1), ("a", "y", 3), ("b", "x", 1)],
        [("a", "x", 2), ("a", "y", 1), ("b", "x", 1)],
    ):
        changed = checksums(encode(TrainingData(table(other))))
        assert (changed != first).tolist() == [True, False]
