"""Who may see which program's pages, and how pages are rendered; for all pages in Airflow's API server."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
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
from recsync.context import StageContext
from recsync.errors import FatalError, RecsyncError
from recsync.export.link import report_route
from recsync.export.report_page.templates import environment
from recsync.program.files import program_files

# Their messages name the problem: a broken program file, a missing connection, a bucket that denies access.
NOT_READ = (RecsyncError, AirflowException, BotoCoreError)
# Documents are read at the same time: one by one, a page of deliveries takes seconds.
READERS = 8
_MAX_FORM_BYTES = 64_000
_ENVIRONMENT = environment(Path(__file__).parent)
_ENVIRONMENT.filters["report_route"] = report_route
_Check = Callable[[str, Request, GetUserDep], None]


def may_read(program: str, request: Request, user: GetUserDep) -> None:
    """Check that the user may read XComs of the program's export DAG, because a report shows values of rows.

    A program over the data of another one has no exports; its recommend DAG decides about the page of its model.

    :raises HTTPException: 403 if not.
    """
    stage = "export" if data_owner(program) is None else "recommend"
    requires_access_dag("GET", DagAccessEntity.XCOM, f"{program}_{stage}")(request, user)


def may_see_people(program: str, request: Request, user: GetUserDep) -> None:
    """Check that the user may trigger the program's push DAG: a user who may write to people may see their data.

    :raises HTTPException: 403 if not.
    """
    requires_access_dag("POST", DagAccessEntity.RUN, f"{program}_push")(request, user)


def _all_with(check: _Check) -> Callable[[Request, GetUserDep], list[str]]:
    """Return a dependency: the programs that pass the check, including those with a broken file."""

    def programs(request: Request, user: GetUserDep) -> list[str]:
        names = []
        for program in program_names():
            with suppress(HTTPException):
                check(program, request, user)
                names.append(program)
        return names

    return programs


def _one_with(check: _Check) -> Callable[[str, Request, GetUserDep], str]:
    """Return a dependency: the program in the URL, or HTTP 403 or 404."""

    def known(program: str, request: Request, user: GetUserDep) -> str:
        check(program, request, user)
        if program not in program_names():
            raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no program {program}.")
        return program

    return known


def address(request: Request) -> str:
    """Return the path where the pages are mounted, including a proxy's."""
    return str(request.scope.get("root_path", ""))


def form_headers(images: str = "data:") -> Callable[[Request], None]:
    """Return a dependency that sets headers for a page with a form: browsers then send the page's origin along.

    :param images: sources of images, as in a Content-Security-Policy.
    """

    def set_headers(request: Request) -> None:
        request.state.headers = {
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'unsafe-inline'; img-src {images}; base-uri 'none'; "
                "form-action 'self'; frame-ancestors 'self'"
            ),
            "Referrer-Policy": "same-origin",
        }

    return set_headers


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
# The programs that the user may read, and the one in the URL.
Programs = Annotated[list[str], Depends(_all_with(may_read))]
Program = Annotated[str, Depends(_one_with(may_read))]
# The same for pages that show data of people.
PeoplePrograms = Annotated[list[str], Depends(_all_with(may_see_people))]
PeopleProgram = Annotated[str, Depends(_one_with(may_see_people))]


def program_names() -> Sequence[str]:
    """Return the programs that have a file, a broken one too."""
    return [path.stem for path in program_files(settings.include_folder())]


def data_owner(program: str) -> str | None:
    """Return the program that owns its data; None when it is the program itself, or its file is broken."""
    try:
        return settings.program(program).data
    except RecsyncError:
        return None


@contextmanager
def document_errors() -> Generator[None]:
    """Turn parsing errors of a stored document into an error that a page can show.

    :raises FatalError: without content of the document.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise FatalError(
            f"A document on S3 is damaged, or of another version: {type(error).__name__} in "
            f"{Path(place.filename).name}, line {place.lineno}."
        ) from None


def card(program: str, read: Callable[[StageContext], dict[str, Any]]) -> dict[str, Any]:
    """Read what a page shows of one program; a problem is shown in its place and does not hide other programs."""
    try:
        with document_errors():
            return {"title": program, "program": program, **read(StageContext.of(program))}
    except NOT_READ as error:
        return {"title": program, "program": program, "problem": str(error)}


@contextmanager
def or_bad_gateway(what: str) -> Generator[None]:
    """Answer 502 when the page's document cannot be read."""
    try:
        with document_errors():
            yield
    except NOT_READ as error:
        raise HTTPException(HTTPStatus.BAD_GATEWAY, f"The {what} could not be read. {error}") from error


def program_links(title: str, route: str, programs: Sequence[str], address: str) -> str:
    """Render links to the page of each program below a route."""
    cards = [(name, f"{address}{route}/{name}") for name in programs]
    return render("links.html", title, cards=cards, nothing="There is no program whose push DAG you may run.")


def render(template: str, title: str, **values: Any) -> str:
    """Render a template of this folder."""
    return _ENVIRONMENT.get_template(template).render(title=title, **values)
