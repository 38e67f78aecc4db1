from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsync.errors import ProgramError
from recsync.program import Program
from recsync.program.files import read_program
from recsync.program.filters import (
    MAX_CHARACTERS,
    check_expression,
    placeholders,
    render_expression,
    subject_of,
)
from recsync.program.parse import parse_program
from recsync.recommend.filters import active_filter

MORNING = datetime(2026, 11, 19, 5, 30, 7, tzinfo=UTC)


MIDNIGHT = int(datetime(2026, 11, 19, tzinfo=UTC).timestamp())


def program(name: str = "shop", **filters: Any) -> Program:
    return parse_program(name, {"braze": {"attribute": "recs"}, "filters": filters})


def rendered(template: str, moment: datetime = MORNING) -> str:
    return render_expression(template, moment)


def test_moments_are_rounded_to_the_day_unless_said_otherwise() -> None:
    assert rendered("{{ epoch(data_interval_end) }}") == str(MIDNIGHT)
    assert rendered("{{ epoch(data_interval_end - days(30)) }}") == str(MIDNIGHT - 30 * 86_400)
    assert rendered("{{ epoch(data_interval_end, to='hour') }}") == str(MIDNIGHT + 5 * 3_600)
    assert rendered("{{ epoch(data_interval_end - hours(6), 'hour') }}") == str(MIDNIGHT - 3_600)
    # The 16th was a Monday.
    assert rendered("{{ epoch(data_interval_end + weeks(1), to='week') }}") == str(MIDNIGHT + 4 * 86_400)
    same = MORNING.astimezone(timezone(timedelta(hours=-11)))
    assert rendered("{{ epoch(data_interval_end) }}", same) == str(MIDNIGHT)


def test_white_space_is_one_space_but_stays_in_texts() -> None:
    assert rendered("INCLUDE  ItemID\n WHERE Items.A IN\t('a  b', \"c\n\")\n") == (
        "INCLUDE ItemID WHERE Items.A IN ('a  b', \"c\n\")"
    )


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("INCLUDE ItemID WHERE Items.A > {{ epoch(data_interval_end - days(30) }}", "not a valid template"),
        ("INCLUDE ItemID WHERE Items.A > {{ epoch(ds) }}", "data_interval_end, hours(n)"),
        ("INCLUDE ItemID WHERE Items.A > {{ epoch(30) }}", "needs a moment"),
        (
            "INCLUDE ItemID WHERE Items.A > {{ epoch(data_interval_end, to='month') }}",
            "'week', not to 'month'",
        ),
        (
            "INCLUDE ItemID WHERE Items.A > {{ epoch(data_interval_end - days(10 ** 9)) }}",
            "not a valid template",
        ),
        ("INCLUDE ItemID WHERE Items.A > {{ data_interval_end.timestamp() }}", "changes within an hour"),
        ("INCLUDE ItemID WHERE Items.A IN ('" + "x" * MAX_CHARACTERS + "')", f"takes 1 to {MAX_CHARACTERS}"),
        (" ", "has 0 characters"),
        ("Items.A > 3", "does not begin with INCLUDE or EXCLUDE"),
        ("INCLUDE ItemID WHERE Items.A > 3 |", "does not begin with INCLUDE or EXCLUDE"),
        ("INCLUDE ItemID WHERE Items.A > 3 | EXCLUDE UserID WHERE Users.B = 1", "about ItemID and UserID"),
        ("INCLUDE ItemID WHERE Items.A NOT IN ('x', $G)", "$G with NOT IN"),
    ],
)
def test_an_expression_that_cannot_work_is_refused(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check_expression(expression)


def test_placeholders_and_subject_are_read_past_texts() -> None:
    text = "exclude itemid where Items.A in ('$NO', $YES, $two_2) | INCLUDE ItemID WHERE Items.B < $YES"
    assert placeholders(text) == ("YES", "two_2")
    assert subject_of(check_expression(text)) == "ItemID"
    assert check_expression("INCLUDE ItemID WHERE Items.A IN ('a | b')")


def refused(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "shop.yaml"
    path.write_text("braze: {attribute: recs}\n" + text)
    with pytest.raises(ProgramError) as caught:
        read_program(path, tmp_path)
    return list(caught.value.problems)


def test_problems_name_file_line_and_field(tmp_path: Path) -> None:
    (broken,) = refused(
        tmp_path, "filters:\n  recommend:\n    expression: INCLUDE ItemID WHERE Items.A > {{ x }}\n"
    )
    assert broken.startswith(
        "shop.yaml:4: filters.recommend.expression: is not a valid template: 'x' is undefined"
    )
    lines = "filters:\n  recommend:\n    expression: INCLUDE ItemID WHERE Items.A IN ($A, $B)\n    values: {A: a}\n"
    (missing,) = refused(tmp_path, lines)
    assert missing.startswith("shop.yaml:3: filters.recommend: values names no column of audience.sql for $B")
    (unused,) = refused(tmp_path, lines.replace("{A: a}", "{A: a, B: b, C: c}"))
    assert "values names C" in unused
    (column,) = refused(tmp_path, lines.replace("{A: a}", "{A: a, B: lower(b)}"))
    assert column.startswith("shop.yaml:5: filters.recommend.values.B: must be the name of a column")


def test_a_filter_of_something_else_than_the_recipe_answers_is_refused(tmp_path: Path) -> None:
    text = "filters:\n  recommend: {expression: 'EXCLUDE UserID WHERE Users.A = 1'}\n"
    (line,) = refused(tmp_path, text)
    assert line.startswith(
        "shop.yaml:3: filters.recommend.expression: is about UserID, but aws-user-personalization"
    )
    filtered = "filters:\n  recommend:\n    expression: INCLUDE ItemID WHERE Items.A = $A\n"
    related = "personalize: {recipe: aws-sims}\n" + filtered
    (line,) = refused(tmp_path, related + "    values: {A: a}\n")
    assert line.startswith("shop.yaml:6: filters.recommend.values: aws-sims is not asked about single people")


def test_the_example_of_the_page_is_sound() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "filters.md").read_text()
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    read = yaml.safe_load(example)["filters"]
    shop = program(**read)
    planned = active_filter(shop, MORNING)
    assert planned is not None
    assert f"> {MIDNIGHT - 30 * 86_400} AND" in planned.expression
    assert placeholders(planned.expression) == ("CATEGORY",)
