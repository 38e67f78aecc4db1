from __future__ import annotations

import pytest
from pydantic import ValidationError

from recsync.program.section import (
    AssetUri,
    CronExpression,
    IncludePath,
    Strict,
    TimeZone,
    one_of,
    with_minute,
)


class Section(Strict):
    sql: IncludePath = ""
    cron: CronExpression = "0 * * * *"
    zone: TimeZone = "UTC"
    asset: AssetUri = "s3://bucket/key"


def test_an_unknown_field_and_a_path_outside_include_are_refused() -> None:
    assert Section(sql="shop/items.sql").sql == "shop/items.sql"
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Section.model_validate({"spl": "x"})
    for path in ("/etc/passwd", "../secrets.sql"):
        with pytest.raises(ValidationError, match="must be a path below include/"):
            Section(sql=path)


def test_one_of_suggests_the_choice_that_was_most_likely_meant() -> None:
    assert one_of("b", ("a", "b"), "letter") == "b"
    with pytest.raises(ValueError, match=r"^did you mean daily\? There are the words daily, weekly$"):
        one_of("dayly", ("daily", "weekly"), "word")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cron": "@daily"}, r"must be a cron expression: .*; write '0 5 \* \* \*'"),
        ({"cron": "0 0 30 2 *"}, "names a day that no month has"),
        ({"zone": "Europe/Belin"}, r"did you mean Europe/Berlin\?"),
        ({"asset": "orders"}, "must be the URI of an Airflow asset"),
        ({"asset": "airflow://x"}, "which Airflow keeps for itself"),
        ({"asset": "postgres://me:secret@host/db"}, "must hold no password"),
        ({"asset": "s3:///key"}, "must name a bucket after s3://"),
    ],
)
def test_texts_of_another_form_are_refused_with_a_suggestion(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Section.model_validate(fields)


def test_the_minute_of_a_cron_can_be_left_to_the_program() -> None:
    assert Section(cron="H 3 * * 0").cron == "H 3 * * 0"
    assert with_minute("H 3 * * 0", "17") == "17 3 * * 0"
    assert with_minute("5 3 * * 0", "17") == "5 3 * * 0"
