"""Find what two programs write to at once: they would undo each other's writes for ever, and pay for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from recsync.program.model import Program
from recsync.program.problem import Field, Problem


class Claim(NamedTuple):
    """Something that only one program may write to.

    :param scope: where its name counts: the workspace of Braze.
    """

    kind: str
    scope: str
    name: str


def connection_id(program: Program) -> str:
    """Tell Braze workspaces apart by connection id, where connections cannot be read."""
    return program.braze.connection


def shared_name_problems(
    programs: Iterable[Program], workspace: Callable[[Program], str] = connection_id
) -> dict[str, list[Problem]]:
    """Return the problems of each program that shares something with another one.

    :param workspace: tells one Braze workspace from another.
    """
    claimed: dict[Claim, dict[str, Field]] = defaultdict(dict)
    for program in programs:
        for claim, field in _claims(program, workspace(program)):
            claimed[claim][program.name] = field
    problems: dict[str, list[Problem]] = defaultdict(list)
    for claim, fields in claimed.items():
        if len(fields) == 1:
            continue
        for name, field in fields.items():
            others = ", ".join(f"{other}.yaml" for other in fields if other != name)
            problems[name].append(
                Problem(
                    field,
                    f"{others} writes to the same {claim.kind}, so the programs would replace each other's writes; "
                    f"write another name, such as {claim.name}_{name.replace('-', '_')}",
                    claim.name,
                )
            )
    return dict(problems)


def _claims(program: Program, workspace: str) -> Iterator[tuple[Claim, Field]]:
    for field, attribute in program.braze.attributes.items():
        yield Claim("Braze attribute", workspace, attribute), ("braze", field)
    if program.braze.catalog:
        yield Claim("Braze catalog", workspace, program.braze.catalog.name), ("braze", "catalog", "name")
