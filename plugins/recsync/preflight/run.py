"""Check a program before anything is billed: ``python -m recsync.preflight.run PROGRAM``.

What ``make preflight`` runs, and the first task of ``train_full`` and ``recommend``.
"""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime

import structlog

from recsync import settings
from recsync.context import StageContext
from recsync.errors import DELIBERATE, FatalError
from recsync.formatting import did_you_mean
from recsync.preflight.findings import Findings
from recsync.preflight.services import (
    check_braze,
    check_bucket,
    check_connections,
    check_personalize,
    check_shared_names,
)
from recsync.preflight.warehouse import check_warehouse
from recsync.program.files import SUFFIX, program_files, program_yaml

log = logging.getLogger(__name__)


def preflight(program_name: str) -> str:
    """Check everything that a run of the program needs.

    :returns: what was checked, in one line.
    :raises FatalError: with every problem, one line each: file, line, field, what is wrong and what to write.
    :raises RetriableError: when there is no problem, but a service could not be reached.
    """
    findings = look(program_name)
    for note in findings.notes:
        log.warning("%s", note)
    findings.raise_any()
    return _summary(program_name, findings, 0)


def look(program_name: str) -> Findings:
    """Look at everything that a run of the program needs.

    :raises FatalError: when there is no such program, or its file is wrong.
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
    check_shared_names(context, findings)
    there = check_connections(context, findings)
    if context.program.warehouse in there:
        check_warehouse(context, findings, moment)
    check_bucket(context, findings)
    check_personalize(context, findings)
    if context.program.braze.connection in there:
        check_braze(context, findings)
    return findings


def _summary(program_name: str, findings: Findings, wrong: int) -> str:
    checked = f" ({', '.join(findings.checked)})" if findings.checked else ""
    return f"{program_name}: {wrong or 'no'} problem{'' if wrong == 1 else 's'}{checked}"


def main(program_name: str) -> int:
    """Print every problem; exit status 1 when there is one, or when something could not be looked at."""
    started = time.monotonic()
    try:
        findings = look(program_name)
    except DELIBERATE as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for note in findings.notes:
        sys.stderr.write(f"note: {note}\n")
    for problem in dict.fromkeys([*findings.problems, *findings.unreachable]):
        sys.stderr.write(f"{problem}\n")
    wrong = len(dict.fromkeys([*findings.problems, *findings.unreachable]))
    seconds = time.monotonic() - started
    sys.stdout.write(f"{_summary(program_name, findings, wrong)} ({seconds:.1f} s)\n")
    return 1 if wrong else 0


def command() -> int:
    """Run as a command, for the program that its first argument names."""
    # The libraries' own news would hide the lines that matter. Not in main(): tests call it in a process of many DAGs.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return main(sys.argv[1])


if __name__ == "__main__":
    sys.exit(command())
