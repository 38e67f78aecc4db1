"""Known-answer data: even users like even items, odd like odd, one item withheld each: it must reach Braze."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dag_runs import states
from services import Services

USERS = 80
ITEMS = 50
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

PROGRAM = """
datasets:
  interactions: {schema: board.json}
  items: {schema: squares.json}
personalize: {num_results: 30}
recommendations: {length: 1}
braze:
  attribute: next_square
  catalog:
    name: squares
    fields: {colour: string}
"""
INTERACTIONS_SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}
ITEMS_SCHEMA = {
    **INTERACTIONS_SCHEMA,
    "name": "Items",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "COLOUR", "type": ["null", "string"], "categorical": True},
    ],
}
SQL = {
    "interactions": "SELECT player AS user_id, square AS item_id, floor(extract(epoch FROM at))::bigint AS timestamp "
    "FROM board.moves WHERE at >= '{{ data_interval_start }}' AND at < '{{ data_interval_end }}'",
    "items": "SELECT square AS item_id, colour FROM board.squares",
    "audience": "SELECT DISTINCT player AS user_id FROM board.moves",
    "catalogue": "SELECT square AS item_id, colour FROM board.squares;",
}


def withheld(user: int) -> int:
    """Name the item that a user must get."""
    alike = [item for item in range(ITEMS) if item % 2 == user % 2]
    return alike[(user // 2) % len(alike)]


@pytest.fixture
def board(services: Services, include: Path) -> None:
    """Load the checkerboard and write its program files; no Python of the project is touched."""
    services.execute(
        "DROP SCHEMA IF EXISTS board CASCADE; CREATE SCHEMA board;"
        "CREATE TABLE board.moves (player text, square text, at timestamptz);"
        "CREATE TABLE board.squares (square text, colour text)"
    )
    moves = [
        (
            f"player-{user}",
            f"square_{item}",
            NOW - timedelta(days=30) + timedelta(minutes=(user * 7919 + item * 104729) % 40000),
        )
        for user in range(USERS)
        for item in range(ITEMS)
        if item % 2 == user % 2 and item != withheld(user)
    ]
    services.execute("INSERT INTO board.moves VALUES (%s, %s, %s)", moves)
    squares = [(f"square_{item}", "black" if item % 2 else "white") for item in range(ITEMS)]
    services.execute("INSERT INTO board.squares VALUES (%s, %s)", squares)
    (include / "programs").mkdir()
    (include / "programs" / "board.yaml").write_text(PROGRAM)
    (include / "sql" / "board").mkdir(parents=True)
    for name, text in SQL.items():
        (include / "sql" / "board" / f"{name}.sql").write_text(text)
    (include / "schemas").mkdir()
    (include / "schemas" / "board.json").write_text(json.dumps(INTERACTIONS_SCHEMA))
    (include / "schemas" / "squares.json").write_text(json.dumps(ITEMS_SCHEMA))


def test_the_withheld_item_reaches_braze_for_every_user(
    board: None, services: Services, run: Callable[..., Any]
) -> None:
    for stage in ("train_full", "recommend", "push"):
        dag_run = run(f"board_{stage}")
        assert dag_run.state == "success", states(dag_run)

    profiles = services.profiles()
    expected = {f"player-{user}": [f"square_{withheld(user)}"] for user in range(USERS)}
    assert {user: profiles[user].get("next_square") for user in expected} == expected
    assert {user for user, attributes in profiles.items() if "next_square" in attributes} == set(expected)
