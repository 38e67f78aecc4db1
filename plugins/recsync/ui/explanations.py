"""The page that says why a person has a list or none, and the table of all people without one.

Ids are sent in the body of a form, so that no URL, browser history or access log holds one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import HTMLResponse, StreamingResponse

from recsync.context import StageContext
from recsync.errors import DELIBERATE
from recsync.explain.explain import explain
from recsync.explain.explanation import Explanation, facts, named, put_by_text, score_text
from recsync.explain.without_list import csv_lines
from recsync.recommend.store import RecommendationsStore
from recsync.ui.access import (
    NOT_READ,
    Address,
    PeopleOfForm,
    PeopleProgram,
    PeoplePrograms,
    form_headers,
    from_own_form,
    program_links,
    render,
)
from recsync.ui.mount import EXPLAIN

router = APIRouter(prefix=EXPLAIN, default_response_class=HTMLResponse)
_TITLE = "Why this list"
_MAX_PEOPLE = 20
_HEADERS = Depends(form_headers())


@router.get("")
def programs(programs: PeoplePrograms, address: Address) -> str:
    """Link to the page of each program."""
    return program_links(_TITLE, EXPLAIN, programs, address)


@router.get("/{program}", dependencies=[_HEADERS])
def form(program: PeopleProgram, address: Address) -> str:
    """Show the form for the ids of people, and the number of people without a list by reason."""
    return _page(program, address)


@router.post("/{program}", dependencies=[_HEADERS, Depends(from_own_form)])
def explanations(program: PeopleProgram, address: Address, people: PeopleOfForm) -> str:
    """Explain the lists of the people of the form."""
    if len(people) > _MAX_PEOPLE:
        return _page(
            program, address, problem=f"At most {_MAX_PEOPLE} people at a time; make explain takes more."
        )
    try:
        return _page(program, address, people=people, found=explain(program, people))
    except (*DELIBERATE, *NOT_READ) as error:
        return _page(program, address, people=people, problem=str(error))


@router.get("/{program}/without-list.csv")
def without_list(program: PeopleProgram) -> StreamingResponse:
    """Send the people without a list and the reasons as CSV."""
    lines = csv_lines(program)
    try:
        # An HTTP error status is only possible before the first line is sent.
        first = next(lines)
    except (*DELIBERATE, *NOT_READ) as error:
        raise HTTPException(HTTPStatus.BAD_GATEWAY, f"The table could not be made. {error}") from error

    def everything() -> Iterator[bytes]:
        with closing(lines):
            yield first
            yield from lines

    headers = {"Content-Disposition": f'attachment; filename="{program}-without-list.csv"'}
    return StreamingResponse(everything(), media_type="text/csv; charset=utf-8", headers=headers)


def _page(
    program: str, address: str, *, people: list[str] | None = None, problem: str = "", found: Any = ()
) -> str:
    return render(
        "explanations.html",
        f"{_TITLE}: {program}",
        trail=[(_TITLE, f"{address}{EXPLAIN}")],
        action=f"{address}{EXPLAIN}/{program}",
        people=people or [],
        problem=problem,
        found=[_shown(each) for each in found],
        **_suppressed(program),
    )


def _shown(found: Explanation) -> dict[str, Any]:
    items = [
        {
            "position": place,
            "item_id": item.item_id,
            "name": item.name,
            "put_by": put_by_text(item),
            "score": score_text(item, found),
        }
        for place, item in enumerate(found.items, 1)
    ]
    return {
        "asked": found.asked,
        "summary": found.summary,
        "facts": list(facts(found)),
        "run": found.run.run if found.run else "",
        "listed": items,
        "left_out": [(rule, named(left)) for rule, left in (found.left_out or {}).items()],
        "unrecorded": found.in_audience and found.left_out is None,
        "bought": named(found.bought),
    }


def _suppressed(program: str) -> dict[str, Any]:
    """Count the people without a list in the newest run, by reason."""
    try:
        store = StageContext.of(program).store(RecommendationsStore)
        run = store.latest_run()
        manifest = store.manifest(run) if run else None
    except NOT_READ as error:
        return {"counts": [], "problem_of_run": str(error)}
    reasons = sorted(manifest.suppressed.items(), key=lambda pair: -pair[1]) if manifest else []
    return {"counts": reasons, "run": manifest}
