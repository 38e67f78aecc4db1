"""Check what a program needs of S3, Amazon Personalize and Braze, by calls that change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import DATASET_GROUP, DATASET_IMPORT_JOB
from airflow_personalize.status import State, state_of
from braze_client.client import BrazeClient, BrazeDenied, BrazeUnclear
from braze_client.permissions import FORBIDDEN, missing_permissions
from recsync import settings
from recsync.connections import connection
from recsync.context import StageContext
from recsync.errors import FATAL
from recsync.formatting import did_you_mean
from recsync.preflight.findings import Findings
from recsync.program import Catalog, Program, names
from recsync.program.files import read_programs, shared_problems
from recsync.program.problem import Field
from recsync.push.braze_hook import BrazeHook

# Import jobs under way in a region; not adjustable. https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MAX_IMPORTS = 5
# A preflight is quick: what Braze does not say in two tries stays unsaid.
_TRIES = 2


def connections_of(program: Program) -> dict[Field, str]:
    """The Airflow connections that a program names, by the field that does."""
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


def check_connections(context: StageContext, findings: Findings) -> set[str]:
    """Resolve every connection that the program names.

    :returns: those that are there.
    """
    there = set()
    for field, conn_id in connections_of(context.program).items():
        with findings.collecting(field):
            connection(conn_id, field=".".join(map(str, field)))
            there.add(conn_id)
    return there


def check_shared_names(context: StageContext, findings: Findings) -> None:
    """Compare the program with the others; two connections with one host and key are one workspace."""
    include = settings.include_folder()
    sound, _ = read_programs(include)
    findings.problems += shared_problems(sound, include, _workspace).get(context.program.name, ())


def _workspace(program: Program) -> str:
    try:
        return BrazeHook(program.braze.connection).workspace
    except FATAL:  # told by check_connections, or by the other program's own preflight
        return program.braze.connection


def check_bucket(context: StageContext, findings: Findings) -> None:
    """Look whether the bucket is there and may be written to, and whether a role is named."""
    with findings.collecting(("bucket",)):
        context.bucket.check_writable(context.keys.state("preflight"))
        findings.checked.append(f"bucket {context.bucket.name}")
    with findings.collecting(("role_arn",)):
        settings.role_arn_of(context.program)


def check_personalize(context: StageContext, findings: Findings) -> None:
    """Look for room for the program's dataset group, and for imports of others under way."""
    program, quota = context.program, settings.dataset_groups_quota()
    with findings.collecting(("aws",)):
        hook = PersonalizeHook(aws_conn_id=program.aws)
        groups = [group["name"] for group in hook.listed(DATASET_GROUP)]
        if names.dataset_group_name(program) not in groups and len(groups) >= quota:
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


def check_braze(context: StageContext, findings: Findings) -> None:
    """Try the permissions of the API key, and compare the catalog in Braze with the program's."""
    with findings.collecting(("braze", "connection")):
        asyncio.run(_check_braze(context, findings))


async def _check_braze(context: StageContext, findings: Findings) -> None:
    program = context.program
    braze, needed = program.braze, dict(_permissions(program))
    async with BrazeHook(braze.connection).client(max_tries=_TRIES) as client:
        if braze.catalog and (known := await _catalogs(client)) is not None:
            if braze.catalog.name in known:
                _compare_catalog(braze.catalog, known[braze.catalog.name], findings)
            else:
                needed["catalogs.create"] = f"creating the catalog {braze.catalog.name}"
        name = braze.catalog.name if braze.catalog else ""
        denied, silent = await missing_permissions(client, needed, catalog=name)
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
    if program.braze.catalog:
        for call in ("get", "get_items", "get_item", "replace_items", "delete_items"):
            yield f"catalogs.{call}", "braze.catalog"


async def _catalogs(client: BrazeClient) -> dict[str, dict[str, str]] | None:
    """Read the catalogs of the workspace; None when Braze does not tell."""
    try:
        return await client.catalogs()
    except BrazeUnclear:
        return None
    except BrazeDenied as denied:
        if denied.status == FORBIDDEN:
            return None  # told as a missing permission
        raise


def _compare_catalog(catalog: Catalog, there: Mapping[str, str], findings: Findings) -> None:
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
