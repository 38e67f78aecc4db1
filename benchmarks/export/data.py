"""What is exported: tables made by the warehouse itself, and the program that exports them.

Everything follows from the row's number. A row is about 43 bytes of CSV; users have 50 events each.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

EVENTS_PER_USER = 50
ITEMS = 20_000
# The export asks for everything between these; the events are of the last year.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime.fromtimestamp(1_763_798_400, UTC)
_SECONDS_PER_YEAR = 31_536_000
# Coprime to the seconds of a year, so that no two events share a second.
_STRIDE = 7_919
COLUMNS = ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE")


def table_statements(rows: int) -> list[str]:
    """Return the SQL that makes the tables of one size."""
    users = max(rows // EVENTS_PER_USER, 2)
    return [
        "CREATE SCHEMA IF NOT EXISTS bench",
        f"""CREATE TABLE bench.interactions_{rows} AS
        SELECT 'u' || lpad((n * 2654435761 % {users})::text, 7, '0') AS user_id,
            'item-' || lpad((n * 40503 % {ITEMS})::text, 5, '0') AS item_id,
            to_timestamp({END.timestamp():.0f} - 1 - n * {_STRIDE} % {_SECONDS_PER_YEAR}) AS happened_at,
            (ARRAY['view', 'click', 'cart', 'purchase', 'wish'])[1 + n % 5] AS event_type,
            (n * 31 % 10000 / 100.0)::double precision AS event_value
        FROM generate_series(1::bigint, {rows}) AS n""",
        f"""CREATE TABLE bench.users_{rows} AS
        SELECT 'u' || lpad(n::text, 7, '0') AS user_id, 'group ' || n % 7 AS age
        FROM generate_series(0, {users - 1}) AS n""",
        f"""CREATE TABLE bench.items_{rows} AS
        SELECT 'item-' || lpad(n::text, 5, '0') AS item_id, (n % 1000)::double precision AS price
        FROM generate_series(0, {ITEMS - 1}) AS n""",
    ]


def select(rows: int, since: str, until: str) -> str:
    """Return the query of the interactions."""
    return (
        "SELECT user_id, item_id, floor(extract(epoch FROM happened_at))::bigint AS timestamp, event_type, event_value "
        f"FROM bench.interactions_{rows} WHERE happened_at >= '{since}' AND happened_at < '{until}'"
    )


def write_program(include: Path, rows: int, *, checked: bool, hourly: bool = False) -> str:
    """Write the files of a program that exports the tables of one size.

    :param hourly: without users and items, which would come whole in each hour.
    :returns: its name.
    """
    name = f"bench-{rows}-{'checked' if checked else 'unchecked'}"
    datasets = ("interactions",) if hourly else ("interactions", "users", "items")
    files = {
        f"sql/{name}/interactions.sql": select(rows, "{{ data_interval_start }}", "{{ data_interval_end }}"),
        f"sql/{name}/users.sql": f"SELECT * FROM bench.users_{rows}",
        f"sql/{name}/items.sql": f"SELECT * FROM bench.items_{rows}",
        f"sql/{name}/audience.sql": f"SELECT user_id FROM bench.users_{rows}",
        f"sql/{name}/catalogue.sql": f"SELECT item_id FROM bench.items_{rows}",
        f"programs/{name}.yaml": json.dumps(
            {
                "datasets": {kind: {} for kind in datasets},
                "checks": {"enabled": checked},
                "braze": {"attribute": "recs"},
            }
        ),
        **{f"schemas/{name}/{kind}.json": json.dumps(schema) for kind, schema in _schemas().items()},
    }
    for path, text in files.items():
        target = include / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return name


def _schemas() -> dict[str, dict[str, Any]]:
    kinds: dict[str, list[dict[str, Any]]] = {
        "Interactions": [
            {"name": "USER_ID", "type": "string"},
            {"name": "ITEM_ID", "type": "string"},
            {"name": "TIMESTAMP", "type": "long"},
            {"name": "EVENT_TYPE", "type": "string"},
            {"name": "EVENT_VALUE", "type": ["null", "float"]},
        ],
        "Users": [
            {"name": "USER_ID", "type": "string"},
            {"name": "AGE", "type": ["null", "string"], "categorical": True},
        ],
        "Items": [{"name": "ITEM_ID", "type": "string"}, {"name": "PRICE", "type": ["null", "float"]}],
    }
    head = {"type": "record", "namespace": "com.amazonaws.personalize.schema", "version": "1.0"}
    return {name.lower(): {**head, "name": name, "fields": fields} for name, fields in kinds.items()}
