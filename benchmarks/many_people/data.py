"""Make the people, their purchases and the answers of the batch jobs by DuckDB."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from recsync.storage.duck import quoted_path

NAME, BUCKET, RUN_ID = "many", "bench", "many-people"
MOMENT = "2026-11-22T05:00:00+00:00"
ITEMS, LENGTH, ANSWERS = 20_000, 10, 12
# Different lists; a user gets the one that a hash of the id names.
_LISTS = 50_000
# Lines that are missing, and lines with an error: one in so many.
_MISSING, _FAILED = 1_000, 2_000
_PURCHASES_PER_PERSON = 0.5

_PROGRAM = {
    "recommendations": {
        "length": LENGTH,
        "min_length": 1,
        "rules": {"in_stock": "in_stock", "not_bought_in_days": 60, "max_per": {"brand": 4}},
        "fallback": ["popular"],
    },
    "braze": {"attribute": "recs", "update_existing_only": False},
    "warehouse": "warehouse",
}
_COLUMNS = {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long"}
_SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "fields": [{"name": name, "type": kind} for name, kind in _COLUMNS.items()],
    "version": "1.0",
}
_SQL = {
    "audience": "SELECT user_id, external_id, segment FROM people",
    "catalogue": "SELECT item_id, brand, in_stock FROM items",
    "interactions": "SELECT user_id, item_id, epoch(happened)::bigint AS timestamp FROM purchases "
    "WHERE happened >= '{{ data_interval_start }}' AND happened < '{{ data_interval_end }}'",
}


def write_program(include: Path) -> None:
    """Write the program file and its queries."""
    (include / "programs").mkdir(parents=True, exist_ok=True)
    (include / "sql" / NAME).mkdir(parents=True, exist_ok=True)
    (include / "schemas" / NAME).mkdir(parents=True, exist_ok=True)
    (include / "schemas" / NAME / "interactions.json").write_text(json.dumps(_SCHEMA))
    (include / "programs" / f"{NAME}.yaml").write_text(json.dumps(_PROGRAM))  # JSON is YAML
    for query, text in _SQL.items():
        (include / "sql" / NAME / f"{query}.sql").write_text(text)


def write_warehouse(file: Path, people: int) -> None:
    """Write a DuckDB file with people, items and purchases."""
    with duckdb.connect(str(file), config={"memory_limit": "2GB"}) as connection:
        connection.execute(
            f"""
            CREATE TABLE people AS SELECT 'user-' || n AS user_id, 'b-' || n AS external_id, 's' || n % 7 AS segment
            FROM range({people}) t(n);
            CREATE TABLE items AS SELECT 'item-' || n AS item_id, 'brand-' || n % 300 AS brand, n % 20 > 0 AS in_stock
            FROM range({ITEMS}) t(n);
            CREATE TABLE purchases AS SELECT 'user-' || hash(n) % {people} AS user_id,
                'item-' || hash(n + 1) % {ITEMS} AS item_id,
                TIMESTAMP '2026-11-21' - INTERVAL 1 MINUTE * (n % 60000)::INTEGER AS happened
            FROM range({int(people * _PURCHASES_PER_PERSON)}) t(n)
            """
        )


def write_answers(questions: Path, target: Path, work: Path) -> None:
    """Write the output of a job as Amazon Personalize does, in another order than its input."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": "2GB",
        "temp_directory": str(work),
        "preserve_insertion_order": False,
    }
    with duckdb.connect(config=config) as connection:
        connection.execute(
            f"""
            CREATE TABLE lists AS SELECT n, to_json({{
                recommendedItems: list_transform(range({ANSWERS}), lambda i: 'item-' || hash(n * 1000 + i) % {ITEMS}),
                scores: list_transform(range({ANSWERS}), lambda i: round(0.1 / (i + 1), 7))
            }})::VARCHAR AS answer FROM range({_LISTS}) t(n);
            COPY (
                SELECT '{{"input":{{"userId":"' || "userId" || '"}},"output":'
                    || CASE WHEN hash("userId") % {_FAILED} = 1 THEN '{{"recommendedItems":[]}},"error":"no data"}}'
                       ELSE answer || ',"error":null}}' END
                FROM read_json({quoted_path(questions)}, format = 'newline_delimited', columns = {{userId: 'VARCHAR'}})
                JOIN lists ON n = hash("userId") % {_LISTS}
                WHERE hash("userId") % {_MISSING} <> 0
            ) TO {quoted_path(target)} (FORMAT csv, HEADER false, DELIMITER '\t', QUOTE '', ESCAPE '')
            """
        )
