"""The page that explains lists: who may see it, and where ids go."""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from typing import Any

import pytest

from recsync.errors import FatalError
from recsync.explain.explanation import Explanation, Item, Run
from recsync.recommend.store import RecommendationsManifest

PAGE = "/recsync/explain/grocery"
TABLE = f"{PAGE}/without-list.csv"
RUN = RecommendationsManifest(
    "r1", "2026-11-30T05:00:00+00:00", "", "", 10, 7, {"too <few>": 2, "no line": 1}, 5
)


@pytest.fixture
def send(send_form: Any):
    """Send the form as a user of a role."""
    return partial(send_form, PAGE)


@pytest.fixture
def asked(monkeypatch):
    """Note who is asked for; what is told of them is tested with the feature."""
    from recsync.ui import explanations

    calls: list[Any] = []

    def explain(program, people):
        calls.append((program, list(people)))
        if people == ["broken"]:
            raise FatalError("Nothing can be read.")
        run = Run("r1", "2026-11-30", "shop/v", "", 10, 7)
        return [
            Explanation(
                program, person, "external_id", person, f"b-{person}", run=run, in_audience=True,
                items=(Item("i1", "<One>", 0.25, "new_items_share"), Item("i3")), with_scores=True,
                left_out={"bought": (Item("i2", "Two"),)},
            )
            for person in people
        ]  # fmt: skip

    monkeypatch.setattr(explanations, "explain", explain)
    return calls


@pytest.mark.parametrize("role", ["op", "admin", "user"])
def test_who_may_start_the_push_sees_why(send, asked, role, caplog):
    with caplog.at_level(logging.DEBUG):
        answer = send("c-17\r\n\r\nc-18 ", role)
    assert answer.status_code == 200
    assert asked == [("grocery", ["c-17", "c-18"])]
    for shown in (
        "b-c-18",
        "The list is published and was not pushed yet.",
        "&lt;One&gt;",
        "0.2500000",
        "i2  Two",
        "<td>new_items_share</td>",
        "<td>not recorded</td>",
    ):
        assert shown in answer.text
    assert ">c-17\nc-18\n</textarea>" in answer.text
    assert "c-17" not in str(answer.url) + caplog.text
    assert answer.headers["cache-control"] == "no-store, private"
    assert "script" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), (None, 401)])
def test_others_see_nothing(send, visit, asked, role, status):
    assert send("c-17", role).status_code == status
    assert visit(PAGE, role).status_code == status
    assert visit(TABLE, role).status_code == status
    assert asked == []


def test_a_form_of_another_site_is_refused(send, asked):
    assert send("c-17", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert asked == []


def test_too_many_people_and_errors_are_told_on_the_page(send, asked):
    assert "At most 20 people" in send("\n".join(map(str, range(21)))).text
    assert asked == []
    assert "Nothing can be read." in send("broken").text


def test_the_people_without_a_list_are_counted_and_can_be_downloaded(visit, put, monkeypatch):
    from recsync.ui import explanations

    assert "has published no recommendations yet" in visit(PAGE, "op").text
    put("grocery/recommendations/r1/manifest.json", asdict(RUN))
    page = visit(PAGE, "op").text
    assert "7 of 10 people have a list" in page
    assert page.index("too &lt;few&gt;") < page.index("no line")
    assert f'href="/airflow{TABLE}"' in page
    closed = []

    def csv_lines(program):
        try:
            yield b"user_id\r\n"
            yield b"c-17\r\n"
        finally:
            closed.append(program)

    monkeypatch.setattr(explanations, "csv_lines", csv_lines)
    answer = visit(TABLE, "op")
    assert (answer.status_code, answer.text) == (200, "user_id\r\nc-17\r\n")
    assert answer.headers["content-disposition"] == 'attachment; filename="grocery-without-list.csv"'
    assert answer.headers["cache-control"] == "no-store, private"
    assert closed == ["grocery"]


def test_a_table_that_cannot_be_made_is_an_error(visit):
    answer = visit(TABLE, "op")
    assert answer.status_code == 502
    assert "has published no recommendations" in answer.text


def test_the_programs_are_those_whose_push_the_user_may_start(visit):
    assert f'href="/airflow{PAGE}"' in visit("/recsync/explain", "op").text
    assert "no program whose push DAG you may run" in visit("/recsync/explain", "viewer").text
    assert visit("/recsync/explain/nowhere", "op").status_code == 404
