"""Check a program before anything is billed: ``python -m recsync.preflight.run PROGRAM``.

``make preflight`` runs it, and the first task of ``train_full`` and ``recommend``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import structlog

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.hooks.personalize_runtime import PUT_EVENTS, PersonalizeEventsHook
from airflow_personalize.resource import State, state_of
from airflow_personalize.resources import DATASET_GROUP, DATASET_IMPORT_JOB
from braze_client.client import BrazeClient
from braze_client.errors import BrazeDenied, BrazeUnclear
from recsync import settings
from recsync.context import StageContext
from recsync.errors import DELIBERATE, FATAL, FatalError
from recsync.experiments.enrolment import check_layer
from recsync.formatting import did_you_mean
from recsync.preflight.findings import Findings
from recsync.preflight.warehouse import check_warehouse
from recsync.program import Catalog, Program, names
from recsync.program.files import (
    SUFFIX,
    experiment_problems,
    missing_programs,
    program_files,
    program_yaml,
    read_programs,
    shared_problems,
)
from recsync.program.problems import Field
from recsync.push.braze_hook import BrazeHook
from recsync.push.store import LastSent
from recsync.settings import connection

log = logging.getLogger(__name__)

# Import jobs under way in a region; not adjustable. https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MAX_IMPORTS = 5
_TRIES = 2
_NO_TRACKER = "00000000-0000-0000-0000-000000000000"


def preflight(program_name: str) -> str:
    """Check everything that a run of the program needs, and return a summary.

    :raises FatalError: with every problem, one line each: file, line, field, mistake and remedy.
    :raises RetriableError: there is no problem, but a service could not be reached.
    """
    findings = look(program_name)
    for note in findings.notes:
        log.warning("%s", note)
    findings.raise_any()
    return _summary(program_name, findings, 0)


def look(program_name: str) -> Findings:
    """Check everything that a run of the program needs, and return the findings.

    :raises FatalError: there is no such program, or its file is wrong.
    """
    path = settings.include_folder() / "programs" / f"{program_name}{SUFFIX}"
    if not path.is_file():
        names = [each.stem for each in program_files(settings.include_folder())]
        raise FatalError(
            f"There is no include/programs/{program_name}{SUFFIX}; there are {', '.join(names) or 'none'}"
            + (did_you_mean(program_name, names) or ".")
        )
    context, moment = StageContext.of(program_name), datetime.now(UTC)
    findings = Findings(program_yaml(path))
    _check_shared_names(context, findings)
    there = _check_connections(context, findings)
    if context.program.warehouse in there:
        check_warehouse(context, findings, moment)
    _check_bucket(context, findings)
    _check_experiment(context, findings, moment)
    _check_identifier(context, findings)
    _check_personalize(context, findings)
    _check_streaming(context, findings)
    if context.program.braze.connection in there:
        _check_braze(context, findings)
    return findings


def _summary(program_name: str, findings: Findings, wrong: int) -> str:
    checked = f" ({', '.join(findings.checked)})" if findings.checked else ""
    return f"{program_name}: {wrong or 'no'} problem{'' if wrong == 1 else 's'}{checked}"


def main(program_name: str) -> int:
    """Print every problem; return 1 when there is one, or when a check failed for the moment."""
    started = time.monotonic()
    try:
        findings = look(program_name)
    except DELIBERATE as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for note in findings.notes:
        sys.stderr.write(f"note: {note}\n")
    problems = dict.fromkeys([*findings.problems, *findings.unreachable])
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    seconds = time.monotonic() - started
    sys.stdout.write(f"{_summary(program_name, findings, len(problems))} ({seconds:.1f} s)\n")
    return 1 if problems else 0


def command() -> int:
    """Run as a command, with the program's name as its first argument."""
    # Hide the libraries' log lines. Not in main(): tests call it in a process of many DAGs.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return main(sys.argv[1])


def connections_of(program: Program) -> dict[Field, str]:
    """Return the Airflow connections that a program names, by field."""
    named: dict[Field, str] = {
        ("warehouse",): program.warehouse,
        ("braze", "connection"): program.braze.connection,
    }
    # Without a connection of this name, the AWS hooks take the credentials of the machine.
    if program.aws != "aws_default":
        named["aws",] = program.aws
    for place, alert in enumerate(program.alerts):
        named["alerts", place, "connection"] = alert.connection
    return named


