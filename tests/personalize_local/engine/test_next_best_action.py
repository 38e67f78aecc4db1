"""Let users take actions for known reasons and see whether the likelihoods tell."""

import random

import pyarrow as pa
import pytest
from engine_data import DAY, START, shop

from personalize_local.engine import TrainingData, train
from personalize_local.engine.exposures import exposures, read_actions, read_events

AUC = "area_under_curve"
NAMES = ("USER_ID", "ACTION_ID", "EVENT_TYPE", "TIMESTAMP")


def campaigns(chance, num_users: int = 300) -> TrainingData:
    """Send twenty campaigns, ten days apart, once to half of the users; who takes part does so within 30 days.

    :param chance: of taking part, by user number and campaign number.
    """
    rng = random.Random(5)
    rows = []
    for campaign in range(20):
        for user in range(num_users):
            if rng.random() < 0.5:
                continue
            row = (f"kunde-{user} ü", f"campaign {campaign}")
            rows.append((*row, "VIEWED", START + campaign * 10 * DAY))
            if rng.random() < chance(user, campaign):
                rows.append((*row, "TAKEN", START + (campaign * 10 + rng.randrange(30)) * DAY))
    return with_actions(rows, shop(num_users))


def with_actions(rows: list[tuple[str, str, str, int]], data: TrainingData) -> TrainingData:
    """Add what users did with actions to a shop."""
    table = pa.table(dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True)))
    actions = pa.table({"ACTION_ID": sorted({row[1] for row in rows})})
    return TrainingData(data.interactions, data.items, actions=actions, action_interactions=table)


@pytest.mark.parametrize(
    ("chance", "least"),
    [
        (lambda user, campaign: 0.5 if user % 5 == 0 else 0.03, 0.75),
        (lambda user, campaign: 0.4 if campaign % 4 == 0 else 0.03, 0.75),
        (lambda user, campaign: 0.6 if user % 4 == campaign % 4 else 0.03, 0.75),
    ],
    ids=["some users take everything", "some actions are taken by all", "users take those of their taste"],
)
def test_the_reasons_are_found(chance, least):
    assert train("aws-next-best-action", campaigns(chance), {}).metrics[AUC] > least


def test_without_reasons_the_likelihoods_are_neither_better_nor_worse_than_chance():
    model = train("aws-next-best-action", campaigns(lambda user, campaign: 0.15), {})
    assert 0.42 < model.metrics[AUC] < 0.58


def outcomes(*rows: tuple[str, str, int]) -> list[tuple[str, int, bool]]:
    """Make exposures of (action, event, day) of one user; 100 days later the data end."""
    full = [("u", action, event, START + day * DAY) for action, event, day in rows]
    data = with_actions([*full, ("v", "end", "Taken", START + 100 * DAY)], shop(4))
    actions = read_actions(data, "aws-next-best-action")
    found = exposures(read_events(data, actions, "aws-next-best-action"), 14 * DAY)
    return [
        (actions.ids[int(action)].as_py(), (int(time) - START) // DAY, bool(taken))
        for action, time, taken in zip(found.action, found.time, found.taken, strict=True)
    ][:-1]


def test_a_view_and_what_follows_it_are_one_exposure_at_the_time_of_the_view():
    assert outcomes(("a", "Viewed", 1), ("a", "Taken", 3)) == [("a", 1, True)]
    assert outcomes(("a", "Viewed", 1), ("a", "Taken", 25)) == [("a", 1, True)]
    assert outcomes(("a", "Viewed", 1), ("a", "Not Taken", 3)) == [("a", 1, False)]
    assert outcomes(("a", "VIEWED", 1), ("b", "TAKEN", 3)) == [("a", 1, False), ("b", 3, True)]


def test_only_after_the_period_another_view_or_take_is_another_exposure():
    assert outcomes(("a", "Viewed", 1), ("a", "Viewed", 9), ("a", "Taken", 20)) == [("a", 1, True)]
    assert outcomes(("a", "Viewed", 1), ("a", "Viewed", 30), ("a", "Taken", 31)) == [
        ("a", 1, False),
        ("a", 30, True),
    ]
    assert outcomes(("a", "Taken", 1), ("a", "Taken", 9)) == [("a", 1, True)]
    assert outcomes(("a", "Taken", 1), ("a", "Taken", 30)) == [("a", 1, True), ("a", 30, True)]


def test_a_view_is_a_failure_only_when_the_period_has_passed():
    assert outcomes(("a", "Viewed", 80), ("b", "Viewed", 95)) == [("a", 80, False)]
    assert outcomes(("b", "Viewed", 95), ("b", "Taken", 96)) == [("b", 95, True)]
