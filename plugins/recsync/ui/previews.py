"""The page that shows people's mails before they are sent.

Ids come in the body of a form, so that none stands in an address, a browser's history or a log of requests.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from recsync.errors import DELIBERATE
from recsync.preview.gallery import as_it_is, gallery
from recsync.preview.mails import preview
from recsync.ui.access import (
    NOT_READ,
    Address,
    PeopleOfForm,
    PeopleProgram,
    PeoplePrograms,
    from_own_form,
    render,
)
from recsync.ui.mount import PREVIEW

router = APIRouter(default_response_class=HTMLResponse)
_TITLE = "Mail preview"
# Proxies before Airflow often wait a minute for an answer.
_MAX_SECONDS = 45.0
_MAX_PEOPLE = 50


def _with_images(request: Request) -> None:
    """Let the page load pictures and send its form; a browser must tell where the form came from."""
    request.state.headers = {
        "Content-Security-Policy": (
            "default-src 'none'; style-src 'unsafe-inline'; img-src data: https: http:; base-uri 'none'; "
            "form-action 'self'; frame-ancestors 'self'"
        ),
        "Referrer-Policy": "same-origin",
    }


@router.get(PREVIEW)
def programs(programs: PeoplePrograms, address: Address) -> str:
    """List the programs whose mails the user may see."""
    cards = [(name, f"{address}{PREVIEW}/{name}") for name in programs]
    return render(
        "links.html", _TITLE, cards=cards, nothing="There is no program whose push DAG you may run."
    )


@router.get(f"{PREVIEW}/{{program}}", dependencies=[Depends(_with_images)])
def form(program: PeopleProgram, address: Address) -> str:
    """Ask whose mail to show."""
    return _page(program, address)


@router.post(f"{PREVIEW}/{{program}}", dependencies=[Depends(_with_images), Depends(from_own_form)])
def mails(program: PeopleProgram, address: Address, people: PeopleOfForm) -> str:
    """Show the mails of the people of the form, of the sample without any."""
    typed = "\n".join(people)
    if len(people) > _MAX_PEOPLE:
        problem = f"At most {_MAX_PEOPLE} people at a time; make preview takes more."
        return _page(program, address, people=typed, problem=problem)
    try:
        found = preview(program, people, seconds=_MAX_SECONDS)
    except (*DELIBERATE, *NOT_READ) as error:
        return _page(program, address, people=typed, problem=str(error))
    return _page(program, address, people=typed, found=found)


def _page(program: str, address: str, *, people: str = "", problem: str = "", found: Any = None) -> str:
    return gallery(
        found,
        f"{_TITLE} of {program}",
        template="form.html",
        trail=[(_TITLE, f"{address}{PREVIEW}")],
        action=f"{address}{PREVIEW}/{program}",
        people=as_it_is(people),
        problem=problem,
    )
