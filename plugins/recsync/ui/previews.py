"""The page that shows people's mails before they are sent.

Ids are sent in the body of a form, so that no URL, browser history or access log holds one.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
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
    form_headers,
    from_own_form,
    program_links,
)
from recsync.ui.mount import PREVIEW

router = APIRouter(default_response_class=HTMLResponse)
_TITLE = "Mail preview"
# Proxies before Airflow often wait a minute for an answer.
_MAX_SECONDS = 45.0
_MAX_PEOPLE = 50
_HEADERS = Depends(form_headers("data: https: http:"))


@router.get(PREVIEW)
def programs(programs: PeoplePrograms, address: Address) -> str:
    """Link to the page of each program."""
    return program_links(_TITLE, PREVIEW, programs, address)


@router.get(f"{PREVIEW}/{{program}}", dependencies=[_HEADERS])
def form(program: PeopleProgram, address: Address) -> str:
    """Show the form for the ids of people."""
    return _page(program, address)


@router.post(f"{PREVIEW}/{{program}}", dependencies=[_HEADERS, Depends(from_own_form)])
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
