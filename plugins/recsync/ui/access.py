"""Who may see which program's pages, and how pages are rendered; for all pages in Airflow's API server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.providers.common.compat.sdk import AirflowException
from botocore.exceptions import BotoCoreError
from fastapi import Depends, HTTPException, Request

from recsync import settings
from recsync.errors import RecsyncError
from recsync.export.link import report_route
from recsync.export.report_page.templates import environment
from recsync.program.files import program_files

# Their messages name the problem: a broken program file, a missing connection, a bucket that denies access.
NOT_READ = (RecsyncError, AirflowException, BotoCoreError)
_MAX_FORM_BYTES = 64_000
_ENVIRONMENT = environment(Path(__file__).parent)
_ENVIRONMENT.filters["report_route"] = report_route


def may_read(program: str, request: Request, user: GetUserDep) -> None:
    """Check that the user may read XComs of the program's export DAG, because a report shows values of rows.

    A program over the data of another one has no exports; its recommend DAG decides about the page of its model.

    :raises HTTPException: 403 if not.
    """
    stage = "export" if data_owner(program) is None else "recommend"
    requires_access_dag("GET", DagAccessEntity.XCOM, f"{program}_{stage}")(request, user)


def programs(request: Request, user: GetUserDep) -> list[str]:
    """Return the programs that the user may read, including those with a broken file."""
    names = []
    for program in program_names():
        with suppress(HTTPException):
            may_read(program, request, user)
            names.append(program)
    return names


def known(program: str, request: Request, user: GetUserDep) -> str:
    """Return the program of the address.

    :raises HTTPException: 403 when the user may not read it, 404 when it does not exist.
    """
    may_read(program, request, user)
    if program not in program_names():
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no program {program}.")
    return program


def address(request: Request) -> str:
    """Return the path where the pages are mounted, including a proxy's."""
    return str(request.scope.get("root_path", ""))


def may_see_people(program: str, request: Request, user: GetUserDep) -> None:
    """Check that the user may start the program's push DAG: who may write to people may see what they get.

    :raises HTTPException: 403 if not.
    """
    requires_access_dag("POST", DagAccessEntity.RUN, f"{program}_push")(request, user)


def people_programs(request: Request, user: GetUserDep) -> list[str]:
    """Return the programs whose people the user may see."""
    names = []
    for program in program_names():
        with suppress(HTTPException):
            may_see_people(program, request, user)
            names.append(program)
    return names


def known_people_program(program: str, request: Request, user: GetUserDep) -> str:
    """Return the program of the address, whose people the user may see.

    :raises HTTPException: 403 when the user may not, 404 when it does not exist.
    """
    may_see_people(program, request, user)
    if program not in program_names():
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no program {program}.")
    return program


def from_own_form(request: Request) -> None:
    """Refuse a form that another site's page sent with the user's cookie.

    Browsers name the sender in Sec-Fetch-Site over HTTPS and on the own machine, and in Origin elsewhere.
    https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site

    :raises HTTPException: 403.
    """
    site = request.headers.get("sec-fetch-site")
    origin = urlsplit(request.headers.get("origin", "")).netloc
    if site != "same-origin" if site else origin != request.headers.get("host"):
        raise HTTPException(HTTPStatus.FORBIDDEN, "The form was not sent from this page: open it in Airflow.")


async def people_of_form(request: Request) -> list[str]:
    """Read the ids of the field ``people``, one a line, from the body of a form.

    :raises HTTPException: 413 when it is too large.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The form holds more than {_MAX_FORM_BYTES // 1000} KB."
            )
    text = parse_qs(body.decode(errors="replace")).get("people", [""])[0]
    return [line.strip() for line in text.splitlines() if line.strip()]


Address = Annotated[str, Depends(address)]
PeopleOfForm = Annotated[list[str], Depends(people_of_form)]
Programs = Annotated[list[str], Depends(programs)]
Program = Annotated[str, Depends(known)]
PeoplePrograms = Annotated[list[str], Depends(people_programs)]
PeopleProgram = Annotated[str, Depends(known_people_program)]


def program_names() -> Sequence[str]:
    """Return the programs that have a file, a broken one too."""
    return [path.stem for path in program_files(settings.include_folder())]


def data_owner(program: str) -> str | None:
    """Return the program whose data it uses; None when it has its own, or its file is broken."""
    try:
        return settings.program(program).data
    except RecsyncError:
        return None


def render(template: str, title: str, **values: Any) -> str:
    """Render a template of this folder."""
    return _ENVIRONMENT.get_template(template).render(title=title, **values)
