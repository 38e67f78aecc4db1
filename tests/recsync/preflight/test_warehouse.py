from __future__ import annotations

import duckdb

from recsync.preflight.warehouse import count_common, count_people
from recsync.warehouse.dialects import DUCKDB

AUDIENCE = "SELECT * FROM (VALUES ('1', 'a'), ('1', 'a'), ('2', 'a'), ('3', ''), ('4', NULL)) t(USER_ID, external_id)"


def test_people_rows_without_an_id_and_braze_users_are_counted() -> None:
    columns = {"user_id": "USER_ID", "external_id": "external_id"}
    assert duckdb.sql(count_people(AUDIENCE, columns, DUCKDB, "external_id")).fetchall() == [(4, 2, 2)]


def test_addresses_are_counted_as_braze_keeps_them() -> None:
    rows = "('1', 'A@example.com'), ('2', ' a@Example.com'), ('3', 'b@example.com')"
    audience = f"SELECT * FROM (VALUES {rows}) t(u, email)"
    columns = {"user_id": "u", "email": "email"}
    assert duckdb.sql(count_people(audience, columns, DUCKDB, "email")).fetchall() == [(3, 0, 2)]


def test_common_ids_are_compared_as_texts() -> None:
    numbers = "SELECT * FROM (VALUES (1), (2), (9)) t(id_of_user)"
    question = count_common(AUDIENCE, "USER_ID", numbers, "id_of_user", DUCKDB)
    assert duckdb.sql(question).fetchall() == [(2,)]