def _check_connections(context: StageContext, findings: Findings) -> set[str]:
    """Resolve every connection that the program names, and return those that exist."""
    there = set()
    for field, conn_id in connections_of(context.program).items():
        with findings.collecting(field):
            connection(conn_id, field=".".join(map(str, field)))
            there.add(conn_id)
    return there


def _check_shared_names(context: StageContext, findings: Findings) -> None:
    """Compare the program with the others; two connections with one host and key are one workspace.

    Programs that its rules and its experiment name must exist.
    """
    include = settings.include_folder()
    sound, _ = read_programs(include)
    findings.problems += shared_problems(sound, include, _workspace).get(context.program.name, ())
    for find in (missing_programs, experiment_problems):
        findings.problems += find(sound, include).get(context.program.name, ())


def _check_experiment(context: StageContext, findings: Findings, moment: datetime) -> None:
    """Check that the experiment may run with its shares beside what its layer's document says."""
    if context.program.experiment is None:
        return
    with findings.collecting(("experiment",)):
        check_layer(context, moment)
        findings.checked.append("experiment")


def _workspace(program: Program) -> str:
    try:
        return BrazeHook(program.braze.connection).workspace
    except FATAL:  # reported by _check_connections, or by the other program's own preflight
        return program.braze.connection


def _check_bucket(context: StageContext, findings: Findings) -> None:
    """Check that the bucket can be written to and that a role is named."""
    with findings.collecting(("bucket",)):
        context.bucket.check_writable(context.keys.state("preflight"))
        findings.checked.append(f"bucket {context.bucket.name}")
    with findings.collecting(("role_arn",)):
        settings.role_arn_of(context.program)


def _check_identifier(context: StageContext, findings: Findings) -> None:
    """Say what another ``braze.identifier`` than that of the last delivery brings."""
    with findings.collecting(("braze", "identifier")):
        state, _ = context.store(LastSent).read()
        now = context.program.braze.known_by.tag
        if state.table and state.identifier != now:
            findings.notes.append(
                f"The last delivery named people by {state.identifier}, and the program file by {now}: the next push "
                "writes everybody in the audience again (a resync). Whoever is no longer in the audience then keeps "
                "what Braze has; to remove that too, push once with the former identifier and an audience without them."
            )


def _check_personalize(context: StageContext, findings: Findings) -> None:
    """Check the quotas of dataset groups and of import jobs under way."""
    program, quota = context.program, settings.dataset_groups_quota()
    with findings.collecting(("aws",)):
        hook = PersonalizeHook(aws_conn_id=program.aws)
        groups = [group["name"] for group in hook.listed(DATASET_GROUP)]
        missing = names.dataset_group_name(program) not in groups
        if missing and program.data:
            findings.notes.append(
                f"There is no dataset group {program.data} yet: run {program.data}_train_full first, whose data "
                f"{program.name} uses."
            )
        elif missing and len(groups) >= quota:
            findings.add(
                ("aws",),
                f"the account has {len(groups)} dataset groups in its region ({', '.join(sorted(groups))}), and its "
                f"quota is {quota}: there is no room for {program.name}. Delete one that is not used, or ask AWS for "
                f"more and set AIRFLOW__RECSYNC__DATASET_GROUPS_QUOTA to the new number",
            )
        under_way = sum(state_of(job) is State.PENDING for job in hook.listed(DATASET_IMPORT_JOB))
        if under_way >= _MAX_IMPORTS:
            findings.notes.append(
                f"{under_way} import jobs are under way in the account, as many as Amazon Personalize takes: the run "
                "waits for one of them to end."
            )
        findings.checked.append(f"{len(groups)} of {quota} dataset groups")


