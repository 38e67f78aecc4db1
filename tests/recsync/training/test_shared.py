"""Which training a program over another one's data asks for; tests/e2e/test_shared_data.py runs them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from recsync.context import StageContext
from recsync.export.manifest import ExportedObject
from recsync.imports.plans import FullPlan, UpdatePlan
from recsync.program import DatasetType, Program
from recsync.program.parse import parse_program
from recsync.training import shared, train
from recsync.training.shared import SharedPlan
from recsync.training.solutions import trained_by_full

EVENTS = DatasetType.INTERACTIONS
SOLUTION = "arn:aws:personalize:us-east-1:000000000000:solution/shop-user-personalization"
OWNER: dict[str, Any] = {
    "braze": {"attribute": "recs"},
    "personalize": {"challengers": {"sims": {"recipe": "aws-user-personalization-v2"}}},
}


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> StageContext:
    for module in (train, shared):
        monkeypatch.setattr(module, "current_solutions", lambda context: trained_by_full(context.program, {}))
    snapshot = ExportedObject("key", 1, 1, "digest", "etag")
    monkeypatch.setattr(train, "_snapshots", lambda *_: {EVENTS: snapshot})
    return StageContext(parse_program("shop", OWNER))


def sharer(owner: StageContext, **personalize: Any) -> StageContext:
    def other(_: str) -> tuple[Any, Any]:
        return OWNER, lambda: owner.program

    document = {"data": "shop", "braze": {"attribute": "again"}, "personalize": personalize}
    program: Program = parse_program("again", document, other)
    return StageContext(program)


def test_the_same_settings_on_the_same_data_are_one_training(owner: StageContext) -> None:
    paid = train._version_names(owner, FullPlan("run", datetime(2026, 11, 22, tzinfo=UTC), {}, {}))
    plan = SharedPlan("another run", "FULL", "rundigest")
    assert SharedPlan.from_json(plan.to_json()) == plan

    def asked(**personalize: Any) -> str:
        return shared._version_names(sharer(owner, **personalize), plan)["solution_version"]

    assert asked() == paid["solution_version"]
    assert asked(recipe="aws-user-personalization-v2") == paid["challenger_sims_solution_version"]
    assert asked(hyperparameters={"hidden_dimension": 64}) not in paid.values()


def test_an_update_of_the_same_solution_is_one_training_too(owner: StageContext) -> None:
    updated = UpdatePlan("run", "", SOLUTION, {}, {}, {}, {})
    again = sharer(owner)
    plan = SharedPlan("another run", "UPDATE", "run", SOLUTION)
    assert shared._version_names(again, plan) == train._version_names(owner, updated)
    other = SharedPlan("another run", "UPDATE", "run", f"{SOLUTION}-other")
    assert shared._version_names(again, other) != train._version_names(owner, updated)
