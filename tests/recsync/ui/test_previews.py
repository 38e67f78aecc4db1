"""The page of mails: who may see it, and where ids go."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest

from recsync.preview.mails import Mail, Preview
from recsync.preview.sample import Chosen

PAGE = "/recsync/preview/grocery"


@pytest.fixture
def send(send_form: Any):
    """Send the form as a user of a role."""
    return partial(send_form, PAGE)


@pytest.fixture
def asked(monkeypatch):
    """Note whose mails are asked for; what the mails hold is tested with the preview."""
    from recsync.ui import previews

    calls: list[Any] = []

    def preview(program, people, *, seconds):
        calls.append((program, list(people)))
        mails = tuple(
            Mail(Chosen("a person you named", person), "<p>Mail</p>", in_braze=["a"]) for person in people
        )
        return Preview(program, "run", mails)

    monkeypatch.setattr(previews, "preview", preview)
    return calls


@pytest.mark.parametrize("role", ["op", "admin", "user"])
def test_who_may_start_the_push_sees_the_mails_of_the_ids_in_the_form(send, asked, role, caplog):
    with caplog.at_level(logging.DEBUG):
        answer = send("c-17\r\n\r\nc-18 ", role)
    assert answer.status_code == 200
    assert asked == [("grocery", ["c-17", "c-18"])]
    assert answer.text.count('<iframe sandbox=""') == 8
    assert ">c-17\nc-18</textarea>" in answer.text
    assert "c-17" not in str(answer.url)
    assert "c-17" not in caplog.text
    assert answer.headers["cache-control"] == "no-store, private"


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), (None, 401)])
def test_others_see_nothing(send, visit, asked, role, status):
    assert send("c-17", role).status_code == status
    assert visit(PAGE, role).status_code == status
    assert asked == []


def test_the_list_of_programs_holds_those_whose_push_the_user_may_start(visit):
    assert f'href="/airflow{PAGE}"' in visit("/recsync/preview", "op").text
    assert "no program whose push DAG you may run" in visit("/recsync/preview", "viewer").text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site", "origin": "http://testserver"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://testserver"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({}, 403),
    ],
)
def test_a_form_of_another_site_is_refused(send, asked, headers, status):
    assert send("c-17", headers=headers).status_code == status
    assert bool(asked) == (status == 200)


def test_the_form_forbids_scripts_and_tells_its_origin(visit):
    answer = visit(PAGE, "op")
    assert 'method="post" action="/airflow/recsync/preview/grocery"' in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data: https: http:; ")
    assert "form-action 'self'" in policy
    assert "script" not in policy
    assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("body", "status", "found"),
    [
        (urlencode({"people": "x" * 70_000}), 413, "more than 64 KB"),
        (urlencode({"people": "\n".join(map(str, range(51)))}), 200, "At most 50 people"),
    ],
)
def test_a_form_that_is_too_large_is_refused(send, asked, body, status, found):
    answer = send(body=body)
    assert (answer.status_code, found in answer.text) == (status, True)
    assert asked == []


def test_a_program_that_is_not_there(visit):
    assert visit("/recsync/preview/nowhere", "op").status_code == 404


def test_what_went_wrong_is_told_on_the_page(send):
    # Nothing is published here.
    answer = send()
    assert answer.status_code == 200
    assert "has published no lists yet" in answer.text