def _check_streaming(context: StageContext, findings: Findings) -> None:
    """Check the permission of PutEvents with a call to a tracker that does not exist: no role allows a dry run."""
    if not context.program.streams:
        return
    hook, moment = PersonalizeEventsHook(aws_conn_id=context.program.aws), int(time.time())
    event = {"userId": "preflight", "itemId": "preflight", "eventType": "preflight", "sentAt": moment}
    with findings.collecting(("personalize", "update_by")):
        # The refusal of the tracking id is what a role with the permission gets.
        hook.put(PUT_EVENTS, _NO_TRACKER, [event], on_refused=lambda *_: None)
        findings.checked.append("permission to stream")


def _check_braze(context: StageContext, findings: Findings) -> None:
    """Check the permissions of the API key, and compare the catalog in Braze with the program's."""
    with findings.collecting(("braze", "connection")):
        asyncio.run(_ask_braze(context, findings))


async def _ask_braze(context: StageContext, findings: Findings) -> None:
    program = context.program
    braze, needed = program.braze, dict(_permissions(program))
    async with BrazeHook(braze.connection).client(max_tries=_TRIES) as client:
        catalogs = {"catalog": braze.catalog, "status_catalog": braze.status}
        wanted = [(name, catalog) for name, catalog in catalogs.items() if catalog]
        known = await _catalogs(client) if wanted else None
        for field, catalog in wanted if known is not None else ():
            if there := (known or {}).get(catalog.name):
                _compare_catalog(field, catalog, there, findings)
            else:
                needed["catalogs.create"] = f"creating the catalog {catalog.name}"
        name = wanted[0][1].name if wanted else ""
        denied, silent = await client.missing_permissions(needed, catalog=name)
        if set(client.answers) <= {"no answer"}:
            raise BrazeUnclear("cannot be reached. Correct the host of the connection, or try again later.")
    if denied:
        listed = ", ".join(f"{permission} (for {needed[permission]})" for permission in denied)
        findings.add(
            ("braze", "connection"),
            f"the API key of the connection {braze.connection} lacks {listed}; Braze lets nobody change the "
            f"permissions of a key, so create one that has {', '.join(needed)}",
        )
    if silent:
        findings.notes.append(
            f"Braze gave no clear answer about {', '.join(silent)}: whether the key has them is unknown."
        )
    findings.checked.append(f"{len(needed) - len(denied) - len(silent)} permissions of the Braze key")


def _permissions(program: Program) -> Iterator[tuple[str, str]]:
    """Yield the permissions that the program needs, and what for."""
    yield "users.track", "every delivery"
    yield "users.export.ids", "reading back what was delivered"
    if program.erasure.braze == "profile":
        yield "users.delete", "make forget, as erasure.braze is profile"
    for field, catalog in (("catalog", program.braze.catalog), ("status_catalog", program.braze.status)):
        for call in ("get", "get_items", "get_item", "replace_items", "delete_items") if catalog else ():
            yield f"catalogs.{call}", f"braze.{field}"


async def _catalogs(client: BrazeClient) -> dict[str, dict[str, str]] | None:
    """Read the catalogs of the workspace; None when Braze does not tell."""
    try:
        return await client.catalogs()
    except BrazeUnclear:
        return None
    except BrazeDenied as denied:
        if denied.status == 403:
            return None  # told as a missing permission
        raise


def _compare_catalog(place: str, catalog: Catalog, there: Mapping[str, str], findings: Findings) -> None:
    if place == "status_catalog":
        if any(there.get(name) != kind for name, kind in catalog.fields.items()):
            wanted = ", ".join(f"{name} ({kind})" for name, kind in catalog.fields.items())
            findings.add(
                ("braze", place),
                f"has other fields in Braze than {wanted}; name another catalog",
                catalog.name,
            )
        return
    for name, kind in catalog.fields.items():
        field = ("braze", "catalog", "fields", name)
        if name not in there:
            findings.add(
                field,
                f"the catalog {catalog.name} in Braze has no such field; it has {', '.join(there)}"
                f"{did_you_mean(name, there)} Add the field in Braze, or name another catalog",
            )
        elif there[name] != kind:
            findings.add(field, f"is {there[name]} in the catalog {catalog.name} of Braze; write that", kind)


if __name__ == "__main__":
    sys.exit(command())
