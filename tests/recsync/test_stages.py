"""The table of stages against everything that has a place for each stage."""

from __future__ import annotations

import re
from pathlib import Path

from recsync.forget.erasure_rules import _RULES
from recsync.program import DeadlineHours, Schedules
from recsync.program.operations import TaskTimeoutHours
from recsync.stages import POOLS, PREFIXES, STAGES
from stack import chain

REPO = Path(__file__).resolve().parents[2]
NAMES = [stage.name for stage in STAGES]


def test_every_dag_file_is_a_stage() -> None:
    assert {path.stem for path in (REPO / "dags").glob("*.py")} == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


def test_the_readme_has_a_row_for_each_stage() -> None:
    rows = re.findall(r"^\| `grocery_(\w+)` \|", (REPO / "README.md").read_text(), re.MULTILINE)
    assert rows == NAMES


def test_the_local_stack_runs_stages_in_their_order() -> None:
    assert list(chain.STAGES) == [name for name in NAMES if name in chain.STAGES]


def test_the_program_file_has_fields_for_each_stage() -> None:
    assert set(DeadlineHours.model_fields) == set(TaskTimeoutHours.model_fields) == set(NAMES)
    assert all(DeadlineHours().of(name) and TaskTimeoutHours().of(name) for name in NAMES)
    crons = {stage.name: stage.schedule or None for stage in STAGES if stage.schedule is not None}
    assert Schedules().model_dump() == crons | {"recommend_after_update": True, "timezone": "UTC"}


def test_every_key_and_every_rule_of_erasure_is_below_a_prefix_of_a_stage() -> None:
    keys = (REPO / "plugins/recsync/storage/keys.py").read_text()
    named = set(re.findall(r"\{self\.program\}/(\w+)/", keys)) | set(
        re.findall(r'run_document\("(\w+)"', keys)
    )
    assert {"exports", "maintenance", "state"} <= named <= {*PREFIXES, "state"}
    rules = {name for pattern, _ in _RULES for name in re.findall(r"[a-z]{4,}", pattern.split("/")[0])}
    assert rules - {"parquet", "jsonl", "json"} <= PREFIXES.keys()


def test_pools_leave_slots_to_other_tasks_and_to_other_programs() -> None:
    assert {stage.pool for stage in STAGES if stage.pool} == POOLS.keys()
    for parallelism in (8, 16, 32):
        slots = {name: pool.slots(parallelism) for name, pool in POOLS.items()}
        assert sum(slots.values()) < parallelism
        limits = [(stage.tasks_at_once, slots[stage.pool]) for stage in STAGES if stage.pool]
        assert all(limit is None or limit < of for limit, of in limits)
