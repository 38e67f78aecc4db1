from __future__ import annotations

import json

import pytest
from psycopg.conninfo import conninfo_to_dict

from warehouse_local.dsn import connect, dsn_from_environment, make_dsn, to_dsn
from warehouse_local.errors import DsnError

PARTS = {"host": "h", "port": "5433", "user": "u", "password": "p@/: %", "dbname": "d"}
DSN = make_dsn("h", 5433, "u", "p@/: %", "d")


def test_every_character_of_a_password_survives() -> None:
    assert conninfo_to_dict(DSN) == PARTS


@pytest.mark.parametrize(
    "given",
    [
        DSN,
        DSN.replace("postgresql://", "postgres://"),
        DSN.replace("postgresql://", "postgresql+psycopg2://"),
        DSN + "?__extra__=%7B%7D",
        json.dumps(
            {
                "conn_type": "postgres",
                "host": "h",
                "port": 5433,
                "login": "u",
                "password": "p@/: %",
                "schema": "d",
            }
        ),
    ],
)
def test_all_the_forms_people_have(given: str) -> None:
    assert conninfo_to_dict(to_dsn(given)) == PARTS


@pytest.mark.parametrize("given", ["redshift://u:secret@h/d", '{"conn_type": "redshift"}', "{", "h:5432"])
def test_what_is_no_postgres_connection_is_refused_without_showing_it(given: str) -> None:
    with pytest.raises(DsnError) as caught:
        to_dsn(given)
    assert "secret" not in str(caught.value)


def test_the_environment_is_asked_in_order() -> None:
    assert dsn_from_environment({}) is None
    assert dsn_from_environment({"AIRFLOW_CONN_WAREHOUSE": "postgres://a/b"}) == "postgresql://a/b"
    both = {"AIRFLOW_CONN_WAREHOUSE": "postgres://a/b", "WAREHOUSE_DSN": "postgresql://c/d"}
    assert dsn_from_environment(both) == "postgresql://c/d"


def test_a_server_that_does_not_answer_is_named(free_tcp_port: int) -> None:
    with pytest.raises(DsnError, match=f"does not answer.*{free_tcp_port}"):
        connect(make_dsn("127.0.0.1", free_tcp_port, "u", "p", "d"))


def test_sessions_speak_utc(dsn: str) -> None:
    with connect(dsn) as connection:
        assert connection.execute("SELECT '2024-01-01 10:00'::timestamptz::text").fetchone() == (
            "2024-01-01 10:00:00+00",
        )
